"""The models of a server by name. A model can be replaced while it is asked: no request is lost by it.

A new version is opened and warmed up beside the old one, which goes on answering; only then do requests go to the new
one, and the old one answers what it still has and lets go of its memory. One that cannot be opened, or answers NaN,
never takes over. With a canary's share it answers only so many of them at first: see `steelyard.serve.canary`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal
from weakref import WeakSet

from steelyard.errors import BundleError, InputError, SteelyardError, UnknownModel
from steelyard.records.base import Record
from steelyard.serve.opening import Options, open_model
from steelyard.serve.served import ServedModel
from steelyard.serve.slot import Slot, Version
from steelyard.version import VERSION

log = logging.getLogger(__name__)

State = Literal["READY", "UNAVAILABLE", "LOADING"]
LOADED_S = 10.0
"""At the end a model that is being loaded is waited for so long; one that comes later is let go of at once."""


class Indexed(Record):
    """One model as the repository's index tells of it."""

    name: str
    version: str
    """Empty: it was never loaded."""
    state: State
    reason: str = ""


class Repository:
    """All models of one server."""

    name = "steelyard"
    version = VERSION

    def __init__(
        self,
        folders: Mapping[str, Path],
        options: Options,
        opener: Callable[[str, Path, int, Options], ServedModel] = open_model,
    ) -> None:
        """`folders`: the bundle of each model; nothing is opened yet. Raises InputError for a name that is not one."""
        for name in folders:
            check_name(name)
        self._slots = {name: Slot(name, folder) for name, folder in folders.items()}
        self._options = options
        self._opener = opener
        self._opened: WeakSet[ServedModel] = WeakSet()
        self.live = True

    @property
    def ready(self) -> bool:
        """Whether every model is loaded and answers."""
        return self.live and all(slot.ready for slot in self._slots.values())

    @property
    def ended(self) -> bool:
        """Whether all that was ever opened here was let go of, and serves nothing any more."""
        return all(model.ended for model in list(self._opened))

    def names(self) -> list[str]:
        """All that are configured, loaded or not."""
        return list(self._slots)

    def slot(self, name: str) -> Slot:
        """The place of a model. Raises UnknownModel."""
        if name not in self._slots:
            raise UnknownModel(f"there is no model '{name}'", f"served are: {', '.join(self._slots)}")
        return self._slots[name]

    def served(self, name: str, version: str = "") -> Version:
        """What answers; without a version not the canary. Raises UnknownModel for a model or version that does not."""
        return self.slot(name).version(version)

    def answering(self, name: str, version: str = "") -> Version:
        """What the next request is for: of two versions each gets its share. Raises UnknownModel."""
        slot = self.slot(name)
        return slot.version(version) if version else slot.next()

    def versions(self, name: str) -> list[Version]:
        """All that answer, the newest last. Raises UnknownModel."""
        slot = self.slot(name)
        return [Version(slot, model) for model in slot.models()]

    def index(self) -> list[Indexed]:
        """All models in all versions that answer, as they stand."""
        return [told for slot in self._slots.values() for told in _indexed(slot)]

    def standing(self, name: str) -> Indexed:
        """One model, as it stands, without its canary. Raises UnknownModel."""
        return _indexed(self.slot(name))[0]

    def load(self, name: str) -> None:
        """Open what lies in the model's folder now, and put it in the place of what answers, or beside it as a canary.

        A canary that runs already is replaced, and goes on until then. Raises UnknownModel, BundleError or
        CandidateFailure; what answered before then goes on.
        """
        slot = self.slot(name)
        with slot.loading:
            slot.latest += 1
            try:
                self._open(slot)
            except SteelyardError as error:
                slot.reason = error.message
                log.error("%s: version %d cannot be served: %s", name, slot.latest, error.message)
                raise
            except Exception:
                slot.reason = "it could not be opened"
                log.exception("%s: version %d cannot be served", name, slot.latest)
                raise

    def _open(self, slot: Slot) -> None:
        fresh = self._opened_in_time(slot)
        self._opened.add(fresh)
        try:
            if not self.live:
                raise BundleError("the server ends", "load it where the server is started anew")
            slot.put(fresh, self._options.canary)
        except SteelyardError:
            fresh.close(drain=False)
            raise

    def _opened_in_time(self, slot: Slot) -> ServedModel:
        """What lies in its folder. One that hangs in this process cannot be ended: it is left alone, so that another
        can be loaded, and let go of if it comes after all."""
        opened: Future[ServedModel] = Future()
        given = slot.name, slot.folder, slot.latest, self._options
        threading.Thread(target=_open_into, args=(opened, self._opener, *given), name="open", daemon=True).start()
        wait([opened], self._options.open_s)
        if not opened.done():
            opened.add_done_callback(_let_go)
            told = f"it was not ready within {self._options.open_s:g} s"
            raise BundleError(told, "see whether its model ends: steelyard check BUNDLE")
        return opened.result()

    def unload(self, name: str) -> None:
        """Answer what waits, then let go of the model. Raises UnknownModel."""
        slot = self.slot(name)
        with slot.loading:
            slot.empty("it was unloaded")

    def close(self, drain: bool = True) -> None:
        """Let go of all models, side by side; those that wait are answered first (or fail, without `drain`)."""
        self.live = False
        with ThreadPoolExecutor(max(1, len(self._slots)), "ending") as pool:
            list(pool.map(lambda slot: _empty(slot, drain), self._slots.values()))


def _open_into(opened: Future[ServedModel], opener: Callable[..., ServedModel], *given: object) -> None:
    try:
        opened.set_result(opener(*given))
    except BaseException as error:
        opened.set_exception(error)


def _let_go(opened: Future[ServedModel]) -> None:
    """Of what came too late."""
    if opened.exception() is None:
        opened.result().close(drain=False)


def _empty(slot: Slot, drain: bool) -> None:
    is_loaded = slot.loading.acquire(timeout=LOADED_S)
    try:
        slot.empty("the server ends", drain)
    finally:
        if is_loaded:
            slot.loading.release()


def _indexed(slot: Slot) -> list[Indexed]:
    models = slot.models()
    if not models:
        state: State = "LOADING" if slot.loading.locked() else "UNAVAILABLE"
        return [Indexed(name=slot.name, version="", state=state, reason=slot.reason)]
    return [_standing(slot.name, model) for model in models]


def _standing(name: str, model: ServedModel) -> Indexed:
    if not model.ready:
        return Indexed(name=name, version=model.version, state="UNAVAILABLE", reason="a process is missing")
    return Indexed(name=name, version=model.version, state="READY")


def check_name(name: str) -> None:
    """Refuse what cannot stand in a path of the protocol."""
    allowed = name and len(name) <= 128 and all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    if not allowed or name[0] == ".":
        raise InputError(
            f"'{name[:40]}' is no name for a model", "letters, digits, '_', '-' and '.', at most 128 of them"
        )
