"""Which cheaper forms of a network a recipe has trained beside it, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from steelyard.errors import UsageError
from steelyard.records.base import Record
from steelyard.records.recipe import Chosen
from steelyard.records.spelling import did_you_mean

WAYS = ("distil", "prune", "quantise")
"""In the order in which they are gone; each is a table of `[cheaper]`."""
NAMES: Mapping[str, str] = {"distil": "distilled", "prune": "pruned", "quantise": "quantised"}
"""What comes out, as variants are called."""


class Distil(Record):
    """A smaller network learns from the trained one."""

    network: Chosen | None = None
    """None: the recipe's, half as wide."""
    epochs: int | None = None
    """None: as many as the recipe's."""
    rate: float = 1.0
    """Of the recipe's learning rate."""

    def __post_init__(self) -> None:
        _check("distil", self.epochs, self.rate)


class Prune(Record):
    """Whole channels, neurons and heads are taken out, and what is left learns on."""

    keep: float = 0.5
    """Share of the channels, neurons and heads of each layer that stays."""
    epochs: int | None = None
    """None: half as many as the recipe's."""
    rate: float = 0.3

    def __post_init__(self) -> None:
        _check("prune", self.epochs, self.rate)
        if not 0 < self.keep < 1:
            raise UsageError(f"[cheaper.prune] keep lies between 0 and 1, got {self.keep:g}", "0.5 keeps every second")


class Quantise(Record):
    """Weights and what goes into the layers are rounded to 8 bits while the network learns on."""

    epochs: int | None = None
    """None: a fifth of the recipe's."""
    rate: float = 0.1

    def __post_init__(self) -> None:
        _check("quantise", self.epochs, self.rate)


KINDS: Mapping[str, type[Distil | Prune | Quantise]] = {"distil": Distil, "prune": Prune, "quantise": Quantise}


class Cheaper(Record):
    """What is trained beside the network itself; each learns from it as well as from the data."""

    distil: Distil | None = None
    prune: Prune | None = None
    quantise: Quantise | None = None
    temperature: float = 4.0
    """By which both networks' outputs are divided where they are compared."""
    share: float = 0.7
    """Of the loss, what the trained network's answers make up; the rest are the targets."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(f"[cheaper] temperature is more than 0, got {self.temperature:g}", "4 is common")
        if not 0 <= self.share <= 1:
            raise UsageError(f"[cheaper] share lies between 0 and 1, got {self.share:g}", "0.7 is common")

    @property
    def wanted(self) -> Iterator[str]:
        """The ways that are gone."""
        return (way for way in WAYS if getattr(self, way) is not None)

    def also(self, ways: Sequence[str]) -> Cheaper:
        """The same and these ways, as they usually are where it has them not. Raises UsageError for unknown ones."""
        wrong = next((way for way in ways if way not in WAYS), None)
        if wrong is not None:
            raise UsageError(f"there is no way {wrong!r} to a cheaper network", did_you_mean(wrong, WAYS))
        return msgspec.structs.replace(self, **{way: getattr(self, way) or KINDS[way]() for way in ways})


def _check(way: str, epochs: int | None, rate: float) -> None:
    if epochs is not None and epochs < 1:
        raise UsageError(f"[cheaper.{way}] epochs is 1 or more, got {epochs}")
    if not rate > 0:
        raise UsageError(f"[cheaper.{way}] rate is more than 0, got {rate:g}", "it is a share of the recipe's")
