"""Look at this machine as a place to measure and to run: what is installed, what the processor can, what disturbs."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil

from steelyard.machines.here import this_machine
from steelyard.machines.limits import cpu_quota, text_of, throttled
from steelyard.records.base import Record
from steelyard.records.engine import RuntimeSpec
from steelyard.records.machine import Machine

BUSY_SHARE = 0.3
"""A load average above this share of the cores means that something else computes."""
STOLEN_SHARE = 0.01
THROTTLED_SHARE = 0.01

PACKAGES = {
    "nncf": ("", "int8 for OpenVINO (variants of the model)"),
    "torch": ("train", "models given as torch modules, and torch as the reference runtime"),
    "onnxscript": ("train", "exporting torch modules to ONNX"),
}
"""Optional package → the extra of Steelyard that installs it (empty: the core does), and what it is for."""

FAST_INT8 = "fast int8: several times the arithmetic of f32"
FAST_BF16 = "bf16 in hardware: about half the time of f32 in large networks, and half the memory traffic"
INSTRUCTIONS = {
    "x86_64": {
        "avx2": "vectors of 8 floats; without it every runtime is slow",
        "fma": "multiply and add in one step: up to twice the arithmetic of f32",
        "f16c": "fast conversion of half-precision weights",
        "avx512f": "vectors of 16 floats: up to twice the arithmetic of avx2",
        "avx_vnni": FAST_INT8,
        "avx512_vnni": FAST_INT8,
        "avx512_bf16": FAST_BF16,
        "amx_int8": "int8 in tiles: several times the arithmetic of avx512_vnni",
        "amx_bf16": "bf16 in tiles: several times the arithmetic of avx512_bf16",
    },
    "aarch64": {
        "neon": "vectors of 4 floats; without it every runtime is slow",
        "fp16": "half precision in hardware: up to half the time of f32",
        "dotprod": FAST_INT8,
        "i8mm": "int8 matrices: about twice the arithmetic of dotprod",
        "bf16": FAST_BF16,
        "sve": "vectors longer than neon's where the processor has them",
    },
}
"""What each instruction set brings. Sources: Intel 64 and IA-32 manual, volume 2; Arm Architecture Reference Manual."""


class Package(Record):
    """A runtime or an optional package."""

    name: str
    version: str | None
    """None: not installed, or of no use here."""
    how: str
    """The command that installs it, or what else is missing; empty when it can be used."""
    purpose: str


class InstructionSet(Record):
    """An instruction set that matters for inference, and what it brings where it is present."""

    name: str
    present: bool
    brings: str


class Examination(Record):
    """What was found. Nothing in it is an error: a search runs with what there is."""

    python: str
    steelyard: str
    machine: Machine
    runtimes: tuple[Package, ...]
    packages: tuple[Package, ...]
    instruction_sets: tuple[InstructionSet, ...]
    noise: tuple[str, ...]
    """What disturbs measurements here and now, one sentence each with what to do; empty: nothing was found."""
    folder: str
    """The working folder, absolute."""
    writable: bool
    """Whether files can be made in the working folder."""
    free_mb: int
    """Room in the working folder, in MB (10^6 bytes)."""

    @property
    def ready(self) -> bool:
        """Whether a search can run at all: one runtime, and a folder to write in."""
        return self.writable and any(runtime.version for runtime in self.runtimes)


def examine(
    runtimes: Iterable[RuntimeSpec],
    folder: Path = Path(),
    root: Path = Path("/"),
    lacking: Callable[[RuntimeSpec], str] = lambda _: "",
) -> Examination:
    """Examine this machine and the working `folder`; takes well under a second. `root` is for tests.

    `lacking` tells what an installed runtime still lacks on this machine.
    """
    machine = this_machine(root)
    place = folder.resolve()
    return Examination(
        python=platform.python_version(),
        steelyard=installed("steelyard") or "not installed",
        machine=machine,
        runtimes=tuple(_runtime(spec, machine, lacking) for spec in runtimes),
        packages=tuple(_package(name, name, extra, purpose) for name, (extra, purpose) in PACKAGES.items()),
        instruction_sets=_instruction_sets(machine),
        noise=tuple(_noise(machine.cores, root)),
        folder=str(place),
        writable=_writable(place),
        free_mb=_free_mb(place),
    )


def installed(distribution: str) -> str | None:
    """Version of an installed distribution, without importing it; None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _runtime(spec: RuntimeSpec, machine: Machine, lacking: Callable[[RuntimeSpec], str]) -> Package:
    distribution = next((name for name in (spec.package, *spec.also) if installed(name)), spec.package)
    found = _package(spec.name, distribution, spec.extra, f"computes in {', '.join(spec.precisions)}")
    if spec.device == "gpu" and not machine.devices:
        return msgspec.structs.replace(found, version=None, how="there is no NVIDIA GPU here")
    if found.version is None:
        return msgspec.structs.replace(found, how=spec.install or found.how)
    lacks = lacking(spec)
    return msgspec.structs.replace(found, version=None, how=lacks) if lacks else found


