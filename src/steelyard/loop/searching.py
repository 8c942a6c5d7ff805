"""Search for networks: propose, weigh, train, stop losers, and keep the front of quality against cost.

Networks are chosen by the validation part alone; the test part is asked once, of those on the front, and decides
nothing. Everything is written down before the next step begins: after an interruption, a crash or a kill the same
command goes on where it was, in the middle of an epoch if need be.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import math
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.decision.worth import cost_of
from steelyard.errors import CandidateFailure, InputError, Interrupted, OutOfTime, UsageError
from steelyard.loop.finalists import FOLDER, Finalist, Finalists
from steelyard.loop.scales import Scales
from steelyard.loop.trials import Trials, Unwatched, Watch, write_whole
from steelyard.records.base import Record, digest, to_json
from steelyard.records.machine import Price
from steelyard.records.requirements import Requirements
from steelyard.records.searching import OnFront, Search
from steelyard.records.space import Space
from steelyard.report.searching import render
from steelyard.train.contest import Course
from steelyard.train.proposing import Proposal, Proposals
from steelyard.train.recipes import tables
from steelyard.train.space import size, space_of, standing
from steelyard.train.space_check import check
from steelyard.version import VERSION

STUDY, FOUND, REPORT = "search.db", "search.json", "report.html"
LOCK = "search.lock"
"""Held while a search is under way; the system lets go of it when the process ends in whatever way."""
MADE = (STUDY, FOUND, REPORT, FOLDER, "tried", "weighed")
"""In the folder of a search, besides."""
RESERVED = 0.1
"""Of the time, for weighing the front again and exporting it."""
MOST_FAILURES = 5
"""And no success: then something is wrong that no other network will mend."""
LATE = "it cannot keep the latency on this machine, so it was not trained"
DISTURBED = 1.1
"""Timings of one batch that lie further apart are told of."""
PACKAGES = ("torch", "optuna", "onnxruntime", "openvino")


class Sought(Record):
    """What is ordered."""

    recipe: str
    """A file, or a name; it has a table [search]."""
    out: Path
    changes: Mapping[str, Any] = {}
    """Of the recipe's settings: path → value."""
    within_s: float = 600.0
    """For this run; another one goes on."""
    requirements: Requirements = Requirements()
    price: Price = Price()
    fresh: bool = False


def search(sought: Sought, watch: Watch | None = None, stop: threading.Event | None = None) -> Search:
    """The front of the recipe's space, in `sought.out` with all that belongs to it.

    Raises UsageError for a space that makes no sense, and when time is up before any network came to its end;
    Interrupted once `stop` is set.
    """
    began = time.monotonic()
    content = tables(sought.recipe, sought.changes)
    space = space_of(content, sought.recipe)
    check(space, content, sought.recipe)
    with _place(sought.out, fresh=sought.fresh):
        searching = _Searching(sought, content, space, watch or Unwatched(), stop or threading.Event())
        complete = searching.run(began + sought.within_s * (1 - RESERVED))
        found = searching.found(complete=complete, began=began)
        write_whole(sought.out / FOUND, to_json(found, indent=2))
        write_whole(sought.out / REPORT, render(found).encode())
    return found


