"""Several processes of one candidate: timed together, watched together, gone together."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from pipelines import Pipelines
from steelyard.decision.worth import capacity_of
from steelyard.errors import CandidateFailure
from steelyard.measure.process import Child, Limits
from steelyard.measure.workbench import Workbench
from steelyard.records.base import from_json
from steelyard.records.candidate import Candidate
from steelyard.records.requirements import Requirements

LIMITS = Limits(memory_mb=1500, seconds=60)


def opened(tmp_path: Path, function: str, instances: int, **argument: Any) -> Child:
    child = Child(LIMITS, tmp_path / "child.log", threading.Event())
    child.ask("open", function=f"misbehaving:{function}", argument=argument, streams=1, instances=instances)
    child.siblings = child.ask("siblings")
    return child


def runs(child: Child, seconds: float = 0.5) -> int:
    times = child.ask("time", batch=1, streams=1, threads=1, seconds=seconds, most=1000)
    return len(times["clean"]) + len(times["disturbed"])


def test_all_processes_are_timed_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, "open_plain", 1, ms=20, per_item_ms=0) as one:
        alone = runs(one)
    with opened(tmp_path, "open_plain", 3, ms=20, per_item_ms=0) as three:
        assert len(set(three.siblings)) == 2
        assert runs(three) > 2 * alone


def test_memory_is_that_of_all_processes(tmp_path: Path) -> None:
    with opened(tmp_path, "open_plain", 1) as one, opened(tmp_path, "open_plain", 3) as three:
        assert 2.5 < three.ask("peak_memory_mb") / one.ask("peak_memory_mb") < 3.5
        assert 2.5 < three.memory_mb / one.memory_mb < 3.5


def test_a_worker_is_a_stream_of_one_of_the_processes(tmp_path: Path) -> None:
    with opened(tmp_path, "open_telling", 2, file=str(tmp_path / "served")) as child:
        for worker in (0, 1):
            child.ask("serve", stream=worker, batch=1)
        served = [line.split() for line in (tmp_path / "served").read_text().splitlines()]
        assert served == [[str(child.pid), "0"], [str(child.siblings[0]), "0"]]


def test_siblings_die_with_the_one_that_speaks_for_them(tmp_path: Path) -> None:
    child = opened(tmp_path, "open_plain", 2)
    sibling = psutil.Process(child.siblings[0])
    child.kill()
    for _ in range(200):
        if not sibling.is_running() or sibling.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.02)
    pytest.fail("the sibling outlived its speaker by four seconds")


def test_a_failure_in_a_sibling_is_the_candidates(tmp_path: Path) -> None:
    """One process serves, the other dies of a signal."""
    child = opened(tmp_path, "open_second_dies", 2)
    with pytest.raises(CandidateFailure, match="SIGSEGV") as failure:
        runs(child, 0.1)
    child.kill()
    assert failure.value.kind == "crash"


def test_the_workbench_opens_and_measures_all_processes(tmp_path: Path) -> None:
    subject = Pipelines({"original": {"ms": 5, "per_item_ms": 0}})
    one = Candidate(variant="original", runtime="pipeline", max_batch=2)
    two = msgspec.structs.replace(one, instances=2)
    with Workbench(subject, tmp_path, LIMITS, threading.Event()) as bench:
        alone, _ = bench.probe(one, 8)
        both, answers = bench.probe(two, 8)
        assert answers is not None
        assert answers.tolist() == list(range(8))
        assert 1.5 < both.memory_mb / alone.memory_mb < 2.5
        speed = bench.speed(two, bench.glance(bench.reference, 1).median_ms, 0.3)
    offline = Requirements()
    assert capacity_of(two, speed.service, offline) == pytest.approx(2 * capacity_of(one, speed.service, offline))


def test_candidates_of_older_ledgers_have_one_process() -> None:
    older = b'{"variant":"v","runtime":"r","precision":"f32","threads":2,"streams":1,"max_batch":4}'
    assert from_json(older, Candidate).instances == 1
