"""How right a trained network is, with how sure that is known."""

from __future__ import annotations

from steelyard.records.base import Record


class Interval(Record):
    """A value, and limits that hold the true one in 95 % of such evaluations."""

    value: float
    low: float
    high: float


class ClassFigures(Record):
    """Of one class."""

    name: str
    items: int
    """Labelled with it."""
    precision: Interval
    recall: Interval
    f1: Interval
    auroc: Interval | None
    """Of the class against all others; None where it has no items, or nothing else has."""


class GroupFigures(Record):
    """Of the items of one group."""

    name: str
    items: int
    accuracy: Interval


class Gap(Record):
    """How far two groups lie apart in one thing: those for which it is highest and lowest."""

    what: str
    """selection: share told to be of the class; recall: of those of the class, share that is found; error: share
    that is wrong."""
    of: str
    """The class; empty for errors."""
    highest: str
    lowest: str
    difference: Interval
    ratio: float
    """Lowest over highest."""


class Mistake(Record):
    """One item that is answered wrongly."""

    row: int
    """In its part."""
    truth: str
    told: str
    score: float
    """Probability given to what was told; of measured values, how far off."""


class Evaluation(Record):
    """What is told of a network on one part of the data."""

    part: str
    items: int
    classes: tuple[str, ...] = ()
    accuracy: Interval | None = None
    precision: Interval | None = None
    """Unweighted mean over the classes, as recall and F1."""
    recall: Interval | None = None
    f1: Interval | None = None
    auroc: Interval | None = None
    calibration_error: Interval | None = None
    """Expected calibration error: how far confidence and accuracy lie apart, on average."""
    by_class: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Items by truth (rows) and by what was told (columns)."""
    mse: Interval | None = None
    mae: Interval | None = None
    r2: Interval | None = None
    groups: tuple[GroupFigures, ...] = ()
    gaps: tuple[Gap, ...] = ()
    warnings: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    """The worst first."""
