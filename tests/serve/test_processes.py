"""A model in processes of its own: right answers, growing arrays, death, hanging, text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import helper

from made_networks import centred, save
from steelyard.errors import CandidateFailure, WorkerLost
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.scheduling import Choice, Single, profile_of
from steelyard.serve.dispatcher import Dispatcher
from steelyard.serve.processes import Isolation, ProcessSession

LIMITS = Isolation(memory_mb=1000)


def opened(path: Path, processes: int = 1, streams: int = 1, limits: Isolation = LIMITS) -> ProcessSession:
    return ProcessSession("onnxruntime", path, SessionSettings(streams=streams), processes, limits)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return centred(tmp_path / "model.onnx")


@pytest.fixture
def session(model: Path) -> Iterator[ProcessSession]:
    session = opened(model, processes=2, streams=2)
    yield session
    session.close()


def some(items: int, seed: int = 0) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(items, 4)).astype(np.float32)}


def test_every_stream_answers_as_the_runtime_does(model: Path, session: ProcessSession) -> None:
    here = open_session("onnxruntime", model, SessionSettings())
    for stream in range(4):
        inputs = some(5, stream)
        for ours, theirs in zip(session.run(stream, inputs), here.run(0, inputs), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_answer_is_not_overwritten_by_the_next_batch(session: ProcessSession) -> None:
    first = session.run(0, some(3, 1))[0]
    kept = first.copy()
    session.run(0, some(3, 2))
    np.testing.assert_array_equal(first, kept)


def test_memory_grows_with_what_goes_in_and_comes_out(model: Path, session: ProcessSession) -> None:
    here = open_session("onnxruntime", model, SessionSettings())
    for items in (1, 100_000, 7, 300_000, 2):
        inputs = some(items, items)
        np.testing.assert_array_equal(session.run(1, inputs)[0], here.run(0, inputs)[0])


def test_streams_may_run_at_the_same_time(model: Path, session: ProcessSession) -> None:
    here = open_session("onnxruntime", model, SessionSettings())
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(session.run, n % 4, some(64, n)) for n in range(200)]
    for n, run in enumerate(runs):
        np.testing.assert_array_equal(run.result()[0], here.run(0, some(64, n))[0])


def test_what_the_model_refuses_is_told_and_the_process_goes_on(session: ProcessSession) -> None:
    pids = session.pids
    with pytest.raises(CandidateFailure, match="onnxruntime cannot run the model"):
        session.run(0, {"nonsense": np.zeros((1, 4), np.float32)})
    assert session.run(0, some(1))[0].shape[0] == 1
    assert session.pids == pids


def test_a_model_that_cannot_be_opened_is_told_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    before = len(psutil.Process().children())
    with pytest.raises(CandidateFailure, match=r"cannot open broken\.onnx"):
        opened(tmp_path / "broken.onnx", processes=2)
    assert len(psutil.Process().children()) == before


def test_a_process_killed_while_idle_costs_nothing(session: ProcessSession) -> None:
    victim = session.pids[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: session.missing == 1)
    assert session.run(0, some(2))[0].shape[0] == 2
    assert session.missing == 0
    assert victim not in session.pids


def test_a_process_that_hangs_is_killed_and_comes_back(model: Path) -> None:
    session = opened(model, limits=Isolation(memory_mb=1000, hang_s=0.5))
    try:
        process = psutil.Process(session.pids[0])
        process.suspend()
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED)
        with pytest.raises(WorkerLost, match=r"took more than 0.5 s"):
            session.run(0, some(1))
        session.revive(0)
        assert session.run(0, some(1))[0].shape[0] == 1
    finally:
        session.close()


def test_a_process_killed_in_a_batch_loses_that_batch_only(model: Path, session: ProcessSession) -> None:
    here = open_session("onnxruntime", model, SessionSettings())

    def serve(stream: int, _: Choice, requests: Sequence[int]) -> list[Array]:
        return [session.run(stream, some(20_000, request))[0] for request in requests]

    with Dispatcher(serve, Single(profile_of([1.0])), 4, revive=lambda stream, _: session.revive(stream)) as dispatcher:
        promises = [dispatcher.submit(n) for n in range(300)]
        while not promises[20].done():
            time.sleep(0.001)
        os.kill(session.pids[1], signal.SIGKILL)
        lost = 0
        for n, promise in enumerate(promises):
            try:
                np.testing.assert_array_equal(promise.result(60), here.run(0, some(20_000, n))[0])
            except WorkerLost:
                lost += 1
        assert lost <= 2  # one batch on each of its two streams
        wait_for(lambda: session.missing == 0)


def test_a_session_that_is_closed_leaves_no_process(model: Path) -> None:
    session = opened(model, processes=2)
    pids = session.pids
    session.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(WorkerLost, match="no longer serving"):
        session.run(0, some(1))


def test_the_processes_outlive_the_thread_that_opened_them(model: Path) -> None:
    """A model that is loaded anew is loaded by a thread of its own, which ends."""
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(opened, model).result()
    pids = session.pids
    for _ in range(20):
        session.run(0, some(1))
        time.sleep(0.01)
    assert session.pids == pids != []
    session.close()


def test_the_processes_die_with_a_server_that_is_killed(model: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from steelyard.records.engine import SessionSettings
from steelyard.serve.processes import Isolation, ProcessSession
session = ProcessSession("onnxruntime", Path({str(model)!r}), SessionSettings(), 2, Isolation(memory_mb=1000))
print(*session.pids, flush=True)
time.sleep(60)
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    server.kill()
    server.wait()
    server.stdout.close()
    assert len(pids) == 2
    wait_for(lambda: not any(lives(pid) for pid in pids))


def test_text_goes_through(tmp_path: Path) -> None:
    same = [helper.make_node("Identity", ["x"], ["y"])]
    path = save(tmp_path / "text.onnx", same, {"x": ("str", ["n"])}, {"y": ("str", ["n"])})
    session = opened(path)
    try:
        texts = np.array(["a", "", "zwölf", "三"], dtype=object)
        answered = session.run(0, {"x": texts})[0]
        assert list(answered) == list(texts)
    finally:
        session.close()


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
