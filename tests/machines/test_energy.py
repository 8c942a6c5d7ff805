"""Energy counters in a made-up /sys, and what is told where there are none."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from rights import unprivileged
from steelyard.machines import energy
from steelyard.machines.energy import COEFFICIENTS, coefficients_of, counters, gpus, rapl_zones, unreadable
from steelyard.records.machine import Machine


def zone(root: Path, folder: str, name: str, used_uj: int, range_uj: str = "262143328850") -> Path:
    place = root / "sys/class/powercap" / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{used_uj}\n")
    (place / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return place


def test_packages_and_their_memory_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 3_000_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 7_500_000)
    zone(tmp_path, "intel-rapl:2", "psys", 90_000_000)
    found = rapl_zones(tmp_path)
    assert [(z.name, z.joules()) for z in found] == [("package-0", 5.0), ("dram", 1.0), ("package-1", 7.5)]
    assert found[0].wraps_at == pytest.approx(262143.32885)
    assert [c.name for c in counters(tmp_path)] == ["package-0", "dram", "package-1"]


def test_the_platform_is_counted_where_no_package_is(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys", 90_000_000)
    assert [z.name for z in rapl_zones(tmp_path)] == ["psys"]


def test_counters_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1, range_uj="")
    zone(tmp_path, "intel-rapl:1", "package-1", 1, range_uj="0")
    (zone(tmp_path, "intel-rapl:2", "package-2", 1) / "energy_uj").write_text("soon\n")
    (zone(tmp_path, "intel-rapl:3", "package-3", 1) / "energy_uj").unlink()
    zone(tmp_path, "intel-rapl:4", "package-4", 4_000_000)
    assert [z.name for z in rapl_zones(tmp_path)] == ["package-4"]


def test_a_counter_that_only_root_may_read_is_told(tmp_path: Path) -> None:
    assert unreadable(tmp_path) == "this machine shows no energy counter"
    assert rapl_zones(tmp_path) == ()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to ordinary users
        root = Path(name)
        root.chmod(0o755)
        (zone(root, "intel-rapl:0", "package-0", 1) / "energy_uj").chmod(0o400)
        with unprivileged():
            assert rapl_zones(root) == ()
            assert unreadable(root) == "the energy counter may not be read (only root may)"


class Broken(Exception):  # noqa: N818
    pass


def nvml(energies_mj: list[int | None]) -> SimpleNamespace:
    """NVIDIA's library with so many GPUs; None: too old to count."""

    def total(device: int) -> int:
        used = energies_mj[device]
        if used is None:
            raise Broken("not supported")
        return used

    return SimpleNamespace(
        NVMLError=Broken,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(energies_mj),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )


def test_gpus_that_count_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml([None, 2500]))
    (gpu,) = gpus()
    assert (gpu.name, gpu.joules()) == ("GPU 1", 2.5)


def test_without_a_driver_or_the_package_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise Broken("driver not loaded")

    fake = nvml([100])
    fake.nvmlInit = no_driver
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert gpus() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus() == ()


@pytest.mark.parametrize(
    ("cpu", "features", "expected"),
    [
        ("AMD EPYC", ("avx2", "avx512_bf16", "avx512f"), "EPYC 4th Gen"),
        ("AMD EPYC 7763", ("avx2",), "EPYC 3rd Gen"),
        ("Intel(R) Xeon(R) Platinum 8488C", ("amx_int8", "avx2", "avx512_vnni", "avx512f"), "Xeon Sapphire Rapids"),
        ("Intel(R) Xeon(R)", ("avx2", "avx512_vnni", "avx512f"), "Xeon Ice Lake"),
    ],
)
def test_figures_are_those_of_the_nearest_processor(cpu: str, features: tuple[str, ...], expected: str) -> None:
    found = coefficients_of(Machine(cpu=cpu, arch="x86_64", cores=2, memory_mb=1, features=features))
    assert found is not None
    assert found.processor == expected


def test_processors_without_published_figures_have_none() -> None:
    arm = Machine(cpu="ARM Neoverse-V1", arch="aarch64", cores=2, memory_mb=1, features=("neon", "sve"))
    assert coefficients_of(arm) is None


def test_a_busy_processor_draws_more_than_an_idle_one() -> None:
    assert all(0 < figures.idle_w < figures.busy_w < 10 for figures in COEFFICIENTS.values())
    assert energy.SOURCE
