"""What the machine draws: energy counters where they can be read, published figures where they cannot.

Counters: Intel's and AMD's RAPL as Linux shows it (the kernel's Documentation/power/powercap/powercap.rst; since
CVE-2020-8694 only root may read it), and NVIDIA's per GPU (NVML, `nvmlDeviceGetTotalEnergyConsumption`, Volta and
later). Both count the whole machine, whoever uses it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from steelyard.machines.limits import text_of
from steelyard.records.machine import Machine

ZONES = "sys/class/powercap"


class Counter(Protocol):
    """Counts energy upwards; `wraps_at` joules it begins at 0 again (inf: never)."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def wraps_at(self) -> float:
        """In joules."""

    def joules(self) -> float:
        """Raises OSError when it can no longer be read."""


@dataclass(frozen=True)
class RaplZone:
    """One part of the machine with a counter of its own: a processor package, its memory, the platform."""

    name: str
    folder: Path
    wraps_at: float

    def joules(self) -> float:
        """As the kernel gives it, in microjoules."""
        return int((self.folder / "energy_uj").read_text(encoding="ascii")) / 1e6


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    device: Any
    wraps_at: float = float("inf")

    def joules(self) -> float:
        """Since the driver was loaded."""
        import pynvml

        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.device)) / 1e3
        except pynvml.NVMLError as error:
            raise OSError(f"{self.name}: {error}") from error


def counters(root: Path = Path("/")) -> tuple[Counter, ...]:
    """All counters that can be read here. `root` is for tests."""
    return (*rapl_zones(root), *(gpus() if root == Path("/") else ()))


def rapl_zones(root: Path = Path("/")) -> tuple[RaplZone, ...]:
    """The packages with their memory; the platform's counter only where no package has one, as it contains them."""
    found = [zone for folder in _folders(root) if (zone := _zone(folder)) is not None]
    packages = [zone for zone in found if zone.name.startswith(("package", "dram"))]
    return tuple(packages or [zone for zone in found if zone.name == "psys"])


def _folders(root: Path) -> list[Path]:
    try:
        return sorted((root / ZONES).glob("intel-rapl:*"))
    except OSError:
        return []


def _zone(folder: Path) -> RaplZone | None:
    """None for a zone that may not be read or makes no sense."""
    wraps_at = text_of(folder / "max_energy_range_uj")
    zone = RaplZone(text_of(folder / "name"), folder, int(wraps_at) / 1e6 if wraps_at.isdecimal() else 0.0)
    try:
        zone.joules()
    except (OSError, ValueError):
        return None
    return zone if zone.wraps_at > 0 else None


def gpus() -> tuple[Gpu, ...]:
    """NVIDIA's GPUs whose energy can be read; () without the extra `gpu`, a driver, or such a GPU."""
    with contextlib.suppress(ImportError, OSError):
        import pynvml

        try:
            pynvml.nvmlInit()
            devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError:
            return ()
        return tuple(gpu for index, device in enumerate(devices) if _counts(gpu := Gpu(f"GPU {index}", device)))
    return ()


def _counts(gpu: Gpu) -> bool:
    try:
        gpu.joules()
    except OSError:
        return False
    return True


def unreadable(root: Path = Path("/")) -> str:
    """Why no counter of the processor can be read."""
    if not _folders(root):
        return "this machine shows no energy counter"
    return "the energy counter may not be read (only root may)"


class Coefficients(NamedTuple):
    """Watts of one vCPU that does nothing and of one that is busy all the time, of a server with such processors."""

    processor: str
    idle_w: float
    busy_w: float


SOURCE = "SPECpower results by Cloud Carbon Footprint, ccf-coefficients b0032d92 of 2026-03"
COEFFICIENTS: Mapping[str, Coefficients] = {
    "amd avx512_bf16": Coefficients("EPYC 4th Gen", 0.739, 2.282),
    "amd avx2": Coefficients("EPYC 3rd Gen", 0.456, 1.957),
    "intel amx_int8": Coefficients("Xeon Sapphire Rapids", 1.036, 4.160),
    "intel avx512_vnni": Coefficients("Xeon Ice Lake", 0.767, 3.758),
    "intel avx512f": Coefficients("Xeon Skylake", 0.613, 4.104),
    "intel avx2": Coefficients("Xeon Broadwell", 0.713, 3.685),
}
"""By maker and instruction set, the newest first: cloud machines do not tell their processor's exact name."""


def coefficients_of(machine: Machine) -> Coefficients | None:
    """The published figures that come nearest to this machine; None for processors without any (ARM, Apple …)."""
    for key, figures in COEFFICIENTS.items():
        maker, feature = key.split()
        if maker in machine.cpu.lower() and feature in machine.features:
            return figures
    return None
