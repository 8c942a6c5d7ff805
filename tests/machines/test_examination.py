"""What the examination of a machine finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy
import psutil
import pytest

from steelyard.machines import doctor
from steelyard.machines.doctor import Examination, examine
from steelyard.records.base import from_json, to_json
from steelyard.records.engine import RuntimeSpec
from steelyard.records.machine import Machine

CPUINFO = "model name : Intel(R) Test\nflags : avx2 fma avx512f avx512_vnni\n"


def runtime(name: str, package: str, extra: str = "") -> RuntimeSpec:
    return RuntimeSpec(
        name=name, opener="x.y:open", package=package, reads=("onnx",), precisions=("f32", "bf16"), extra=extra
    )


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle machine of our own, with x86 instruction sets wherever the tests run."""
    monkeypatch.setattr(psutil, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: spent(steal=0.0))
    monkeypatch.setattr("steelyard.machines.here.architecture", lambda: "x86_64")


def spent(steal: float) -> Any:
    class Times(tuple[float, ...]):
        __slots__ = ()
        steal: float

    Times.steal = steal
    return Times((90.0 - steal, 10.0, steal))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    write(place / "proc/cpuinfo", CPUINFO)
    write(place / "proc/self/cgroup", "0::/\n")
    return place


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quiet_machine_with_one_runtime(root: Path, tmp_path: Path) -> None:
    found = examine([runtime("numbers", "numpy")], tmp_path, root)
    assert found.machine.cpu == "Intel(R) Test"
    assert found.noise == ()
    assert found.ready
    assert found.writable
    assert found.free_mb > 0
    assert found.folder == str(tmp_path.resolve())
    assert list(tmp_path.iterdir()) == [root]


def test_runtimes_installed_and_missing(root: Path, tmp_path: Path) -> None:
    specs = [
        runtime("numbers", "numpy"),
        runtime("other", "no-such-package"),
        runtime("third", "no-such-package", "third"),
    ]
    numbers, other, third = examine(iter(specs), tmp_path, root).runtimes
    assert (numbers.name, numbers.version, numbers.how) == ("numbers", numpy.__version__, "")
    assert (other.version, other.how) == (None, "pip install no-such-package")
    assert (third.version, third.how) == (None, 'pip install "steelyard[third]"')
    assert numbers.purpose == "computes in f32, bf16"


def test_a_runtime_of_no_use_here_says_why(root: Path, tmp_path: Path) -> None:
    specs = [runtime("numbers", "numpy"), runtime("other", "no-such-package")]
    found = examine(specs, tmp_path, root, lacking=lambda spec: "there is no GPU")
    assert [(each.version, each.how) for each in found.runtimes] == [
        (None, "there is no GPU"),
        (None, "pip install no-such-package"),
    ]
    assert not found.ready


