"""What was observed of a candidate. These are what the ledger keeps."""

from __future__ import annotations

from typing import Literal

from steelyard.records.base import Record

FailureKind = Literal["unsupported", "build", "crash", "timeout", "memory", "invalid"]
"""unsupported: the runtime cannot do it; build: the variant could not be made; crash: the process died;
timeout, memory: a limit was passed; invalid: NaN, Inf, answers of another shape than the reference's, or answers that
the metric cannot judge."""


class Failure(Record):
    """Why a candidate could not be measured to the end."""

    kind: FailureKind
    message: str


class Probe(Record, tag=True):
    """The first look: does it build, load, and answer a few items sanely; how much memory and time does that take."""

    build_s: float
    load_s: float
    memory_mb: float
    """Peak resident memory of the serving process, after the largest batch was served."""
    failure: Failure | None = None


class ServiceTime(Record):
    """How long one batch takes on one stream while all streams are busy.

    `quantiles_ms` are evenly spaced quantiles from the minimum to the maximum of the undisturbed runs.
    """

    batch: int
    quantiles_ms: tuple[float, ...]
    runs: int
    disturbed: int = 0
    """Runs that the machine interrupted (involuntary context switches): left out, unless hardly any were not."""
    watts: float | None = None
    """Drawn by the machine meanwhile, all streams busy; None: neither measured nor estimated."""

    @property
    def median_ms(self) -> float:
        """The middle."""
        return self.quantiles_ms[len(self.quantiles_ms) // 2]


class Power(Record):
    """How the watts of service times came about."""

    source: str
    """The counters that were read, or what the estimate rests on."""
    estimated: bool
    idle_watts: float | None = None
    """Drawn when nothing was served; it is part of what was drawn while serving."""


class Speed(Record, tag=True):
    """Service times for growing batches, and how the reference fared in the same minutes."""

    service: tuple[ServiceTime, ...]
    reference_ratio: float
    """The reference's service time beside this candidate, over its service time on its own: 1.0 = quiet machine."""
    rough: bool = False
    """A glance of a tenth of a second, good enough to drop what is far behind, never to choose."""
    power: Power | None = None


class Paired(Record):
    """Right and wrong answers of candidate and reference to the same items."""

    both: int
    only_reference: int
    only_candidate: int
    neither: int

    @property
    def items(self) -> int:
        """How many items were compared."""
        return self.both + self.only_reference + self.only_candidate + self.neither


class Quality(Record, tag=True):
    """How good the answers to items [start, start + items) are, beside the reference's.

    Metrics that are a mean of right and wrong give `paired` (of the items that count: `recall:CLASS` counts those of
    one class). Others give evenly spaced quantiles of what the candidate's `values` and its `drops` against the
    reference may truly be, given these items: the truth lies above the quantile at 0.95 with 5 % chance at most, and
    below the one at 0.05 likewise.
    """

    metric: str
    start: int
    items: int
    value: float
    reference: float
    paired: Paired | None = None
    values: tuple[float, ...] = ()
    drops: tuple[float, ...] = ()
    identical: bool = False
    """The answers are the reference's own, by construction: its drop is 0 without any statistics."""
    lower_is_better: bool = False
    """The metric is an error; then the drop is told as a share of the reference's error."""
    reach: float = 1.0
    """How far a single item, as bad as can be, moves the drop, times the number of items."""

    @property
    def drop(self) -> float:
        """How much worse than the reference; negative = better.

        In the metric's units, or, for an error, relative: 0.01 = an error larger by 1 % of the reference's.
        """
        if self.lower_is_better:
            return self.value / self.reference - 1 if self.reference else 0.0
        return self.reference - self.value


class Load(Record, tag=True):
    """Real load: requests sent at their scheduled times, whatever became of those before, to the code that serves.

    Latency counts from the scheduled arrival, so neither a stalled server nor a sender that is behind can hide it.
    """

    rate_per_s: float
    """Requests per second that were sent."""
    arrivals: str
    """The pattern, as it is typed: `poisson`, `gamma:2`, `trace:requests.csv`."""
    seconds: float
    """From the first scheduled arrival to the last; a short run before, which warms up, is not counted."""
    requests: int
    late: int
    """Answered later than `bound_ms` after their scheduled arrival, or given up: the queue only grew."""
    late_once_sent: int
    """The same, but counted from when it was sent: without what the generator is to blame for."""
    bound_ms: float
    quantiles_ms: tuple[float, ...]
    """Evenly spaced quantiles of the latency, from the minimum to the maximum."""
    sent_late_ms: tuple[float, ...]
    """Evenly spaced quantiles of how long after its scheduled arrival a request was sent; 0 for one that was sent while
    all workers were busy: nobody could have taken it before."""
    generator_share: float
    """Of one core's time, what the generator itself used."""
    mean_batch: float
    """Requests that were served together, on average."""
    answered_per_s: float
    """Requests answered over the time from the first arrival to the last answer."""
    clustering: float = 1.0
    """So many consecutive requests tell as much about lateness as one on its own: lateness comes in spells."""
    others_cores: float | None = None
    """Cores that other processes kept busy meanwhile; None: not known."""
    percentile: float = 0.0
    """Of the latency requirement that was held against it; 0: none was."""
    tried_per_s: float | None = None
    """The capacity that was predicted and tried first; None: it was no test of a prediction."""
    held_per_s: float | None = None
    """Then the highest of the rates tried that did not fail; 0: none held."""


Measurement = Probe | Speed | Quality | Load


class Entry(Record):
    """One line of the ledger: whose measurement, of what, where, when."""

    key: str
    """Hash of all that could change the result: two entries of one key measured the same thing."""
    subject: str
    candidate: str
    """A candidate's id; for quality, its numerics."""
    machine: str
    created: str
    """UTC, ISO 8601."""
    measurement: Measurement


class Evidence(Record):
    """All that the ledger holds of one candidate on one machine, folded together: the input of the decision."""

    candidate_id: str
    probe: Probe | None = None
    speed: Speed | None = None
    selected: Quality | None = None
    """On the items that select (the largest look)."""
    confirmed: Quality | None = None
    """On items that took no part in selecting."""
    load: Load | None = None
    """The latest run under real load."""
    dropped: str = ""
    """Why the search stopped measuring it, if it did."""
