"""What a node of a cluster does: it takes a parcel, searches, tells each measurement at once, gives artefacts back.

Methods take and give JSON and raw bytes only, so that any transport will do and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import tempfile
import threading
from pathlib import Path

import msgspec

from steelyard.bundle import sha256
from steelyard.cluster.parcels import CHUNK, Shelf, inside
from steelyard.errors import InputError, SteelyardError
from steelyard.loop.weigh import limits_of, race_of, subject_of, weighing_of
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.workbench import Workbench
from steelyard.records.base import from_json, to_json
from steelyard.records.candidate import Candidate
from steelyard.records.errand import Ended, Errand, Failed, Greeting, Heard, Measured, Message, Parcel
from steelyard.records.measurement import Entry, Measurement
from steelyard.search import Event
from steelyard.subjects.among import Among
from steelyard.subjects.model import ModelSubject
from steelyard.version import VERSION

WORK = "STEELYARD_NODE_WORK"
"""The environment's name for the folder that nodes of this machine work in."""


class Node:
    """One machine at work. It holds a folder of its own for as long as it lives; another node here takes the next."""

    def __init__(self) -> None:
        # A cluster sets it to the processors it reckons with; each candidate says its threads itself.
        os.environ.pop("OMP_NUM_THREADS", None)
        self._folder, self._lock = _own_folder()
        self._shelf = Shelf(self._folder)
        self._machine = this_machine()
        self._stop = threading.Event()
        self._mail = _Mail()
        self._search: threading.Thread | None = None
        self._ready: tuple[ModelSubject, Workspace] | None = None

    def greet(self) -> bytes:
        """A `Greeting`."""
        return to_json(Greeting(steelyard=VERSION, machine=self._machine))

    def missing(self, parcel: bytes) -> bytes:
        """The hashes of a `Parcel`'s contents that are not here yet."""
        return to_json(self._shelf.missing(from_json(parcel, Parcel)))

    def take(self, content: str, chunk: bytes, last: bool) -> None:
        """The next piece of some contents."""
        self._shelf.take(content, chunk, last=last)

    def weighing(self, errand: bytes) -> bytes:
        """The `Weighing` of an `Errand`: what can be tried on this machine."""
        wanted = from_json(errand, Errand)
        subject, _ = self._made_ready(wanted)
        return to_json(weighing_of(wanted.job, subject, self._machine))

    def begin(self, errand: bytes) -> None:
        """Start a search; `told` tells of it."""
        wanted = from_json(errand, Errand)
        self._mail = _Mail()
        self._search = threading.Thread(target=self._run, args=(wanted,), daemon=True)
        self._search.start()

    def told(self, seen: int, wait_s: float) -> bytes:
        """The messages after the first `seen` of this search; an empty list after `wait_s` without any."""
        return to_json(self._mail.after(seen, wait_s))

    def halt(self) -> None:
        """End the search."""
        self._stop.set()
        if self._search is not None:
            self._search.join()

    def artefacts(self, candidate: bytes) -> bytes:
        """Of a `Candidate` that was weighed: its variant's files, by path their sha256. Made when they are not here."""
        folder = self._built(from_json(candidate, Candidate))
        files = (file for file in sorted(folder.rglob("*")) if file.is_file())
        return to_json({file.relative_to(folder).as_posix(): sha256(file) for file in files})

    def piece(self, candidate: bytes, name: str, offset: int) -> bytes:
        """A piece of one of these files; empty at its end."""
        with (self._built(from_json(candidate, Candidate)) / inside(name)).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)

    def _built(self, candidate: Candidate) -> Path:
        if self._ready is None:
            raise InputError("nothing has been weighed here")
        subject, workspace = self._ready
        with Workbench(subject, workspace.folder, workspace.limits, self._stop) as bench:
            bench.build(candidate)
            return bench.built_folder(candidate)

    def _made_ready(self, errand: Errand) -> tuple[ModelSubject, Workspace]:
        job, parcel = errand.job, errand.parcel
        place = self._shelf.laid_out(parcel)
        workspace = Workspace(self._folder / "work", limits_of(job, self._machine), self._stop)
        info = workspace.inspect(place / inside(parcel.model))
        prepared = msgspec.structs.replace(parcel.prepared, folder=str(place / inside(parcel.prepared.folder)))
        others = {name: workspace.inspect(place / inside(main)) for name, main in parcel.variants.items()}
        self._ready = subject_of(job, info, prepared, self._machine, others), workspace
        return self._ready

    def _run(self, errand: Errand) -> None:
        try:
            self._mail.put(self._searched(errand))
        except SteelyardError as error:
            self._mail.put(Failed(name=type(error).__name__, message=error.message, hint=error.hint))
        except Exception as error:
            self._mail.put(Failed(name="", message=f"{type(error).__name__}: {error}"))

    def _searched(self, errand: Errand) -> Ended:
        subject, workspace = self._made_ready(errand)
        among = subject if errand.only is None else Among(subject, errand.only)
        job = msgspec.structs.replace(errand.job, within_s=errand.within_s)
        ledger = _Relay(errand.known, self._mail)
        with Workbench(among, workspace.folder, workspace.limits, self._stop) as bench:
            is_whole = errand.only is None
            result = race_of(job, bench, ledger, self._machine, self._mail.heard, rungs=is_whole).run()
        dropped = {name: evidence.dropped for name, evidence in result.evidence.items() if evidence.dropped}
        return Ended(figures=result.figures, dropped=dropped, warnings=result.warnings)


class _Mail:
    """The messages of one search, in their order."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived = threading.Condition()

    def put(self, message: Message) -> None:
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def heard(self, event: Event) -> None:
        self.put(Heard(stage=event.stage, text=event.text, done=event.done, total=event.total, best=event.best))

    def after(self, seen: int, wait_s: float) -> list[Message]:
        """Nothing is thrown away when it is fetched: the answer may be lost on its way, and be asked for again."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self._messages) > seen, wait_s)
            return self._messages[seen:]


class _Relay:
    """A ledger that lies elsewhere: it knows what was sent along, and sends on what is appended."""

    def __init__(self, known: tuple[Entry, ...], mail: _Mail) -> None:
        self._known = {entry.key: entry.measurement for entry in known}
        self._mail = mail

    def find(self, key: str) -> Measurement | None:
        return self._known.get(key)

    def claim(self, key: str, patience_s: float = math.inf) -> None:
        """Nobody else makes the measurements of this share."""

    def append(self, entry: Entry) -> None:
        self._known[entry.key] = entry.measurement
        self._mail.put(Measured(entry=entry))


def _own_folder() -> tuple[Path, int]:
    """A folder that no other node uses while this one lives, with the lock that says so."""
    root = Path(os.environ.get(WORK) or Path(tempfile.gettempdir()) / f"steelyard-node-{os.getuid()}")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_uid != os.getuid() or root.is_symlink():
        raise InputError(f"{root} belongs to another user", f"name a folder of your own in the environment, {WORK}")
    for number in range(1000):
        folder = root / str(number)
        folder.mkdir(exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return folder, handle
        os.close(handle)
    raise InputError(f"a thousand nodes work in {root} already", f"name another folder with {WORK}")
