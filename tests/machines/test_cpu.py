"""Names and instruction sets, from what systems tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.machines import cpu as module
from steelyard.machines.cpu import architecture, cpu

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R)   Platinum 8488C
flags\t\t: fpu sse2 fma avx f16c avx2 avx512f avx_vnni avx512_bf16 amx_bf16 avx512_fp16 avx512_vnni amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
GRAVITON = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp sve asimdfhm i8mm bf16 dgh rng
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: {part}
"""
MAC = {
    "machdep.cpu.brand_string": "Apple M2",
    "hw.optional.AdvSIMD": "1",
    "hw.optional.arm.FEAT_DotProd": "1",
    "hw.optional.arm.FEAT_I8MM": "1",
    "hw.optional.arm.FEAT_BF16": "0",
}


def root_with(tmp_path: Path, cpuinfo: str) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    return tmp_path


def test_intel_on_linux(tmp_path: Path) -> None:
    name, features = cpu(root_with(tmp_path, INTEL))
    assert name == "Intel(R) Xeon(R) Platinum 8488C"
    assert features == (
        *("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx512f", "avx_vnni"),
        *("f16c", "fma"),
    )


@pytest.mark.parametrize(("part", "name"), [("0xd40", "ARM Neoverse-V1"), ("0xfff", "ARM implementer 0x41 part 0xfff")])
def test_arm_on_linux(tmp_path: Path, part: str, name: str) -> None:
    told = cpu(root_with(tmp_path, GRAVITON.format(part=part)))
    assert told == (name, ("bf16", "dotprod", "fp16", "i8mm", "neon", "sve"))


@pytest.mark.parametrize("text", ["", "\n\n", "no colon here", "flags\t:", "\x00\xff: \x00"])
def test_strange_cpuinfo_is_no_error(tmp_path: Path, text: str) -> None:
    name, features = cpu(root_with(tmp_path, text))
    assert name
    assert features == ()


def test_mac_with_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(module, "sysctl", lambda names: {name: MAC[name] for name in names if name in MAC})
    assert cpu(tmp_path) == ("Apple M2", ("dotprod", "i8mm", "neon"))


def test_mac_with_intel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "machdep.cpu.brand_string": "Intel(R) Core(TM) i7",
        "machdep.cpu.features": "FPU SSE FMA F16C",
        "machdep.cpu.leaf7_features": "RDWRFSGS AVX2 AVX512F",
    }
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(module, "sysctl", lambda names: told)
    assert cpu(tmp_path) == ("Intel(R) Core(TM) i7", ("avx2", "avx512f", "f16c", "fma"))


def test_system_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    monkeypatch.setattr("platform.processor", lambda: "")
    assert cpu(tmp_path) == ("unknown", ())


def test_sysctl_reads_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "sysctl"
    command.write_text('#!/bin/sh\nfor name in "$@"; do echo "$name: value: of $name"; done\necho oops >&2\nexit 1\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.sysctl(["a.b", "c"]) == {"a.b": "value: of a.b", "c": "value: of c"}


def test_no_sysctl_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.sysctl(["a.b"]) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("AMD64", "x86_64"), ("x86_64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64"), ("", "")],
)
def test_one_name_per_architecture(name: str, expected: str) -> None:
    assert architecture(name) == expected
