"""What a search for a network tried and found."""

from __future__ import annotations

from typing import Any, Literal

from steelyard.records.base import Record
from steelyard.records.evaluation import Interval
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Latency
from steelyard.records.space import Space

Ending = Literal["finished", "stopped", "failed"]


class Serving(Record):
    """What a network takes to be served, as it is exported, in the quickest of the ways that were tried."""

    candidate: str
    """Runtime, threads, streams and largest batch, in one word."""
    capacity_per_s: float
    """Requests per second of one machine, all cores busy; with a latency required, while it is kept. 0: it is not."""
    item_ms: float
    """The middle service time of one item alone."""
    memory_mb: float
    service: tuple[ServiceTime, ...]
    spread: float
    """How far apart the two quickest timings of a batch lay, one over the other: above 1.05 = the machine was busy."""

    @property
    def machine_ms(self) -> float:
        """Milliseconds of the machine per request; infinite where the latency is not kept."""
        return 1e3 / self.capacity_per_s if self.capacity_per_s else float("inf")


class Tried(Record):
    """One point of the space."""

    number: int
    """From 1, in the order of their ends."""
    key: str
    """Hash of the settings."""
    settings: dict[str, Any]
    """What was put into the recipe: path → value."""
    told: str
    """The settings in a line."""
    ending: Ending
    reason: str
    """Why it ended."""
    parameters: int = 0
    planned: int = 0
    """Epochs it was to make."""
    course: tuple[float, ...] = ()
    """The metric on the validation part after each epoch."""
    validation: float | None = None
    """The best of them, whose weights are kept."""
    serving: Serving | None = None
    """Of networks like one of the front, measured carefully and of that one as it was trained; of others, roughly and
    with fresh weights."""
    seconds: float = 0.0


class OnFront(Record):
    """A network that no other beats in both quality and cost."""

    number: int
    """Of the trial."""
    folder: str
    """In the search's folder; ready to be weighed."""
    validation: float
    serving: Serving
    """Measured anew, of the trained network."""
    per_million: float
    """Cost of a million requests, in the price's currency."""
    test: Interval | None
    """The same metric on the test part, with limits of 95 %; it took no part in choosing. None: there are no limits
    for this metric, or there is no test part."""
    test_items: int


class Search(Record):
    """All of it: `search.json`."""

    name: str
    data: str
    data_sha256: str
    metric: str
    lower_is_better: bool
    space: Space
    points: int | None
    """In the space; None: without number."""
    latency: Latency | None
    price: Price
    machine: Machine
    tried: tuple[Tried, ...]
    front: tuple[OnFront, ...]
    """The cheapest first."""
    complete: bool
    """Every point of the space was tried."""
    seconds: float
    """Of the last run of the command."""
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
