"""What is told of how a network comes to its answers. Light: no torch."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.datasets.examples import Array, Kind


@dataclass(frozen=True, eq=False)
class Explained:
    """One item: how much each part of it adds to the output that won, or takes from it."""

    row: int
    """In its part of the data."""
    truth: str
    told: str
    added: Array
    """Float. Pictures [height, width], sequences [steps, channels], texts [tokens], tables [columns]."""
    gap: float
    """How far all of these together miss the difference of outputs, as a share of it."""
    seen: Array | None = None
    """Grad-CAM of a picture, [height, width] from 0 to 1; None: there is no convolution to look into."""
    names: tuple[str, ...] = ()
    """Of a text, its tokens."""

    @property
    def is_right(self) -> bool:
        """Whether the answer was."""
        return self.told == self.truth


@dataclass(frozen=True, eq=False)
class Explanation:
    """Some items of a part, and of tables each column's weight."""

    kind: Kind
    items: tuple[Explained, ...]
    baseline: str
    """What items are compared with, in words."""
    names: tuple[str, ...] = ()
    """Of channels, or of columns."""
    weights: tuple[float, ...] = ()
    """Of a table's columns: the mean, over `judged` items, of what each adds or takes, without its sign."""
    judged: int = 0
    layer: str = ""
    """Where Grad-CAM looked."""

    @property
    def gap(self) -> float:
        """The largest of all."""
        return max((each.gap for each in self.items), default=0.0)
