"""How much of the machine this process may use: affinity and control groups (Linux, versions 1 and 2).

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil


def cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy all the time, at least 1.

    A quota of 2.5 cores counts as 2: a third thread would be stopped for half of every period.
    """
    allowed = _affinity()
    quota = cpu_quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the control groups allow, or None when they do not limit it."""
    quotas = [*_quotas_v2(root), *_quotas_v1(root)]
    return min(quotas, default=None)


def _quotas_v2(root: Path) -> Iterator[float]:
    for folder in _groups(root, ""):
        quota, _, period = text_of(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _quotas_v1(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu"):
        quota, period = text_of(folder / "cpu.cfs_quota_us"), text_of(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # without a limit the quota is -1
            yield int(quota) / int(period)


def memory_mb(root: Path = Path("/")) -> int:
    """Memory that this process may use, in MB (10^6 bytes): the machine's, or less where control groups say so."""
    limits = [text_of(folder / "memory.max") for folder in _groups(root, "")]
    limits += [text_of(folder / "memory.limit_in_bytes") for folder in _groups(root, "memory")]
    # No limit reads "max" in version 2 and a number near 2^63 in version 1.
    total: int = psutil.virtual_memory().total
    return min([total, *(int(limit) for limit in limits if limit.isdecimal())]) // 10**6


def throttled(root: Path = Path("/")) -> float:
    """Share of the scheduling periods in which the control group stopped this process, since the group was made."""
    shares = [0.0]
    for folder in (*_groups(root, ""), *_groups(root, "cpu")):
        lines = (line.split() for line in text_of(folder / "cpu.stat").splitlines())
        stat = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
        if stat.get("nr_periods"):
            shares.append(stat.get("nr_throttled", 0) / stat["nr_periods"])
    return max(shares)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control group and of all above it; version 2 when `controller` is empty.

    Inside a container /proc/self/cgroup may name the group as the host sees it while the mount shows only the
    container's part, so folders that are missing are passed over and the mount's own root is always among them.
    """
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controller in controllers.split(","):
            mount = _mount(root, controllers, controller)
            inner = Path("" if ".." in path else path.lstrip("/"))
            yield from (mount / folder for folder in (inner, *inner.parents) if (mount / folder).is_dir())


def _mount(root: Path, controllers: str, controller: str) -> Path:
    """Where a hierarchy is mounted by convention; version 2 lies in `unified` where both versions are in use."""
    base = root / "sys/fs/cgroup"
    named = base / (controllers or "unified")
    return named if named.is_dir() else base / controller


def text_of(path: Path) -> str:
    """Contents of a file of the kernel, stripped; empty when there is no such file or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
