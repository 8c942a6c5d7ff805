"""Nodes in this process, which do what real ones do and are lost on command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from steelyard.cluster.far import NodeLost
from steelyard.cluster.node import Node
from steelyard.records.base import from_json, to_json
from steelyard.records.errand import Failed, Greeting, Measured, Message
from steelyard.records.machine import Machine


@dataclass
class FakeNode:
    """Carries plain values to a node of this process; `lost_after` measurements it answers no more."""

    name: str
    label: str = ""
    lost_after: int | None = None
    version: str | None = None
    fails: str = ""
    """What every search here ends with."""
    as_machine: Machine | None = None
    asked: list[str] = field(default_factory=list)
    heard: Callable[[Message], None] = lambda _: None
    _node: Node = field(default_factory=Node)
    _told: int = 0

    def __post_init__(self) -> None:
        if self.as_machine is not None:
            self._node._machine = self.as_machine

    def ask(self, method: str, *arguments: bytes | str | float) -> bytes:
        if self.lost_after is not None and self._told >= self.lost_after:
            self.halt()
            raise NodeLost(f"{self.name} went away: told to")
        self.asked.append(method)
        if self.fails and method in ("begin", "told"):
            return to_json([Failed(name="ModelError", message=self.fails)])
        answer: bytes = getattr(self._node, method)(*arguments) or b""
        if method == "greet" and self.version:
            greeting = from_json(answer, Greeting)
            return to_json(msgspec.structs.replace(greeting, steelyard=self.version))
        if method == "told":
            for message in from_json(answer, list[Message]):
                self._told += isinstance(message, Measured)
                self.heard(message)
        return answer

    def halt(self) -> None:
        self._node.halt()
