"""`steelyard load` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from command import COMMAND, Ran, run_here, run_in
from raw_server import Asked, RawServer, model_server, raw_server, response

SHORT = ("--rate", "400/s", "--for", "0.5s", "--warm-up", "0s", "--connections", "8")


async def infer(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Takes four numbers an item, as binary or JSON; on demand 503, silence, or half a second."""
    if b'"timeout":7000000' in asked.body:
        writer.write(response(b'{"error": "the queue is full"}', "503 Service Unavailable"))
    elif b'"priority":9' in asked.body:
        await asyncio.sleep(3600)
    else:
        await asyncio.sleep(0.5 if b'"timeout":3000000' in asked.body else 0)
        right = b'"shape":[1,4]' in asked.body
        told = b'{"parameters":{"variant":"int8"},"outputs":[]}' if right else b'{"error": "one item at a time"}'
        writer.write(response(told, "200 OK" if right else "400 Bad Request"))


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with raw_server(model_server(infer)) as running:
        yield running


def loaded(folder: Path, server: RawServer, *arguments: str) -> Ran:
    return run_in(folder, "load", server.url, *arguments)


def test_a_bound_that_is_kept(tmp_path: Path, server: RawServer) -> None:
    np.savez(tmp_path / "items.npz", x=np.ones((20, 4), np.float32), labels=np.zeros(20))
    # A bound that a busy machine keeps too.
    wanted = ("--model", "digits", "--p50", "20s", "--data", "items.npz", "--format", "json", *SHORT)
    for form in ("--binary", "--json"):
        ran = loaded(tmp_path, server, form, *wanted)
        assert ran.status == 0, ran.err
        told = ran.json
        assert (told["schema"], told["verdict"], told["requests"]) == ("steelyard.load/1", "pass", 200)
        assert (told["failed"], told["variants"], told["encoding"]) == ({}, {"int8": 1.0}, form[2:])
        assert told["requirement"] == {"percentile": 50.0, "bound_ms": 20000.0}


def test_a_bound_that_is_broken_and_what_people_see(tmp_path: Path, server: RawServer) -> None:
    """Answers take so much longer than the bound that a client on a busy machine cannot take it for its own fault."""
    slow = ("--timeout", "3s", "--rate", "100/s", "--for", "0.5s", "--warm-up", "0s", "--connections", "64")
    ran = loaded(tmp_path, server, "--p95", "1ms", *slow)
    assert ran.status == 3
    assert "p95 is broken" in ran.out
    assert "█" in ran.out
    assert "answered by int8 100%" in ran.out


def test_without_a_bound_refusals_are_told_and_no_verdict(tmp_path: Path, server: RawServer) -> None:
    ran = loaded(tmp_path, server, "--timeout", "7s", *SHORT)
    assert ran.status == 0
    assert "200 × 503: the queue is full" in ran.out
    assert "never" in ran.out
    assert loaded(tmp_path, server, "--format", "quiet", *SHORT).out == ""


def test_the_highest_rate(tmp_path: Path, server: RawServer) -> None:
    """A bound that nothing keeps: the search ends, and says so."""
    ran = loaded(tmp_path, server, "--find", "--p50", "1us", "--rate", "900/s", "--for", "0.1s", "--warm-up", "0s")
    assert ran.status == 3
    assert "No rate that was tried keeps p50" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "missing: how many requests"),
        (("--rate", "5"), "requests per unit of time"),
        (("--find",), "needs a latency bound"),
        ((*SHORT, "--model", "cats"), "it has digits"),
        ((*SHORT, "--items", "2"), "refuses these requests (400: one item at a time)"),
        ((*SHORT, "--shape", "z=3"), "which is no input of digits"),
        ((*SHORT, "--data", "nowhere.npz"), "no file nowhere.npz"),
        ((*SHORT, "--arrivals", "sometimes"), "poisson, gamma"),
        ((*SHORT, "--header", "nonsense"), "a header is"),
        ((*SHORT, "--connections", "0"), "--connections is 1"),
        (("--rate", "1000000000/s"), "a run sends"),
    ],
)
def test_what_a_user_can_get_wrong(tmp_path: Path, server: RawServer, arguments: tuple[str, ...], words: str) -> None:
    ran = run_here(tmp_path, "load", server.url, *arguments)
    assert ran.status == 2
    assert words in " ".join(ran.err.split())
    assert ran.out == ""


def test_nobody_is_there(tmp_path: Path) -> None:
    with raw_server(model_server()) as gone:
        pass
    ran = loaded(tmp_path, gone, "--format", "json", *SHORT)
    assert ran.status == 2
    assert "the connection was refused" in json.loads(ran.err)["message"]


def test_control_c_still_reports_what_was_seen(tmp_path: Path, server: RawServer) -> None:
    before = len(server.asked)
    arguments = ["load", server.url, "--rate", "200/s", "--for", "600s", "--warm-up", "0s", "--format", "json"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        while len(server.asked) < before + 30:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    told = json.loads(out)
    assert told["interrupted"]
    assert told["requests"] >= 20
