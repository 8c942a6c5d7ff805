"""What the machine is that this process runs on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from steelyard.machines.cpu import architecture, cpu
from steelyard.machines.limits import cores, memory_mb
from steelyard.records.machine import Machine

DEVICE_SECONDS = 2.0


def this_machine(root: Path = Path("/")) -> Machine:
    """Processor, cores and memory this process may use, system and devices; no host name. `root` is for tests."""
    name, features = cpu(root)
    return Machine(
        cpu=name,
        arch=architecture(),
        cores=cores(root),
        memory_mb=memory_mb(root),
        features=features,
        system=system(),
        devices=devices(),
    )


def system() -> str:
    """Kernel and its version to two places: "Linux 6.1 x86_64"; later places move no measurement."""
    release = ".".join(platform.release().split("-")[0].split(".")[:2])
    return " ".join(part for part in (platform.system(), release, platform.machine()) if part)


def devices(command: str = "nvidia-smi") -> tuple[str, ...]:
    """Names of NVIDIA's devices, one per device; () where there is none, no driver, or no answer in two seconds."""
    asked = [command, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            asked, capture_output=True, text=True, timeout=DEVICE_SECONDS, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
