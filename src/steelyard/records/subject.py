"""What can be weighed: the contract between the search and whatever it searches.

A model with validation data is one subject; a camera site with a pipeline of knobs and a policy with its
environment are others. Search and decide see nothing but these two Protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from steelyard.records.base import Record
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Quality

Answers = npt.NDArray[Any]
"""What one candidate answered: first axis = items, in the order asked."""


class Task(Record):
    """A function to be called in a child process: a dotted path `package.module:function` and its JSON argument."""

    function: str
    argument: Mapping[str, Any]


class Step(Record):
    """Something to be built: its result is kept under its key, and shared by all that need it."""

    task: Task
    key: str


class Recipe(Record):
    """How a child process makes one candidate ready.

    `build` is called once with `argument | {"into": folder}` and fills the folder; its result is kept under
    `build_key`, so candidates of equal key share it. `open` is then called with
    `argument | {"built": folder}` and what the build returned, and returns a Runner. The steps `before` are built in
    the same way, one after the other: each, and at last `build`, finds under `"base"` what `open` would be told of the
    step before it.
    """

    build: Task | None
    build_key: str
    open: Task
    before: tuple[Step, ...] = ()


class Outlook(Record):
    """What experience with other subjects leads to expect of a candidate, before anything of it was measured.

    It only decides what is tried first and what is not worth trying; nothing is chosen without being measured.
    """

    speed: float = 1.0
    """Requests per second, as a multiple of what the subject as given would reach with the same settings."""
    keeps: float = 0.9
    """Chance that it keeps the quality that is usually demanded."""
    build_s: float = 2.0
    """Seconds to make its artefacts, those that it shares with others counted."""
    open_s: float = 1.0
    """Seconds to open it in a fresh process."""


class Runner(Protocol):
    """One candidate, opened in a child process of its own."""

    def answers(self, start: int, stop: int) -> Answers:
        """The answers to items `start` to `stop` (numbered as in the subject's split)."""

    def serve(self, stream: int, batch: int) -> None:
        """Serve one batch of `batch` requests on one stream (streams run side by side in threads of their own)."""


FIRST_LOOK = 250
"""About how many items the first look takes in: enough to catch what is plainly wrong."""


class Split(Record):
    """How many items select and how many confirm; they lie one after the other: [0, select) and [select, total)."""

    select: int
    confirm: int

    @property
    def total(self) -> int:
        """Items that judge, calibration items not among them."""
        return self.select + self.confirm

    @property
    def looks(self) -> tuple[int, ...]:
        """How many of the selecting items each look takes in: all at the last one, a quarter at the one before it …

        Always a quarter, so that the last look, on which most rests, keeps most of the error that is allowed.
        """
        sizes = [self.select]
        while sizes[0] > 2 * FIRST_LOOK:
            sizes.insert(0, sizes[0] // 4)
        return tuple(sizes)


class Subject(Protocol):
    """What is weighed. The first candidate is the reference: the subject as the user gave it."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def key(self) -> str:
        """Hash of everything that decides the answers and their worth: model, data, split, metric, seed."""

    @property
    def split(self) -> Split:
        """The items that judge."""

    def candidates(self) -> Sequence[Candidate]:
        """All that can be tried on this machine, the reference first."""

    def recipe(self, candidate: Candidate) -> Recipe:
        """How a child process builds and opens it."""

    def judge(self, numerics: Numerics, answers: Answers, reference: Answers, start: int) -> Quality:
        """How good the answers to items `start`, `start + 1` … are, paired with the reference's answers to the same."""

    def versions(self, candidate: Candidate) -> Mapping[str, str]:
        """Versions of the software that makes and runs it: part of every ledger key."""

    def outlook(self, candidate: Candidate) -> Outlook:
        """What to expect of it; `Outlook()` where there is no experience."""


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Answers to consecutive runs of items as one array."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
