"""A node as the one who spreads the work sees it, whatever carries the messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from steelyard.bundle import sha256
from steelyard.cluster.parcels import chunks, inside
from steelyard.errors import SteelyardError
from steelyard.records.base import from_json, to_json
from steelyard.records.candidate import Candidate
from steelyard.records.errand import Ended, Errand, Failed, Greeting, Message, Parcel
from steelyard.records.weighing import Weighing

LISTEN_S = 1.0
GRACE_S = 120.0
"""A search may be silent for as long as its longest step, and this much longer."""


class NodeLost(Exception):  # noqa: N818 - it is dealt with, not reported as an error
    """The node is gone, or cannot be reached any more."""


class FarNode(Protocol):
    """One node. `ask` calls a method of `cluster.node.Node` there; it raises `NodeLost`, or the node's own error."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def label(self) -> str:
        """What its kind of machine is called, for instance in a price catalogue; may be empty."""

    def ask(self, method: str, *arguments: bytes | str | float) -> bytes:
        """The answer of one method."""


def greeting(node: FarNode) -> Greeting:
    """What it is."""
    return from_json(node.ask("greet"), Greeting)


def ship(node: FarNode, parcel: Parcel, contents: dict[str, Path]) -> int:
    """Send what it lacks; how many contents that was."""
    missing = from_json(node.ask("missing", to_json(parcel)), list[str])
    for content in missing:
        for chunk in chunks(contents[content]):
            node.ask("take", content, chunk, False)
        node.ask("take", content, b"", True)
    return len(missing)


def weighing(node: FarNode, errand: Errand) -> Weighing:
    """What can be tried there."""
    return from_json(node.ask("weighing", to_json(errand)), Weighing)


def search(node: FarNode, errand: Errand) -> Iterator[Message]:
    """The messages of a search as they come in; the last is `Ended` or `Failed`."""
    node.ask("begin", to_json(errand))
    seen, heard = 0, time.monotonic()
    longest = errand.job.candidate_seconds + errand.within_s + GRACE_S
    while True:
        messages = from_json(node.ask("told", seen, LISTEN_S), list[Message])
        for message in messages:
            yield message
            if isinstance(message, Ended | Failed):
                return
        seen += len(messages)
        heard = time.monotonic() if messages else heard
        if time.monotonic() - heard > longest:
            raise NodeLost(f"{node.name} was silent for {longest:.0f} s")


def fetch(node: FarNode, candidate: Candidate, into: Path) -> None:
    """The files of a candidate's variant, checked against the hashes that the node tells."""
    named = to_json(candidate)
    for name, expected in from_json(node.ask("artefacts", named), dict[str, str]).items():
        target = into / inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while piece := node.ask("piece", named, name, file.tell()):
                file.write(piece)
        if sha256(target) != expected:
            raise SteelyardError(f"{name} was damaged on its way from {node.name}", "run the same command again")
