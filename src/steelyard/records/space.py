"""What a search may change in a recipe, and which values each setting may take."""

from __future__ import annotations

from typing import Any

from steelyard.records.base import Record


class Choice(Record, tag="choice"):
    """One of several values."""

    path: str
    """Of the setting in the recipe: `training.batch`."""
    options: tuple[Any, ...]


class Range(Record, tag="range"):
    """A number between two others, both included."""

    path: str
    low: float
    high: float
    log: bool = False
    """Drawn so that each doubling is as likely as any other."""
    step: float | None = None
    whole: bool = False
    """Only whole numbers."""


class Alternative(Record):
    """A table that may take another's place, with settings of its own to be searched."""

    label: str
    """Unique among those it stands beside."""
    table: dict[str, Any]
    """What stays as it is."""
    inner: tuple[Choice | Range, ...] = ()
    """Their paths are keys of the table."""


class Either(Record, tag="either"):
    """One of several tables, in the place of the recipe's own."""

    path: str
    alternatives: tuple[Alternative, ...]


class Space(Record):
    """All that is searched."""

    settings: tuple[Choice | Range | Either, ...]
