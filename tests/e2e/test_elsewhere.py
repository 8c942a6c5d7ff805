"""A bundle answers as it was measured wherever it is taken: inside another application, behind Ray's proxy."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import uvicorn
from fastapi import FastAPI

import made_networks
import steelyard
from command import run_in
from serving_here import PATIENCE_S, run_by_uvicorn
from steelyard.errors import BundleError, InputError, UsageError

ITEMS = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `plan` of the model two.onnx."""
    folder = tmp_path_factory.mktemp("elsewhere")
    made_networks.two_inputs(folder / "two.onnx")
    asked = some(ITEMS)
    np.savez(folder / "two.npz", **asked, labels=rightly(folder, asked)["logits"])
    words = ("--data", "two.npz", "--metric", "cosine", "--output", "logits", "--p95", "50ms", "--within", "3s")
    ran = run_in(folder, "weigh", "two.onnx", *words, "--out", "plan", "--format", "json")
    assert ran.status == 0, ran.err
    return folder


def some(items: int) -> dict[str, Any]:
    return {"a": made_networks.normal(items, 8, seed=7), "b": made_networks.normal(items, 4, seed=8)}


def rightly(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ONNX Runtime makes of it by itself."""
    session = onnxruntime.InferenceSession(str(folder / "two.onnx"))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(asked)), strict=True))


def check(outputs: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """As right as int8 is."""
    assert outputs.keys() == expected.keys()
    for name, answer in expected.items():
        assert np.shape(outputs[name]) == answer.shape
        assert np.allclose(outputs[name], answer, atol=0.2)


class Client:
    """Asks what uvicorn runs."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._port = server.servers[0].sockets[0].getsockname()[1]

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        reply = connection.getresponse()
        told = reply.read().decode()
        connection.close()
        return reply.status, told


def as_json(arrays: Mapping[str, Any]) -> dict[str, Any]:
    named = [(name, array.astype(np.float32)) for name, array in arrays.items()]
    return {"inputs": [{"name": n, "datatype": "FP32", "shape": a.shape, "data": a.ravel().tolist()} for n, a in named]}


def test_inside_another_application(place: Path) -> None:
    models = steelyard.asgi({"mine": place / "plan"})
    app = FastAPI(lifespan=models.lifespan)
    app.mount("/models", models)
    asked = some(5)
    threads = set(threading.enumerate())
    for _ in range(2):  # it opens anew each time it is started
        with run_by_uvicorn(app) as server:
            client = Client(server)
            status, told = client.ask("/models/v2/models/mine/infer", as_json(asked))
            assert status == 200
            answered = {each["name"]: np.reshape(each["data"], each["shape"]) for each in json.loads(told)["outputs"]}
            check(answered, rightly(place, asked))
            assert 'steelyard_model_ready{model="mine",version="1"} 1.0' in client.ask("/models/metrics")[1]
            for file in re.findall(r'(?:src|href)="([^":]+)"', client.ask("/models/live")[1]):
                assert client.ask(f"/models/{file}")[0] == 200
            assert client.ask("/v2/models/mine")[0] == 404
            assert client.ask("/models/v2", host="example.org")[0] == 403
        left = {thread.name for thread in set(threading.enumerate()) - threads}
        assert not left, "all that answered has ended"


def test_who_may_ask_is_the_embedder_s_to_say(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEELYARD_TOKEN", raising=False)
    model = "/v2/models/two"
    with run_by_uvicorn(steelyard.asgi(place / "plan", hosts=["models.example.org"])) as server:
        client = Client(server)
        assert [client.ask(model, host=host)[0] for host in ("models.example.org", "localhost")] == [200, 200]
        assert client.ask(model, host="example.org")[0] == 403
    with run_by_uvicorn(steelyard.asgi(place / "plan", hosts=["*"])) as server:
        assert Client(server).ask(model, host="example.org")[0] == 200
    (tmp_path / "token").write_text("x" * 20)
    with run_by_uvicorn(steelyard.asgi(place / "plan", token_file=tmp_path / "token")) as server:
        client = Client(server)
        assert client.ask(model)[0] == 401
        assert client.ask(model, host="example.org", authorization=f"Bearer {'x' * 20}")[0] == 200


def test_what_breaks_after_it_was_looked_at_keeps_the_server_from_starting(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(place / "plan", tmp_path / "plan")
    models = steelyard.asgi(tmp_path / "plan")
    shutil.rmtree(tmp_path / "plan" / "artefacts")
    with run_by_uvicorn(models) as server:
        assert not server.started
    assert any("is missing" in record.getMessage() for record in caplog.records if record.name == "uvicorn.error")


def test_what_cannot_be_embedded_is_told_at_once(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        steelyard.asgi(tmp_path)
    with pytest.raises(BundleError, match="is not a bundle"):
        steelyard.asgi({"two": place / "plan", "other": tmp_path})
    with pytest.raises(InputError, match="is no name for a model"):
        steelyard.asgi({"a/b": place / "plan"})
    with pytest.raises(UsageError, match="no bundle to serve"):
        steelyard.asgi({})
    with pytest.raises(UsageError, match="shadow"):
        steelyard.asgi(place / "plan", shadow="much")


@pytest.mark.slow
def test_behind_the_proxy_of_ray(place: Path, tmp_path: Path, alone: list[str]) -> None:
    """Ray takes some fifteen seconds to start, its proxy and the replica some ten."""
    pytest.importorskip("ray.serve", reason="needs the extra ray")
    ran = run_in(place, "export", "plan", "--to", "ray-serve", "--out", str(tmp_path / "out"))
    assert ran.status == 0, ran.err
    asked = some(5)
    np.savez(tmp_path / "asked.npz", **asked)
    script = str(Path(__file__).with_name("ray_serve_run.py"))
    command = [*alone, sys.executable, script, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    log = (tmp_path / "run.log").read_text()
    assert done.returncode == 0, done.stderr + log
    told = json.loads(done.stdout)
    check(told["outputs"], rightly(place, asked))
    assert [status for status, _ in told["wrong"]] == [400, 404, 403]
    assert "served are: two" in told["wrong"][1][1]
    assert told["pages"] == [200, 200, 200]
    assert told["status"] == 0, log
