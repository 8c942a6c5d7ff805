"""The decision, as it is written to `plan.json`. The schema is versioned: `steelyard.plan/1`."""

from __future__ import annotations

from typing import Any, Literal

from steelyard.records.base import Record
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import FailureKind, Load, ServiceTime
from steelyard.records.requirements import Requirements
from steelyard.records.signature import Signature

SCHEMA: Literal["steelyard.plan/1"] = "steelyard.plan/1"

Verdict = Literal["pass", "fail", "undecided"]
Outcome = Literal["chosen", "front", "dominated", "fails", "undecided", "failed", "not measured"]
"""chosen; front: keeps every requirement and nothing is better in cost, latency and quality at once;
dominated: keeps every requirement, something else is at least as good in everything; fails: breaks a requirement;
undecided: the items or runs do not suffice; failed: could not be run; not measured: the search dropped it early."""


class Chosen(Record):
    """The candidate that the plan runs, spelt out."""

    id: str
    variant: str
    runtime: str
    precision: str
    threads: int
    streams: int
    max_batch: int
    machine: str
    instances: int = 1
    """Processes that each open the model, with as many streams each."""

    @property
    def workers(self) -> int:
        """Batches served side by side: the streams of all instances."""
        return self.streams * self.instances


class QualityFigures(Record):
    """Quality beside the reference, on the same items."""

    metric: str
    value: float
    reference: float
    drop: float
    bound: float
    """With the plan's confidence the drop is not larger than this."""
    value_bound: float
    """With the plan's confidence the value is not worse than this."""
    verdict: Verdict
    confidence: float
    items: int
    confirmed: bool
    """Judged on items that took no part in selecting."""
    items_needed: int | None = None
    """When undecided: about how many items would settle it, were the observed rates the true ones."""
    lower_is_better: bool = False
    """The metric is an error; `drop` and `bound` are shares of the reference's."""


class LatencyFigures(Record):
    """Latency of one request under the plan's load, queueing counted, in milliseconds."""

    p50: float
    p95: float
    p99: float
    rate_per_s: float
    """Requests per second per replica at which these hold."""
    unit: Literal["ms"] = "ms"
    source: Literal["simulated from measured service times", "measured"] = "simulated from measured service times"
    quantiles: tuple[float, ...] = ()
    """Evenly spaced quantiles from minimum to maximum, for drawing the distribution."""


class Energy(Record):
    """Electricity, told as the cost is: with every replica used to its capacity."""

    wh_per_million: float
    """Watt hours per million requests."""
    watts: float
    """Drawn by one replica at its capacity."""
    idle_watts: float | None
    """Drawn by the machine when it does nothing; it is part of `watts`. None: not known."""
    source: str
    """The counter that was read, or what the estimate rests on."""
    estimated: bool
    """From processor time and published figures; no counter could be read."""


class Cost(Record):
    """Money, in the price's currency."""

    per_million: float | None
    """Per million requests, every replica used to its capacity; None when it cannot serve within the bound."""
    per_month: float | None
    """All replicas, 730 hours, those to spare counted; None when no rate was required."""
    currency: str
    per_million_at_rate: float | None = None
    """Per million requests at the required rate: what stands idle is paid as well. None when no rate was required."""
    idle_per_month: float | None = None
    """Of `per_month`, what is paid for capacity that the required rate does not use: headroom, spare, the rest."""
    utilisation: float | None = None
    """The required rate over the capacity of all replicas."""
    spare: int = 0
    """Of the replicas, those kept for failure and interruption."""


class Figures(Record):
    """Everything told of one candidate that ran to the end. The reference has the same."""

    candidate: Chosen
    quality: QualityFigures
    latency: LatencyFigures
    capacity_per_replica: float
    """Requests per second that one replica serves within the latency bound."""
    replicas: int | None
    """Those to spare counted; None when no rate was required."""
    cost: Cost
    memory_mb: float
    load_s: float
    service: tuple[ServiceTime, ...]
    energy: Energy | None = None
    load: Load | None = None
    """What real load told, where it was put under one."""


class Weighed(Record):
    """One candidate and what became of it."""

    id: str
    verdict: Outcome
    reason: str
    """One sentence for people: what it failed on, or what beat it and by how much."""
    failure: FailureKind | None = None
    figures: Figures | None = None
    quality: QualityFigures | None = None
    """Of one that has no figures, for want of a speed: what is known of its quality."""


