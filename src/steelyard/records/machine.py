"""What a machine is, and what it costs."""

from __future__ import annotations

from steelyard.errors import UsageError
from steelyard.records.base import Record, digest

HOURS_PER_MONTH = 730
"""365 days of 24 hours over 12 months: how clouds count a month."""
NO_CURRENCY = "machine-hours"


class Machine(Record):
    """The machine that was measured on. `fingerprint` changes when anything changes that moves a measurement."""

    cpu: str
    arch: str
    cores: int
    """Cores this process may use (affinity and control-group quota counted)."""
    memory_mb: int
    features: tuple[str, ...] = ()
    """Instruction sets that matter for inference, sorted: avx2, avx512_vnni, avx512_bf16, amx_int8 …"""
    system: str = ""
    devices: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of everything above but the exact amount of memory."""
        return digest(self.cpu, self.arch, self.cores, self.features, self.system, self.devices)

    @property
    def has_bf16(self) -> bool:
        """Whether the CPU multiplies bfloat16 in hardware."""
        return "avx512_bf16" in self.features or "amx_bf16" in self.features


class Price(Record):
    """What one replica's machine costs per hour. Without a price, cost is counted in machine hours."""

    per_hour: float = 1.0
    currency: str = NO_CURRENCY
    machine: str = "this machine"
    source: str = "no price given: cost is counted in machine hours"
    spot: bool = False
    """It may be taken away at any moment: replicas to spare are planned unless the requirements say how many."""
    other_per_hour: float | None = None
    """What the same machine costs the other way, where the catalogue tells: on demand for a spot price, or spot."""

    def __post_init__(self) -> None:
        if not 0 < self.per_hour < float("inf"):
            raise UsageError(f"a price is above 0 per hour, got {self.per_hour:g}", "for example --price 0.10USD/h")
