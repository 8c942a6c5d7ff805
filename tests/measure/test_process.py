"""A child process works on request, and whatever it does, the parent survives and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from steelyard.errors import CandidateFailure, DataError, Interrupted
from steelyard.measure.process import Child, Limits, call
from steelyard.records.subject import Task

LIMITS = Limits(memory_mb=1500, seconds=60)


def opened(tmp_path: Path, function: str, limits: Limits = LIMITS, **argument: Any) -> Child:
    child = Child(limits, tmp_path / "child.log", threading.Event())
    try:
        child.ask("open", function=f"misbehaving:{function}", argument=argument)
    except BaseException:
        child.kill()
        raise
    return child


def serve(child: Child) -> Any:
    return child.ask("time", batch=1, streams=1, threads=1, seconds=0.1, most=10)


def test_answers_and_times_come_back_although_the_engine_prints(tmp_path: Path) -> None:
    with opened(tmp_path, "open_plain", ms=1) as child:
        child.ask("answers", start=3, stop=12, file=str(tmp_path / "a.npy"))
        times = serve(child)
        assert child.ask("peak_memory_mb") > 10
    assert np.load(tmp_path / "a.npy").tolist() == [3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert len(times["clean"]) + len(times["disturbed"]) >= 5
    assert min(times["clean"] + times["disturbed"]) >= 0.001
    assert "an engine prints" in (tmp_path / "child.log").read_text()


def test_the_memory_that_the_parent_holds_is_not_the_childs(tmp_path: Path) -> None:
    held = np.ones(50_000_000)
    with opened(tmp_path, "open_plain") as child:
        assert child.ask("peak_memory_mb") < 200 < held.nbytes / 1e6


def test_streams_run_side_by_side(tmp_path: Path) -> None:
    with opened(tmp_path, "open_plain", ms=20, per_item_ms=0) as child:
        one = child.ask("time", batch=1, streams=1, threads=1, seconds=0.5, most=1000)
        three = child.ask("time", batch=1, streams=3, threads=1, seconds=0.5, most=1000)
    runs = [len(times["clean"]) + len(times["disturbed"]) for times in (one, three)]
    assert runs[1] > 2 * runs[0]


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("segfault", "crash", "SIGSEGV"),
        ("leave", "crash", "status 7"),
        ("shot", "memory", "want of memory"),
        ("grow", "memory", "1,500 MB are allowed"),
        ("grab", "memory", "memory"),
        ("complain", "crash", "ValueError: the engine says no"),
    ],
)
def test_a_bad_candidate_is_a_recorded_failure(tmp_path: Path, how: str, kind: str, words: str) -> None:
    child = opened(tmp_path, "open_bad", how=how)
    with pytest.raises(CandidateFailure) as failure:
        serve(child)
    child.close()
    assert failure.value.kind == kind
    assert words in failure.value.message


def test_a_hanging_candidate_is_killed(tmp_path: Path) -> None:
    child = opened(tmp_path, "open_bad", Limits(memory_mb=1500, seconds=5), how="hang")
    with pytest.raises(CandidateFailure, match="no answer to 'time' within 5 s") as failure:
        serve(child)
    assert failure.value.kind == "timeout"
    assert not _children()


def test_errors_of_ours_cross_with_kind_and_hint(tmp_path: Path) -> None:
    with pytest.raises(CandidateFailure) as failure:
        opened(tmp_path, "open_failing")
    assert (failure.value.kind, failure.value.hint) == ("unsupported", "use another")
    with pytest.raises(DataError, match="not good") as error:
        call(Task(function="misbehaving:refuse", argument={}), LIMITS, tmp_path / "log", threading.Event())
    assert error.value.hint == "get better data"


def test_call_returns_plain_values(tmp_path: Path) -> None:
    task = Task(function="misbehaving:double", argument={"number": 4})
    assert call(task, LIMITS, tmp_path / "log", threading.Event()) == {"twice": 8}


def test_stop_interrupts_at_once_and_leaves_no_orphan(tmp_path: Path) -> None:
    stop = threading.Event()
    child = Child(LIMITS, tmp_path / "log", stop)
    child.ask("open", function="misbehaving:open_bad", argument={"how": "hang"})
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        serve(child)
    assert not _children()


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import threading, sys, pathlib\n"
            "from steelyard.measure.process import Limits, call\n"
            "from steelyard.records.subject import Task\n"
            f"task = Task(function='misbehaving:spawn_and_wait', argument={{'file': {str(file)!r}}})\n"
            "call(task, Limits(memory_mb=1000, seconds=600), pathlib.Path('/dev/null'), threading.Event())",
        ]
    )
    _until(lambda: file.exists() and file.read_text() != "")
    pid = int(file.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited for half a minute in vain")


def _children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