def test_a_gpus_runtime_needs_no_package_where_there_is_no_gpu(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = msgspec.structs.replace(runtime("numbers", "no-such-package"), device="gpu", install="pip install it")
    monkeypatch.setattr("steelyard.machines.here.devices", lambda: ())
    assert examine([spec], tmp_path, root).runtimes[0].how == "there is no NVIDIA GPU here"
    monkeypatch.setattr("steelyard.machines.here.devices", lambda: ("a GPU",))
    assert examine([spec], tmp_path, root).runtimes[0].how == "pip install it"


def test_a_runtime_may_come_in_another_distribution(root: Path, tmp_path: Path) -> None:
    spec = msgspec.structs.replace(runtime("numbers", "no-such-package"), also=("numpy",), install="pip install it")
    assert examine([spec], tmp_path, root).runtimes[0].version == numpy.__version__
    absent = msgspec.structs.replace(spec, also=())
    assert examine([absent], tmp_path, root).runtimes[0].how == "pip install it"


def test_without_a_runtime_it_is_not_ready(root: Path, tmp_path: Path) -> None:
    assert not examine([runtime("other", "no-such-package")], tmp_path, root).ready
    assert not examine([], tmp_path, root).ready


def test_optional_packages_and_how_to_get_them(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    found = examine([], tmp_path, root)
    assert {package.name: package.how for package in found.packages} == {
        "nncf": "pip install nncf",
        "torch": 'pip install "steelyard[train]"',
        "onnxscript": 'pip install "steelyard[train]"',
    }
    assert all(package.purpose for package in found.packages)


def test_instruction_sets_present_and_missing(root: Path, tmp_path: Path) -> None:
    found = {one.name: one for one in examine([], tmp_path, root).instruction_sets}
    assert found["avx512_vnni"].present
    assert not found["amx_int8"].present
    assert not found["avx512_bf16"].present
    assert "half the time" in found["avx512_bf16"].brings
    assert "int8" in found["amx_int8"].brings
    assert "avx_vnni" not in found, "nobody with avx512_vnni misses its narrow sibling"


def test_processor_without_any_vnni_misses_both(root: Path, tmp_path: Path) -> None:
    write(root / "proc/cpuinfo", "model name : old\nflags : avx2\n")
    missing = {one.name for one in examine([], tmp_path, root).instruction_sets if not one.present}
    assert {"avx_vnni", "avx512_vnni", "amx_int8"} <= missing


def test_every_known_feature_is_told_what_it_brings() -> None:
    from steelyard.machines.cpu import ARM, X86

    assert set(X86.values()) - {"avx512_fp16"} == set(doctor.INSTRUCTIONS["x86_64"])
    assert set(ARM.values()) - {"sve2"} == set(doctor.INSTRUCTIONS["aarch64"])


def test_unknown_architecture_has_nothing_to_tell(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.machines.here.architecture", lambda: "riscv64")
    assert examine([], tmp_path, root).instruction_sets == ()


def test_load_of_others_is_noise(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.machines.here.cores", lambda root: 4)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1.1, 9.0, 9.0))
    assert examine([], tmp_path, root).noise == ()
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1.3, 0.0, 0.0))
    (sentence,) = examine([], tmp_path, root).noise
    assert "1.3 on 4 cores" in sentence


def test_stolen_time_is_noise(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda: spent(steal=5.0))
    (sentence,) = examine([], tmp_path, root).noise
    assert "took away 5% of the processor time" in sentence


def test_system_that_does_not_count_stolen_time(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda: (1.0, 2.0))
    assert examine([], tmp_path, root).noise == ()


def test_part_of_a_core_and_throttling_are_noise(root: Path, tmp_path: Path) -> None:
    write(root / "sys/fs/cgroup/cpu.max", "150000 100000\n")
    write(root / "sys/fs/cgroup/cpu.stat", "nr_periods 100\nnr_throttled 7\n")
    quota, stopped = examine([], tmp_path, root).noise
    assert "1.5 cores" in quota
    assert "7% of the scheduling periods" in stopped


def test_governors_that_follow_the_load_are_noise(root: Path, tmp_path: Path) -> None:
    folder = root / "sys/devices/system/cpu"
    write(folder / "cpu0/cpufreq/scaling_governor", "performance\n")
    assert examine([], tmp_path, root).noise == ()
    write(folder / "cpu1/cpufreq/scaling_governor", "powersave\n")
    (sentence,) = examine([], tmp_path, root).noise
    assert "governor powersave" in sentence


def test_folder_that_may_not_be_written(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:  # noqa: A002 - the argument's name in the standard library
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = examine([runtime("numbers", "numpy")], tmp_path, root)
    assert (found.writable, found.ready) == (False, False)


def test_folder_that_does_not_exist(root: Path, tmp_path: Path) -> None:
    found = examine([runtime("numbers", "numpy")], tmp_path / "none", root)
    assert (found.writable, found.free_mb, found.ready) == (False, 0, False)


def test_examination_goes_through_json(root: Path, tmp_path: Path) -> None:
    found = examine([runtime("numbers", "numpy")], tmp_path, root)
    assert from_json(to_json(found), Examination) == found
    assert isinstance(found.machine, Machine)
