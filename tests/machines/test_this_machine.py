"""The machine that runs the tests, and its devices as NVIDIA's tool tells them."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.machines import here
from steelyard.machines.here import devices, system, this_machine


def tool(folder: Path, script: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_tells_a_machine_that_makes_sense() -> None:
    machine = this_machine()
    assert machine.cpu
    assert machine.cores >= 1
    assert machine.memory_mb > 100
    assert machine.arch in {"x86_64", "aarch64"} or machine.arch == platform.machine().lower()
    assert list(machine.features) == sorted(set(machine.features))


def test_is_the_same_each_time() -> None:
    assert this_machine() == this_machine()
    assert this_machine().fingerprint == this_machine().fingerprint


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.1.0-18-cloud-amd64", "Linux 6.1 x86_64"),
        ("6.8-rc1", "Linux 6.8 x86_64"),
        ("23", "Linux 23 x86_64"),
        ("", "Linux x86_64"),
    ],
)
def test_system_without_patch_level(monkeypatch: pytest.MonkeyPatch, release: str, expected: str) -> None:
    for name, value in {"system": "Linux", "release": release, "machine": "x86_64"}.items():
        monkeypatch.setattr(platform, name, lambda value=value: value)
    assert system() == expected


def test_devices_one_per_line(tmp_path: Path) -> None:
    command = tool(tmp_path, 'echo "NVIDIA L4"; echo; echo " NVIDIA L4 "')
    assert devices(command) == ("NVIDIA L4", "NVIDIA L4")


def test_devices_when_the_driver_does_not_answer(tmp_path: Path) -> None:
    assert devices(tool(tmp_path, 'echo "NVIDIA-SMI has failed"; exit 9')) == ()


def test_devices_when_the_tool_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "DEVICE_SECONDS", 0.05)
    assert devices(tool(tmp_path, "echo NVIDIA L4; exec sleep 60")) == ()


def test_no_tool_no_devices(tmp_path: Path) -> None:
    assert devices(str(tmp_path / "nvidia-smi")) == ()


def test_loads_no_runtime() -> None:
    code = (
        "import sys, steelyard.machines.here, steelyard.machines.doctor, steelyard.machines.prices; print(*sys.modules)"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "steelyard.machines.prices" in loaded
    assert not loaded & {"onnx", "onnxruntime", "openvino", "nncf", "torch", "scipy", "sqlalchemy"}