def _package(name: str, distribution: str, extra: str, purpose: str) -> Package:
    found = installed(distribution)
    wanted = f'"steelyard[{extra}]"' if extra else distribution
    return Package(name=name, version=found, how="" if found else f"pip install {wanted}", purpose=purpose)


def _instruction_sets(machine: Machine) -> tuple[InstructionSet, ...]:
    known = dict(INSTRUCTIONS.get(machine.arch, {}))
    if "avx512_vnni" in machine.features and "avx_vnni" not in machine.features:
        known.pop("avx_vnni", None)  # the same in narrower vectors: nothing is missing
    return tuple(
        InstructionSet(name=name, present=name in machine.features, brings=brings) for name, brings in known.items()
    )


def _noise(cores: int, root: Path) -> Iterator[str]:
    """What disturbs measurements, gravest first."""
    yield from _load(psutil.getloadavg()[0], cores)
    yield from _stolen()
    yield from _quota(cpu_quota(root), throttled(root))
    yield from _governors(root)


def _load(load: float, cores: int) -> Iterator[str]:
    if load > BUSY_SHARE * cores:
        yield (
            f"something else computes here: the load of the last minute is {load:.1f} on {cores} "
            f"{'core' if cores == 1 else 'cores'}; stop it, or expect more undecided verdicts"
        )


def _stolen() -> Iterator[str]:
    """On a virtual machine: time in which the host ran others though this one had work."""
    times = psutil.cpu_times()
    share = getattr(times, "steal", 0.0) / max(sum(times), 1e-9)
    if share > STOLEN_SHARE:
        yield f"the host of this virtual machine took away {share:.0%} of the processor time since it started"


def _quota(quota: float | None, stopped: float) -> Iterator[str]:
    if quota is not None and quota != int(quota):
        yield (
            f"the control group allows {quota:g} cores: the part of a core makes the last thread stop and go; "
            "a whole number measures better"
        )
    if stopped > THROTTLED_SHARE:
        yield (
            f"the control group stopped its processes in {stopped:.0%} of the scheduling periods; "
            "raise its cpu quota or use fewer threads"
        )


def _governors(root: Path) -> Iterator[str]:
    """Frequency governors other than `performance` change the clock while we measure."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    found = {text_of(file) for file in files} - {"performance", ""}
    if found:
        yield (
            f"the clock follows the load (cpu governor {', '.join(sorted(found))}); "
            "set it to performance while measuring: cpupower frequency-set -g performance"
        )


def _writable(folder: Path) -> bool:
    """Tried rather than asked: permission bits tell neither of read-only mounts nor of full disks."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"steelyard")
    except OSError:
        return False
    return True


def _free_mb(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free // 10**6
    except OSError:
        return 0
