"""Programs on one machine take turns at timing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from steelyard.errors import Interrupted, OutOfTime
from steelyard.measure import turns
from steelyard.measure.process import Deadline
from steelyard.measure.turns import Turns

HOLDER = """
import pathlib, sys, threading, time
from steelyard.measure.process import Deadline
from steelyard.measure.turns import Turns
turns = Turns(threading.Event(), Deadline(), folder=pathlib.Path(sys.argv[1]))
with getattr(turns, sys.argv[2])():
    print("held", flush=True)
    time.sleep(60)
"""


def turns_in(folder: Path, told: list[str] | None = None, stop: threading.Event | None = None) -> Turns:
    tell = (lambda _: None) if told is None else told.append
    return Turns(stop or threading.Event(), Deadline(), tell, folder)


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another program that times, and goes on doing so until it is killed."""
    return started(tmp_path, "alone")


def started(place: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(place), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("how", ["alone", "among_others"])
def test_while_another_program_times_everything_waits_and_a_kill_frees_it(
    tmp_path: Path, holder: subprocess.Popen[str], how: str
) -> None:
    told: list[str] = []
    entered = threading.Event()

    def enter() -> None:
        with getattr(turns_in(tmp_path, told), how)():
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.3)
    assert told == ["another program is measuring on this machine: waiting for it"]
    ended(holder)  # kill -9
    waiting.join(10)
    assert entered.is_set()


def test_what_does_not_time_goes_on_side_by_side_but_no_timing_beside_it(tmp_path: Path) -> None:
    other = started(tmp_path, "among_others")
    try:
        with turns_in(tmp_path).among_others():
            pass
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Interrupted), turns_in(tmp_path, stop=stop).alone():
            pytest.fail("it timed while another program worked")
    finally:
        ended(other)


def test_whoever_waits_is_next(tmp_path: Path) -> None:
    """A program that goes from step to step must not keep one out that waits to time."""
    busy, patient, order = turns_in(tmp_path), turns_in(tmp_path), []
    begun = threading.Event()

    def time_once() -> None:
        begun.wait()
        with patient.alone():
            order.append("patient")

    waiting = threading.Thread(target=time_once)
    waiting.start()
    for step in range(40):
        with busy.among_others():
            begun.set()
            time.sleep(0.05)
            order.append(str(step))
    waiting.join(10)
    assert order.index("patient") < 20


def test_the_end_of_the_time_ends_the_waiting(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    deadline = Deadline()
    deadline.at = time.monotonic() + 0.2
    try:
        with pytest.raises(OutOfTime), Turns(threading.Event(), deadline, folder=tmp_path).alone():
            pytest.fail("it did not wait")
    finally:
        ended(holder)


def test_patience_ends_and_that_is_told(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
    told: list[str] = []
    try:
        with turns_in(tmp_path, told).alone():
            pass
    finally:
        ended(holder)
    assert told[-1] == "another program goes on measuring: going on beside it"


def test_where_there_can_be_no_locks_nothing_is_held_up(tmp_path: Path) -> None:
    with turns_in(tmp_path / "nowhere").alone(), turns_in(tmp_path / "nowhere").alone():
        pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "steelyard-machine.lock").symlink_to(tmp_path / "target")
    with turns_in(tmp_path).alone():
        pass
    assert not (tmp_path / "target").exists()
