"""The place of one model: one version answers there, or two while a canary runs."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path

import msgspec

from steelyard import numbers
from steelyard.errors import BundleError, Overloaded, UnknownModel
from steelyard.serve.callers import Caller
from steelyard.serve.canary import Ended, Outcome, Reason, Terms, Trial
from steelyard.serve.parts import Asking
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.served import ServedModel
from steelyard.serve.statistics import Statistics

log = logging.getLogger(__name__)


class Slot:
    """What answers there may change from one request to the next. Safe for threads."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.model: ServedModel | None = None
        """What answers; while a canary runs, the old version."""
        self.trial: Trial | None = None
        """The canary that runs."""
        self.loading = threading.Lock()
        """Held while a version is opened or let go of: one at a time."""
        self.latest = 0
        """The last version that was tried."""
        self.reason = "not loaded"
        self.last: Ended | None = None
        """What became of the last canary."""
        self.ends: Counter[tuple[Outcome, Reason]] = Counter()
        """What became of all."""
        self._changing = threading.Lock()
        """Held for a moment, while `model` and `trial` change."""
        self._judging: Trial | None = None
        """The last canary, whose thread may still be at work."""

    @property
    def current(self) -> ServedModel:
        """What answers. Raises UnknownModel when it was unloaded."""
        model = self.model
        if model is None:
            raise UnknownModel(f"the model '{self.name}' is not loaded: {self.reason}")
        return model

    @property
    def ready(self) -> bool:
        """Whether requests are answered. A canary that is not ready will not be for long, and does not count."""
        model = self.model
        return model is not None and model.ready

    def models(self) -> list[ServedModel]:
        """All versions that answer, the newest last."""
        with self._changing:
            found = (self.model, None if self.trial is None else self.trial.model)
        return [model for model in found if model is not None]

    def version(self, named: str = "") -> Version:
        """One that answers; without a name the old one. Raises UnknownModel."""
        current = self.current
        if named in ("", current.version):
            return Version(self, current)
        models = self.models()
        for model in models:
            if model.version == named:
                return Version(self, model)
        there = " and ".join(model.version for model in models)
        raise UnknownModel(f"the model '{self.name}' is served in version {there}, not in {named}")

    def next(self) -> Version:
        """What the next request is for: while a canary runs it gets its share. Raises UnknownModel."""
        trial = self.trial
        if trial is not None and trial.split.takes():
            return Version(self, trial.model, is_asked_for=False)
        return Version(self, self.current)

    # --- changes; `loading` is held by whoever calls, but not by a canary's thread ---------------------------------

    def put(self, fresh: ServedModel, terms: Terms) -> None:
        """A version that is ready takes its place: that of the old one, or beside it as a canary.

        A canary that runs already is replaced. Raises BundleError when requests cannot be shared out between the two.
        """
        old = self.model
        if old is None or not terms.share:
            self._replace(fresh)
        else:
            _check_alike(self.name, old.metadata, fresh.metadata)
            self._try(fresh, terms)

    def _replace(self, fresh: ServedModel) -> None:
        old, self.model = self.model, fresh
        log.info("%s: version %s answers from now on", self.name, fresh.version)
        if old is not None:
            old.successor = fresh
            old.close()

    def _try(self, fresh: ServedModel, terms: Terms) -> None:
        with self._changing:
            before, old = self.trial, self.current
            trial = self.trial = Trial(fresh, old, terms, self.settle)
        share, time = numbers.stated_percent(terms.share), numbers.seconds(terms.for_s)
        beside = f"as a canary beside version {old.version}"
        log.info("%s: version %s gets %s of the requests for %s, %s", self.name, fresh.version, share, time, beside)
        self._end_judging()
        if before is not None:
            self._told(before.ended("replaced", "replaced", f"version {fresh.version} was loaded"))
            before.model.hand_over(old)
            before.model.close()
        self._judging = trial
        trial.start()

    def settle(self, trial: Trial, ended: Ended) -> None:
        """What a canary's own thread has found becomes true, unless the canary is not in its place any more."""
        with self._changing:
            if self.trial is not trial or self.model is None:
                return
            self.trial, old = None, self.model
            if ended.outcome == "promoted":
                self.model = trial.model
        self._told(ended)
        if ended.outcome == "promoted":
            old.successor = trial.model
            old.close()
        else:
            trial.model.hand_over(old)
            trial.model.close()

    def empty(self, reason: str, drain: bool = True) -> None:
        """Let go of all versions; what waits is answered first (or fails, without `drain`)."""
        with self._changing:
            model, trial = self.model, self.trial
            self.model = self.trial = None
            self.reason = reason
        self._end_judging()
        if trial is not None:
            self._told(trial.ended("unloaded", "unloaded", reason))
            trial.model.close(drain)
        if model is not None:
            model.close(drain)

    def _end_judging(self) -> None:
        if self._judging is not None:
            self._judging.stop()
            self._judging = None

    def _told(self, ended: Ended) -> None:
        self.last = ended
        self.ends[ended.outcome, ended.reason] += 1
        level = logging.WARNING if ended.outcome == "rolled_back" else logging.INFO
        outcome = ended.outcome.replace("_", " ")
        log.log(level, "%s: the canary, version %s, is %s: %s", self.name, ended.version, outcome, ended.why)


class Version:
    """One version in its place: what a request was read for is what it is asked of."""

    __slots__ = ("_is_asked_for", "_slot", "current")

    def __init__(self, slot: Slot, model: ServedModel, is_asked_for: bool = True) -> None:
        """`is_asked_for`: otherwise another version may answer as well."""
        self._slot = slot
        self._is_asked_for = is_asked_for
        self.current = model
        """The version itself; after a request met it on its way out, its successor."""

    @property
    def metadata(self) -> Metadata:
        """What clients are told; it names all versions that answer."""
        told, trial = self.current.metadata, self._slot.trial
        return told if trial is None else msgspec.structs.replace(told, versions=trial.versions)

    @property
    def version(self) -> str:
        """Its number."""
        return self.current.version

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.current.ready

    @property
    def statistics(self) -> Statistics:
        """What it counts."""
        return self.current.statistics

    def ask(self, asked: Asked, caller: Caller[Answered]) -> Asking:
        """See `ServedModel.ask`.

        A request that meets a version on its way out is answered by its successor; one that a canary has no room for
        by the old version.
        """
        while True:
            model = self.current
            try:
                return model.ask(asked, caller)
            except Overloaded:
                if model.closed:
                    self.current = model.successor or self._slot.current
                elif not self._is_asked_for:
                    self.current = self._slot.current
                if self.current is model:
                    raise


def _check_alike(name: str, old: Metadata, new: Metadata) -> None:
    """Refuse a canary that cannot take the other version's requests."""
    for what, before, after in (("inputs", old.inputs, new.inputs), ("outputs", old.outputs, new.outputs)):
        if before != after:
            raise BundleError(
                f"the new version of '{name}' has other {what} than version {old.versions[-1]}, "
                "so requests cannot be shared out between the two",
                "unload the model first, or serve without --canary",
            )
