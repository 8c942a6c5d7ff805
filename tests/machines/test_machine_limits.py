"""Affinity and control groups of both versions, on trees of files as the kernel lays them out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from steelyard.machines import limits
from steelyard.machines.limits import cores, cpu_quota, memory_mb, throttled

V1 = "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/\n"
UNLIMITED_V1 = "9223372036854771712\n"


def tree(root: Path, group: str, files: Mapping[str, str]) -> Path:
    """A root folder in which this process is in the control groups told by `group`."""
    for name, text in {"proc/self/cgroup": group, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cores_and_64_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_affinity", lambda: 8)
    memory = psutil.virtual_memory()._replace(total=64 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_version_2_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/b/cpu.max": "700000 100000\n",
        "sys/fs/cgroup/cpu.max": "max 100000\n",
        "sys/fs/cgroup/a/cpu.max": "250000 100000\n",
        "sys/fs/cgroup/a/b/memory.max": "8000000000\n",
        "sys/fs/cgroup/a/memory.max": "2000000000\n",
        "sys/fs/cgroup/other/cpu.max": "100000 100000\n",
    }
    root = tree(tmp_path, "0::/a/b\n", files)
    assert cpu_quota(root) == 2.5
    assert cores(root) == 2
    assert memory_mb(root) == 2000


def test_version_2_without_limits(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "max 100000\n", "sys/fs/cgroup/a/memory.max": "max\n"}
    root = tree(tmp_path, "0::/a\n", files)
    assert cpu_quota(root) is None
    assert cores(root) == 8
    assert memory_mb(root) == 64_000


def test_version_2_beside_version_1(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/unified/a/cpu.max": "300000 100000\n"}
    assert cores(tree(tmp_path, "3:memory:/x\n0::/a\n", files)) == 3


def test_version_1_named_as_the_host_sees_it(tmp_path: Path) -> None:
    """In a container the group's folder does not exist: the limits lie at the mount's root."""
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
    }
    root = tree(tmp_path, V1, files)
    assert cores(root) == 4
    assert memory_mb(root) == 1073


def test_version_1_controllers_mounted_one_by_one_and_nested(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": UNLIMITED_V1,
    }
    root = tree(tmp_path, V1, files)
    assert cpu_quota(root) == 1.5
    assert cores(root) == 1
    assert memory_mb(root) == 64_000


def test_version_1_without_limits(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    assert cores(tree(tmp_path, V1, files)) == 8


def test_less_than_one_core_is_one(tmp_path: Path) -> None:
    assert cores(tree(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "20000 100000\n"})) == 1


def test_quota_above_the_affinity_gives_no_more_cores(tmp_path: Path) -> None:
    assert cores(tree(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "1600000 100000\n"})) == 8


def test_group_outside_the_mount_is_not_followed(tmp_path: Path) -> None:
    files = {"sys/fs/cpu.max": "100000 100000\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}
    assert cores(tree(tmp_path, "0::/../\n", files)) == 2


@pytest.mark.parametrize("group", ["", "nonsense", "0:", "::", "0::\n\n", "0:cpu\n"])
@pytest.mark.parametrize("quota", ["", "0 0", "abc def", "100000", "-5 100000"])
def test_strange_files_limit_nothing(tmp_path: Path, group: str, quota: str) -> None:
    root = tree(tmp_path, group, {"sys/fs/cgroup/cpu.max": quota, "sys/fs/cgroup/memory.max": "lots"})
    assert (cores(root), memory_mb(root), throttled(root)) == (8, 64_000, 0.0)


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert (cores(tmp_path), memory_mb(tmp_path), throttled(tmp_path)) == (8, 64_000, 0.0)


@pytest.mark.parametrize("folder", ["sys/fs/cgroup/a", "sys/fs/cgroup/cpu"])
def test_share_of_throttled_periods(tmp_path: Path, folder: str) -> None:
    stat = "usage_usec 5\nnr_periods 200\nnr_throttled 30\nthrottled_usec 12\n"
    root = tree(tmp_path, "2:cpu:/\n0::/a\n", {f"{folder}/cpu.stat": stat})
    assert throttled(root) == 0.15


def test_affinity_is_what_the_system_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert limits._affinity() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert limits._affinity() == os.cpu_count()