class _Searching:
    """One run of a search."""

    def __init__(
        self, sought: Sought, content: Mapping[str, Any], space: Space, watch: Watch, stop: threading.Event
    ) -> None:
        """`content`: the recipe's tables."""
        self._sought = sought
        self._space = space
        self._watch = watch
        self._stop = stop
        scales = Scales(sought.out / "weighed", sought.requirements, stop)
        self._trials = Trials(content, sought.recipe, sought.out, scales, watch, stop)
        self._finalists = Finalists(self._trials, scales, sought.out, watch)
        self._machine = scales.machine
        self._proposals = Proposals(
            sought.out / STUDY,
            self._space,
            self._identity(),
            self._trials.base.seed,
            lower_is_better=self._trials.metric.lower_is_better,
        )
        self._proposals.begin_with(standing(self._space, content))

    def _identity(self) -> str:
        """Of all that trials must have in common to be compared."""
        trials, latency = self._trials, self._sought.requirements.latency
        return digest(trials.base, self._space, trials.data.told.sha256, latency, self._machine.fingerprint)

    def run(self, until: float) -> bool:
        """Try points until the time is up; whether there are none left."""
        while time.monotonic() < until:
            proposal = self._proposals.next()
            if proposal is None:
                return True
            if not self._try(proposal, until):
                return False
        return False

    def _try(self, proposal: Proposal, until: float) -> bool:
        """Whether it is known how a point does, before the time is up."""
        began = time.monotonic()
        try:
            facts = self._facts(proposal, until)
        except (Interrupted, OutOfTime):
            self._proposals.absolve(proposal)
            self._check_stop()
            return False
        except (InputError, CandidateFailure, MemoryError, RuntimeError) as error:
            if isinstance(error.__cause__, OSError):
                self._proposals.absolve(proposal)
                raise  # no room on the disk is not the network's fault
            facts = {"ending": "failed", "reason": str(error).partition("\n")[0]}
        tried = self._proposals.ended(proposal.settings, seconds=time.monotonic() - began, **facts)
        self._proposals.learn(proposal, tried)
        self._watch.ended(tried)
        if tried.ending != "finished":
            shutil.rmtree(self._trials.place_of(tried), ignore_errors=True)
        self._check_failures()
        return True

    def _facts(self, proposal: Proposal, until: float) -> dict[str, Any]:
        """How a point does."""
        serving = self._trials.serving(proposal, until)
        if not serving.capacity_per_s:
            return {"ending": "stopped", "reason": LATE, "serving": serving}
        trained, lost = self._trials.train(proposal, serving, list(self._courses()), until)
        run, validation = trained.run, trained.run.epochs[trained.run.kept - 1].validation
        if validation is None or not math.isfinite(validation):
            raise CandidateFailure("invalid", f"the validation is {validation}")
        return {
            "ending": "stopped" if lost else "finished",
            "reason": lost or run.stopped,
            "parameters": run.parameters,
            "planned": run.recipe.training.epochs,
            "course": tuple(epoch.validation for epoch in run.epochs),
            "validation": validation,
            "serving": serving,
        }

    def _courses(self) -> Iterator[Course]:
        """Of all that were trained, however far."""
        for tried in self._proposals.tried:
            if tried.serving is not None:
                course = Course(tried.serving.machine_ms, tried.planned)
                for validation in tried.course:
                    course.add(self._trials.sign * validation)
                yield course

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted(
                f"stopped: {len(self._proposals.tried)} networks are kept in {self._sought.out}",
                "run the same command again to go on where it stopped",
            )

    def _check_failures(self) -> None:
        tried = self._proposals.tried
        if len(tried) >= MOST_FAILURES and all(one.ending == "failed" for one in tried):
            raise UsageError(
                f"all {len(tried)} networks failed, the last one ({tried[-1].told}) because: {tried[-1].reason}",
                "mend the recipe or what it searches",
            )

    def found(self, *, complete: bool, began: float) -> Search:
        """The front, and all that was tried."""
        sought, trials, tried = self._sought, self._trials, tuple(self._proposals.tried)
        finished = {one.number: one for one in tried if one.ending == "finished"}
        if not finished:
            ends = "; ".join(dict.fromkeys(one.reason for one in tried)) or "the time was up"
            raise UsageError(
                f"no network was trained to its end: {ends}",
                "run the same command again, which goes on where it stopped, or allow more: --within 1h",
            )
        finalists = self._finalists.settled(finished)
        return Search(
            name=trials.base.name,
            data=trials.data.told.name,
            data_sha256=trials.data.told.sha256,
            metric=trials.metric.name,
            lower_is_better=trials.metric.lower_is_better,
            space=self._space,
            points=size(self._space),
            latency=sought.requirements.latency,
            price=sought.price,
            machine=self._machine,
            tried=tuple(self._finalists.as_weighed(one) for one in tried),
            front=tuple(self._on_front(each) for each in finalists),
            complete=complete,
            seconds=time.monotonic() - began,
            versions={"steelyard": VERSION} | {name: importlib.metadata.version(name) for name in PACKAGES},
            warnings=tuple(_disturbed(finalists)),
        )

    def _on_front(self, finalist: Finalist) -> OnFront:
        tried, serving, judged = finalist.tried, finalist.serving, finalist.evaluation
        cost = cost_of(serving.capacity_per_s, self._sought.requirements, self._sought.price)
        was_tested = judged.part == "test"
        return OnFront(
            number=tried.number,
            folder=f"{FOLDER}/{tried.number}",
            validation=tried.validation or 0.0,
            serving=serving,
            per_million=cost.per_million or 0.0,
            test=getattr(judged, self._trials.metric.name, None) if was_tested else None,
            test_items=judged.items if was_tested else 0,
        )


def _disturbed(finalists: Sequence[Finalist]) -> Iterator[str]:
    for each in finalists:
        if each.serving.spread > DISTURBED:
            yield (
                f"the machine was busy while network {each.tried.number} was weighed: its timings differ by a factor "
                f"of {each.serving.spread:.2f}, and it may be faster than is told"
            )


@contextlib.contextmanager
def _place(out: Path, *, fresh: bool) -> Iterator[None]:
    """The folder of the search, for this process alone.

    Raises UsageError for a folder that holds other things, that cannot be written, or in which a search is under way.
    """
    others = sorted(each.name for each in out.iterdir() if each.name not in (*MADE, LOCK)) if out.is_dir() else []
    if others and not (out / STUDY).exists():
        raise UsageError(f"{out} holds other things ({', '.join(others[:3])})", "name another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK).open("w")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", "name another folder with --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another search is under way in {out}", "name another folder with --out") from None
        for name in MADE if fresh else ():
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).unlink(missing_ok=True)
        yield
