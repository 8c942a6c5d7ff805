"""One server, started, proven right, warmed up, and asked in every form that it takes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
from peers import wrk
from peers.asking import Ask, Item
from peers.contestants import Contestant, Setting
from servers import cpu_s, free_port, running

CONNECTIONS = (1, 16)
READY_S, LOOK_S = 45.0, 0.1
CLOSE = 1e-3
"""Answers may differ by so much from ONNX Runtime's own."""


@dataclass(frozen=True)
class Work:
    """What is computed."""

    name: str
    model: Path
    bundle: Path
    item: Item

    @cached_property
    def answer(self) -> Any:
        """The right one."""
        session = onnxruntime.InferenceSession(self.model, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: self.item})[0]


@dataclass(frozen=True)
class Measured:
    """One run, and what it took."""

    rate: wrk.Rate
    server_us: float
    """Microseconds of processor time a request, of all processes of the server: hardly moved by what else runs."""


def rates(
    contestant: Contestant, setting: Setting, work: Work, peers: Path, seconds: float
) -> dict[tuple[str, int], Measured]:
    """By form and connections; empty, and why on standard error, when it does not start or answers wrongly."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        told = folder / "told.json"
        told.write_text(json.dumps({"workers": setting.workers, "batch": setting.batch}))
        command = contestant.command(peers.absolute(), work.model, work.bundle, port, told)
        environment = {"PYTHONPATH": "", **setting.environment}
        try:
            with running(command, port, environment, folder) as process:
                asks = contestant.asks(work.item)
                for ask in asks.values():
                    _prove(ask, work, port, process)
                return _asked(asks, port, seconds, process)
        except (RuntimeError, psutil.Error) as error:
            log = (folder / "server.log").read_text(errors="replace")[-800:]
            print(f"  {contestant.name} ({setting.name}) is left out: {error}\n{log}", file=sys.stderr)
            return {}


def _asked(
    asks: dict[str, Ask], port: int, seconds: float, process: subprocess.Popen[bytes]
) -> dict[tuple[str, int], Measured]:
    found = {}
    for form, ask in asks.items():
        wrk.run(ask, port, max(CONNECTIONS), 1)
        for connections in CONNECTIONS:
            used = cpu_s(process)
            rate = wrk.run(ask, port, connections, seconds)
            found[form, connections] = Measured(rate, (cpu_s(process) - used) / max(rate.answered, 1) * 1e6)
    return found


def _prove(ask: Ask, work: Work, port: int, process: subprocess.Popen[bytes]) -> None:
    """Ask once, until it is ready. Raises RuntimeError when the answer is wrong, or none comes."""
    until, why = time.monotonic() + READY_S, ""
    while time.monotonic() < until and process.poll() is None:
        try:
            status, body, headers = _once(ask, port)
        except (OSError, http.client.HTTPException) as error:
            why = str(error)
        else:
            if status == 200:
                _check(ask.read(body, headers), work)
                return
            why = f"{status}: {body[:300]!r}"
        time.sleep(LOOK_S)
    raise RuntimeError(f"it does not answer: {why}")


def _once(ask: Ask, port: int) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
    try:
        connection.request("POST", ask.path, ask.body, dict(ask.headers))
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def _check(numbers: Any, work: Work) -> None:
    got = np.asarray(numbers, np.float32).ravel()
    if got.size and not np.allclose(got, work.answer.ravel(), atol=CLOSE):
        raise RuntimeError(f"it answers {got[:4]} …, and right is {work.answer.ravel()[:4]} …")
