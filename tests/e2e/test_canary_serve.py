"""A canary over a socket, while it is asked: promoted when it does as well; not when it dies, fails or is slow."""

from __future__ import annotations

import http.client
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import made_bundles
from serving_here import Connection, asked_meanwhile, serving_here
from serving_server import Running, serving
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.serve.canary import Terms
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.serve.served import Promise
from versions import Engine, Opener

PATIENCE_S = 60
CANARY = ("--canary", "50%", "--canary-for", "1s", "--canary-tolerance", "20%")
"""So tolerant and so short that a few hundred requests settle it."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `plan` of the model two.onnx, without a promised latency."""
    folder = tmp_path_factory.mktemp("canary")
    made_bundles.two_inputs(folder)
    return folder


def body(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": list(shape), "data": [0.0] * int(np.prod(shape))}


TWO = {"inputs": [body("a", 1, 8), body("b", 1, 4)]}
ONE = {"inputs": [body("x", 1, 1)]}


@contextmanager
def asking(port: int, model: str, asked: dict[str, Any]) -> Iterator[Counter[tuple[int, str]]]:
    """Three clients ask meanwhile; counts status and version of what they were answered."""
    became: Counter[tuple[int, str]] = Counter()

    def ask(connection: Connection, _: int) -> None:
        status, told = connection.ask("POST", f"/v2/models/{model}/infer", asked)
        became[status, told.get("model_version", "")] += 1

    with asked_meanwhile(port, 3, ask):
        yield became


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def versions(server: Running) -> list[str]:
    told: list[str] = server.ask("GET", "/v2/models/two")[1]["versions"]
    return told


def page(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_a_new_version_that_does_as_well_takes_over(bundles: Path) -> None:
    with serving(bundles, "two=plan", *CANARY) as server:
        with asking(server.port, "two", TWO) as became:
            until(lambda: became[200, "1"] > 0)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: versions(server) == ["1", "2"])
            assert {each["version"] for each in server.ask("POST", "/v2/repository/index", b"{}")[1]} == {"1", "2"}
            assert 'steelyard_canary_share{model="two",version="2"} 0.5' in page(server.port, "/metrics")
            assert "version 2 gets 50% of the requests beside version 1" in page(server.port, "/live")
            until(lambda: versions(server) == ["2"])
        promoted = 'steelyard_canaries_ended_total{model="two",outcome="promoted",reason="kept"} 1.0'
        assert promoted in page(server.port, "/metrics")
        assert "version 2 was promoted" in page(server.port, "/live")
        assert server.stop() == 0
    assert set(became) == {(200, "1"), (200, "2")}


def test_a_new_version_whose_process_dies_is_rolled_back(bundles: Path) -> None:
    with serving(bundles, "two=plan", "--isolate", *CANARY) as server, asking(server.port, "two", TWO) as became:
        parent = psutil.Process(server.process.pid)
        old = {child.pid for child in parent.children()}
        server.process.send_signal(signal.SIGHUP)
        until(lambda: versions(server) == ["1", "2"])
        for child in parent.children():
            if child.pid not in old:
                child.kill()
        until(lambda: versions(server) == ["1"])
        assert re.search(r"the canary, version 2, is rolled back: .*missing", (bundles / "server.err").read_text())
        before = became[200, "1"]
        until(lambda: became[200, "1"] > before + 20)
    lost = {key: count for key, count in became.items() if key[0] != 200}
    assert sum(lost.values()) <= 3, lost  # what each client was asking at that moment
    assert all(status == 503 for status, _ in lost)


def slow() -> bool:
    time.sleep(0.05)
    return False


@pytest.mark.parametrize(("fault", "reason"), [(lambda: True, "failures"), (slow, "late")])
def test_a_new_version_that_fails_or_is_slow_is_rolled_back(fault: Callable[[], bool], reason: str) -> None:
    def prepare(engine: Engine) -> None:
        if engine.version == 2:
            engine.fails = fault

    opener = Opener(Promise(0.03, 95))
    opener.prepare = prepare
    terms = Terms(share=0.5, for_s=4.0, tolerance=0.2)
    repository = Repository({"one": Path("one")}, Options(canary=terms), opener)
    repository.load("one")
    with serving_here(Http(repository, Guards())) as port, asking(port, "one", ONE) as became:
        until(lambda: became[200, "1"] > 0)
        repository.load("one")
        until(lambda: opener.closed == [2])
        before = became[200, "1"]
        until(lambda: became[200, "1"] > before + 20)
        last = repository.slot("one").last
        assert last is not None
        assert (last.outcome, last.reason) == ("rolled_back", reason)
    repository.close()
    assert set(became) == {(200, "1"), (500, "") if reason == "failures" else (200, "2")}
