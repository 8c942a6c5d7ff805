"""The models of a server by name. A model can be replaced while it is asked: no request is lost by it.

A new version is opened and warmed up beside the old one, which goes on answering; only then do requests go to the new
one, and the old one answers what it still has and lets go of its memory. One that cannot be opened, or answers NaN,
never takes over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from steelyard.errors import InputError, Overloaded, SteelyardError, UnknownModel
from steelyard.records.base import Record
from steelyard.serve.callers import Caller
from steelyard.serve.opening import Options, open_model
from steelyard.serve.parts import Asking
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.served import ServedModel
from steelyard.serve.statistics import Statistics
from steelyard.version import VERSION

log = logging.getLogger(__name__)

State = Literal["READY", "UNAVAILABLE", "LOADING"]


class Indexed(Record):
    """One model as the repository's index tells of it."""

    name: str
    version: str
    """Empty: it was never loaded."""
    state: State
    reason: str = ""


class Slot:
    """The place of one model: what answers there may change from one request to the next."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.model: ServedModel | None = None
        self.loading = threading.Lock()
        self.latest = 0
        """The last version that was tried."""
        self.reason = "not loaded"

    @property
    def current(self) -> ServedModel:
        """What answers now. Raises UnknownModel when it was unloaded."""
        model = self.model
        if model is None:
            raise UnknownModel(f"the model '{self.name}' is not loaded: {self.reason}")
        return model

    @property
    def metadata(self) -> Metadata:
        """What clients are told."""
        return self.current.metadata

    @property
    def version(self) -> str:
        """Of what answers now."""
        return self.current.version

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        model = self.model
        return model is not None and model.ready

    @property
    def statistics(self) -> Statistics:
        """Of what answers now."""
        return self.current.statistics

    def ask(self, asked: Asked, caller: Caller[Answered]) -> Asking:
        """See `ServedModel.ask`. A request that meets a model on its way out is answered by its successor."""
        model = self.current
        while True:
            try:
                return model.ask(asked, caller)
            except Overloaded:
                successor = self.current
                if successor is model:
                    raise
                model = successor


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
        self.live = True

    @property
    def ready(self) -> bool:
        """Whether every model is loaded and answers."""
        return self.live and all(slot.ready for slot in self._slots.values())

    def names(self) -> list[str]:
        """All that are configured, loaded or not."""
        return list(self._slots)

    def slot(self, name: str) -> Slot:
        """The place of a model. Raises UnknownModel."""
        if name not in self._slots:
            raise UnknownModel(f"there is no model '{name}'", f"served are: {', '.join(self._slots)}")
        return self._slots[name]

    def served(self, name: str, version: str = "") -> Slot:
        """What answers. Raises UnknownModel for a model or version that does not."""
        slot = self.slot(name)
        current = slot.version
        if version and version != current:
            raise UnknownModel(f"the model '{name}' is served in version {current}, not in {version}")
        return slot

    def index(self) -> list[Indexed]:
        """All models, as they stand."""
        return [_indexed(slot) for slot in self._slots.values()]

    def load(self, name: str) -> None:
        """Open what lies in the model's folder now, and put it in the place of what answers.

        Raises UnknownModel, BundleError or CandidateFailure; what answered before then goes on.
        """
        slot = self.slot(name)
        with slot.loading:
            slot.latest += 1
            try:
                fresh = self._opener(name, slot.folder, slot.latest, self._options)
            except SteelyardError as error:
                slot.reason = error.message
                log.error("%s: version %d cannot be served: %s", name, slot.latest, error.message)
                raise
            old, slot.model = slot.model, fresh
            log.info("%s: version %d answers from now on", name, slot.latest)
            if old is not None:
                old.successor = fresh
                old.close()

    def unload(self, name: str) -> None:
        """Answer what waits, then let go of the model. Raises UnknownModel."""
        slot = self.slot(name)
        with slot.loading:
            old, slot.model = slot.model, None
            slot.reason = "it was unloaded"
            if old is not None:
                old.close()

    def close(self, drain: bool = True) -> None:
        """Let go of all models; those that wait are answered first (or fail, without `drain`)."""
        self.live = False
        for slot in self._slots.values():
            with slot.loading:
                old, slot.model = slot.model, None
                slot.reason = "the server ends"
                if old is not None:
                    old.close(drain)


def _indexed(slot: Slot) -> Indexed:
    model = slot.model
    if model is None:
        state: State = "LOADING" if slot.loading.locked() else "UNAVAILABLE"
        return Indexed(name=slot.name, version="", state=state, reason=slot.reason)
    if not model.ready:
        return Indexed(name=slot.name, version=model.version, state="UNAVAILABLE", reason="a process is missing")
    return Indexed(name=slot.name, version=model.version, state="READY")


def check_name(name: str) -> None:
    """Refuse what cannot stand in a path of the protocol."""
    allowed = name and len(name) <= 128 and all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    if not allowed or name[0] == ".":
        raise InputError(
            f"'{name[:40]}' is no name for a model", "letters, digits, '_', '-' and '.', at most 128 of them"
        )
