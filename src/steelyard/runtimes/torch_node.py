"""What an operator may know of its node when a model is opened with torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]
"""Called with the node's inputs, None for those left out; returns one tensor, or a tuple of several."""


@dataclass(frozen=True)
class Node:
    """One node of the graph."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    """Names; empty where an optional input is left out."""
    known: tuple[Any, ...]
    """The value of each input that does not depend on the model's inputs, None for the others."""
    outputs: int
    opset: int

    def attribute(self, name: str, default: Any) -> Any:
        """The attribute's value, or what it is when it is not given."""
        return self.attributes.get(name, default)

    def has_input(self, position: int) -> bool:
        """Whether the input at `position` is there."""
        return position < len(self.inputs) and self.inputs[position] != ""
