"""One weighing as it was ordered."""

from __future__ import annotations

from steelyard.errors import UsageError
from steelyard.records.base import Record
from steelyard.records.data import DataSpec
from steelyard.records.machine import Price
from steelyard.records.requirements import Requirements


class Job(Record):
    """Everything that `steelyard weigh` needs to know."""

    model: str
    """Path of the model file."""
    data: DataSpec
    requirements: Requirements
    price: Price = Price()
    variants: dict[str, str] = {}
    """Paths of other models that were given as variants of this one, by name."""
    metric: str | None = None
    """None: accuracy where there are labels, agreement with the reference where there are none."""
    output: str | None = None
    """The model's output that is judged; None: the first that fits the metric."""
    out: str = "steelyard-plan"
    """Folder of the bundle."""
    work: str = ".steelyard"
    """Folder of the ledger and of what is kept between runs."""
    ledger: str | None = None
    """Path or URL of the ledger; None: `ledger.db` in the work folder."""
    within_s: float = 600.0
    exhaustive: bool = False
    """Measure every candidate to the end, and drop none."""
    candidate_seconds: float = 300.0
    """No single step of one candidate may take longer."""
    candidate_memory_mb: float | None = None
    """No candidate may use more; None: 80 % of what the machine has."""
    warnings: tuple[str, ...] = ()
    on: str | None = None
    """The cluster whose nodes weigh: `ray` (the one this machine is part of), `ray://HOST:PORT`; None: this machine."""
    machine_prices: dict[str, Price] = {}
    """What nodes cost, by the names that they are labelled with."""
    mlflow: str | None = None
    """The tracking server, database or folder that the weighing is logged to; None: nowhere."""

    def __post_init__(self) -> None:
        self.requirements.check_currency(self.price)
        if not self.within_s > 0 or not self.candidate_seconds > 0:
            raise UsageError("the time allowed for the search is longer than nothing", "for example --within 60s")