class Gain(Record):
    """The chosen candidate against the reference."""

    speed: float | None
    """Capacity per replica over the reference's; None when the reference cannot keep the latency bound at all."""
    cost: float | None
    """The reference's cost per million requests over the chosen one's; None likewise."""


class Relaxation(Record):
    """The smallest change to one requirement that would make a plan possible."""

    requirement: str
    """The binding requirement in the user's words, e.g. `--p95 2ms`."""
    instead: str
    """What would have to be demanded instead, e.g. `--p95 3.4ms`."""
    candidate: str
    """The candidate that would then be chosen."""


class Flip(Record):
    """A price or a rate at which the decision would be another one, everything else being equal."""

    of: Literal["price", "rate"]
    now: float
    at: float
    """Where it changes: money per hour and machine, or requests per second."""
    unit: str
    """`USD/h`, `requests/s`."""
    candidate: str
    """What is then chosen, perhaps the same one with other replicas; empty: nothing keeps every requirement."""
    machine: str = ""
    """Of a price: whose."""
    replicas: int | None = None
    """Of `candidate`, on the other side."""


class MachineFigures(Record):
    """One of several machines that were decided on together."""

    name: str
    """Candidates name it after `@`."""
    machine: Machine
    price: Price
    reference_capacity: float
    """Requests per second of one replica of the model as given, on this machine."""
    best: str | None
    """The preferred candidate there that keeps every requirement; None: there is none."""
    cost: Cost | None
    """Of `best`."""


class SearchFigures(Record):
    """What the search did."""

    seconds: float
    measured: int
    """Measurements made in this run."""
    resumed: int
    """Measurements taken over from the ledger."""
    ruled_out: int
    """Candidates dropped before they were measured to the end."""
    complete: bool
    """False when the time limit or the user stopped it: a better candidate may exist."""


class SubjectInfo(Record):
    """What was weighed, and what judged it."""

    name: str
    key: str
    metric: str
    model: str
    model_sha256: str
    data: str
    data_sha256: str
    items_select: int
    items_confirm: int
    items_calibrate: int
    told: tuple[str, ...] = ()
    """What cleaning found in the data, with counts."""
    settings: dict[str, Any] = {}
    """What is needed to set the subject up again: the data's specification, the seed."""
    signature: Signature | None = None
    """How the model is asked; None: the subject is not a model, or the plan is older than this field."""


class Plan(Record):
    """The decision and its proof."""

    schema: Literal["steelyard.plan/1"]
    steelyard: str
    """The version that made it."""
    created: str
    status: Literal["met", "infeasible", "undecided"]
    summary: str
    """The decision in one or two plain sentences."""
    subject: SubjectInfo
    requirements: Requirements
    machine: Machine
    price: Price
    chosen: Chosen | None
    quality: QualityFigures | None
    latency: LatencyFigures | None
    capacity_per_replica: float | None
    replicas: int | None
    cost: Cost | None
    reference: Figures
    gain: Gain | None
    candidates: tuple[Weighed, ...]
    """All of them: the chosen one first, then the front, then the others, cheapest first."""
    front: tuple[str, ...]
    """Ids, cheapest first; all keep every requirement."""
    search: SearchFigures
    nearest: str | None = None
    """When nothing meets the requirements: the id of the candidate that comes closest."""
    binding: tuple[str, ...] = ()
    """When nothing meets the requirements: which ones the nearest candidate breaks, as `--flag value`."""
    relaxations: tuple[Relaxation, ...] = ()
    """Cheapest first."""
    warnings: tuple[str, ...] = ()
    flips: tuple[Flip, ...] = ()
    """Where the decision would change, the nearest first."""
    sensitivity: tuple[str, ...] = ()
    """The same in sentences, and what does not change it."""
    machines: tuple[MachineFigures, ...] = ()
    """When several were decided on at once, all of them; `machine`, `price` and `reference` are the chosen one's."""
    artefacts: dict[str, dict[str, str]] = {}
    """Of a bundle: for each variant on the front or the ladder, relative file path → sha256."""
    ladder: tuple[str, ...] = ()
    """Ids of what a server may switch between, the most accurate first; the chosen one is among them, and all keep the
    quality, the memory and the latency that are required. Empty: nothing was chosen, or the plan is older than this
    field."""

    @property
    def chosen_figures(self) -> Figures | None:
        """The chosen candidate's figures, as the reference's are given."""
        return next((c.figures for c in self.candidates if self.chosen and c.id == self.chosen.id), None)
