"""The wall clock may be set back or forward at any time: it touches no deadline, no latency and no decision."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import steelyard.serve
from steelyard import scheduling, switching
from steelyard.errors import Expired
from steelyard.serve.canary import Terms
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from versions import PATIENCE_S, Opener, answer, ask, number

YEARS = 10 * 365 * 86_400.0
SHOWN_TO_PEOPLE = {"canary.py", "statistics.py"}
"""Files that tell people when something happened."""

Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the wall clock by so many seconds."""
    real, by = time.time, 0.0

    def set_by(seconds: float) -> None:
        nonlocal by
        by += seconds

    monkeypatch.setattr(time, "time", lambda: real() + by)
    return set_by


@pytest.mark.parametrize("seconds", [YEARS, -YEARS])
def test_requests_expire_when_their_time_is_over_and_not_before(jump: Jump, seconds: float) -> None:
    opener = Opener()
    repository = Repository({"m": Path("m")}, Options(), opener)
    repository.load("m")
    engine = opener.engines[1]
    engine.go.clear()
    first = ask(repository)
    assert engine.entered.acquire(timeout=PATIENCE_S)
    patient, hasty = ask(repository, timeout_s=3600.0), ask(repository, timeout_s=0.1)
    jump(seconds)
    later = ask(repository, timeout_s=0.05)
    for each in (hasty, later):
        with pytest.raises(Expired):
            each.result(PATIENCE_S)
    assert not patient.done()
    engine.go.set()
    assert [number(first), number(patient)] == [1, 1]
    told = opener.models[1].statistics.snapshot()
    assert (told.success.count, told.late) == (2, 0)
    assert 0 <= told.latency.total < PATIENCE_S
    repository.close()


@pytest.mark.parametrize("seconds", [YEARS, -YEARS])
def test_a_canary_is_neither_promoted_nor_given_up_by_it(jump: Jump, seconds: float) -> None:
    opener = Opener()
    repository = Repository({"m": Path("m")}, Options(canary=Terms(share=0.5, for_s=3600)), opener)
    repository.load("m")
    repository.load("m")
    trial = repository.slot("m").trial
    assert trial is not None
    jump(seconds)
    for _ in range(20):
        answer(repository)
    assert trial.look() is None
    assert 0 <= trial.told().seconds < PATIENCE_S
    repository.close()


def test_what_decides_asks_no_wall_clock() -> None:
    files = [Path(scheduling.__file__), Path(switching.__file__), *Path(steelyard.serve.__file__).parent.glob("*.py")]
    asking = {file.name for file in files if re.search(r"\btime\.time\(|datetime", file.read_text(encoding="utf-8"))}
    assert len(files) > 15
    assert asking <= SHOWN_TO_PEOPLE
