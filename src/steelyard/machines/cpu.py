"""Name and instruction sets of the processor."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

X86 = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
}
ARM = {
    "asimd": "neon",
    "neon": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
}
"""Flags of Linux's /proc/cpuinfo → our names. See the kernel's `arch/*/include/asm/{cpufeatures,hwcap}.h`."""

MAC_X86 = {"AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "AVX512F": "avx512f", "AVX512VNNI": "avx512_vnni"}
MAC_ARM = {
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
}
MAC_TEXTS = ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features")

ARM_CORES = {
    "0x41/0xd0c": "ARM Neoverse-N1",
    "0x41/0xd40": "ARM Neoverse-V1",
    "0x41/0xd49": "ARM Neoverse-N2",
    "0x41/0xd4f": "ARM Neoverse-V2",
}
"""Linux gives no name of an ARM core, only implementer and part."""

ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}

SYSCTL_SECONDS = 2.0


def architecture(name: str | None = None) -> str:
    """One name per architecture, as Linux gives it: amd64 is x86_64, arm64 is aarch64."""
    name = (platform.machine() if name is None else name).lower()
    return ARCHITECTURES.get(name, name)


def cpu(root: Path = Path("/")) -> tuple[str, tuple[str, ...]]:
    """Name of the processor and its instruction sets that matter for inference, sorted; "unknown" and () at worst."""
    told = _proc_cpuinfo(root)
    if told:
        return _linux_name(told), _linux_features(told)
    if platform.system() == "Darwin":
        return _mac(sysctl([*MAC_TEXTS, *MAC_ARM]))
    return platform.processor() or "unknown", ()


def _proc_cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; empty where there is no such file."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.strip().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _linux_name(told: Mapping[str, str]) -> str:
    if name := told.get("model name"):
        return " ".join(name.split())
    implementer, part = told.get("CPU implementer", ""), told.get("CPU part", "")
    if implementer and part:
        return ARM_CORES.get(f"{implementer}/{part}", f"ARM implementer {implementer} part {part}")
    return platform.processor() or "unknown"


def _linux_features(told: Mapping[str, str]) -> tuple[str, ...]:
    x86, arm = told.get("flags", "").split(), told.get("Features", "").split()
    return tuple(sorted({X86[f] for f in x86 if f in X86} | {ARM[f] for f in arm if f in ARM}))


def sysctl(names: list[str]) -> dict[str, str]:
    """Values of a Mac's kernel variables; those it does not know are left out."""
    try:
        done = subprocess.run(
            ["sysctl", *names], capture_output=True, text=True, timeout=SYSCTL_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _mac(told: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    name, *flags = (told.get(text, "") for text in MAC_TEXTS)
    x86 = {MAC_X86[flag] for flag in " ".join(flags).split() if flag in MAC_X86}
    arm = {feature for variable, feature in MAC_ARM.items() if told.get(variable) == "1"}
    return name or platform.processor() or "unknown", tuple(sorted(x86 | arm))
