"""From a model to answers over a socket: weigh, serve, ask, replace while it is asked, end without losing a request."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml

import made_networks
from collector import collecting
from command import Ran, run_here, run_in
from serving_server import Running, serving
from steelyard.protocol import inference_pb2 as pb

ITEMS = 300
TOKEN = "x" * 20


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `plan` of the model two.onnx."""
    folder = tmp_path_factory.mktemp("served")
    made_networks.two_inputs(folder / "two.onnx")
    a, b = made_networks.normal(ITEMS, 8), made_networks.normal(ITEMS, 4, seed=1)
    np.savez(folder / "two.npz", a=a, b=b, labels=right(a, b))
    words = ("--data", "two.npz", "--metric", "cosine", "--output", "logits", "--p95", "50ms", "--within", "3s")
    ran = run_in(folder, "weigh", "two.onnx", *words, "--out", "plan", "--format", "json")
    assert ran.status == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Running]:
    """Serves the bundle, under another name than its model's."""
    with serving(bundles, "mine=plan") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(bundles: Path) -> Iterator[Running]:
    """Wants the token."""
    with serving(bundles, "plan", STEELYARD_TOKEN=TOKEN) as running:
        yield running


def right(a: Any, b: Any) -> Any:
    return a @ made_networks.normal(8, 6) + b @ made_networks.normal(4, 6, seed=1)


def some(items: int, seed: int = 7) -> dict[str, Any]:
    return {"a": made_networks.normal(items, 8, seed=seed), "b": made_networks.normal(items, 4, seed=seed + 1)}


def test_a_bundle_answers_rightly_and_names_its_variant(bundles: Path) -> None:
    chosen = json.loads((bundles / "plan" / "plan.json").read_text())["chosen"]["variant"]
    with serving(bundles, "plan", "--no-switch") as server:
        assert server.ask("GET", "/v2/health/ready")[0] == 200
        status, metadata = server.ask("GET", "/v2/models/two")
        assert status == 200
        assert [each["name"] for each in metadata["inputs"]] == ["a", "b"]
        assert [each["name"] for each in metadata["outputs"]] == ["mean", "logits"]
        for items in (1, 5):
            asked = some(items)
            answer = server.infer("two", **asked)
            expected = right(**asked)
            assert np.allclose(np.reshape(answer["logits"], (items, 6)), expected, atol=0.2)
            assert answer["variant"] == chosen
        assert server.stop() == 0


def test_the_ladder_is_served_and_the_ledger_tells_the_same(bundles: Path) -> None:
    plan = json.loads((bundles / "plan" / "plan.json").read_text())
    variants = [name.partition(".")[0] for name in plan["ladder"]]
    assert plan["chosen"]["id"] in plan["ladder"]
    assert set(variants) <= set(plan["artefacts"])
    decided = json.loads(run_here(bundles, "decide", "plan", "--format", "json").out)
    assert decided["ladder"] == plan["ladder"]
    with serving(bundles, "plan") as server:
        assert server.infer("two", **some(1))["variant"] == variants[0]
    with serving(bundles, "plan", "--only", variants[-1]) as server:
        assert server.infer("two", **some(1))["variant"] == variants[-1]
    refused = run_in(bundles, "serve", "plan", "--only", "nobody", "--port", "0", "--grpc-port", "-1")
    assert refused.status == 2
    assert "no rung 'nobody'" in refused.err


def test_wrong_requests_are_told_what_is_wrong(server: Running) -> None:
    status, told = server.ask("POST", "/v2/models/two/infer", b"{}")
    assert (status, "two" in told["error"]) == (404, True)
    asked = {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 7], "data": [0.0] * 7}]}
    status, told = server.ask("POST", "/v2/models/mine/infer", json.dumps(asked).encode())
    assert status == 400
    assert "a" in told["error"]


def test_isolated_processes_that_are_killed_come_back(bundles: Path) -> None:
    with serving(bundles, "plan", "--isolate") as server:
        import psutil

        [worker, *_] = psutil.Process(server.process.pid).children()
        server.infer("two", **some(1))
        worker.kill()
        lost = 0
        for seed in range(40):
            body = {
                "inputs": [
                    {"name": n, "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
                    for n, x in some(1, seed).items()
                ]
            }
            status, _ = server.ask("POST", "/v2/models/two/infer", json.dumps(body).encode())
            assert status in (200, 503)
            lost += status == 503
        assert lost <= 1
        server.infer("two", **some(1))


def test_a_bundle_is_replaced_while_it_is_asked(bundles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundles / "plan", tmp_path / "plan")
    with serving(tmp_path, "two=plan") as server:
        stop, failures = threading.Event(), []

        def keep_asking() -> None:
            while not stop.is_set():
                try:
                    server.infer("two", **some(2))
                except Exception as error:
                    failures.append(error)

        askers = [threading.Thread(target=keep_asking) for _ in range(3)]
        for asker in askers:
            asker.start()
        for version in ("2", "3"):
            server.process.send_signal(signal.SIGHUP)
            wait_for_version(server, version)
        (tmp_path / "plan" / "plan.json").write_text("{}")
        server.process.send_signal(signal.SIGHUP)  # a broken bundle changes nothing
        while "cannot be served" not in (tmp_path / "server.err").read_text():
            time.sleep(0.05)
        stop.set()
        for asker in askers:
            asker.join()
        assert failures == []
        assert server.ask("GET", "/v2/models/two")[1]["versions"] == ["3"]


def wait_for_version(server: Any, version: str) -> None:
    end = time.monotonic() + 60
    while server.ask("GET", "/v2/models/two")[1]["versions"] != [version]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_is_loaded_and_watched_by_our_own_tools(bundles: Path, server: Running) -> None:
    words = ("--rate", "50/s", "--for", "2s", "--p95", "5s", "--data", "two.npz", "--format", "json")
    ran = run_in(bundles, "load", f"http://127.0.0.1:{server.port}", *words)
    assert ran.status == 0, ran.err
    assert ran.json["answered"] == ran.json["requests"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for path, expected in (("/metrics", b"served_quality"), ("/live", b"mine"), ("/docs", b"/v2/models")):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        assert expected in answer.read()
    connection.close()


def test_grpc_answers_beside_http(guarded: Running) -> None:
    asked = some(2)
    request = pb.ModelInferRequest(model_name="two")
    for name, array in asked.items():
        request.inputs.add(name=name, datatype="FP32", shape=list(array.shape))
        request.raw_input_contents.append(array.tobytes())
    with grpc.insecure_channel(f"127.0.0.1:{guarded.grpc_port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as refused:
            infer(request)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        answer = infer(request, metadata=[("authorization", f"Bearer {TOKEN}")])
    place = [output.name for output in answer.outputs].index("logits")
    logits = np.frombuffer(answer.raw_output_contents[place], np.float32).reshape(2, 6)
    assert np.allclose(logits, right(**asked), atol=0.2)


def test_requests_are_traced_until_the_end(bundles: Path) -> None:
    sampled = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    told = [
        {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in some(1).items()
    ]
    with collecting() as collector:
        with serving(bundles, "plan", "--trace", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server:
            for headers in (sampled, {}):
                asked = json.dumps({"inputs": told}).encode()
                assert server.ask("POST", "/v2/models/two/infer", asked, headers)[0] == 200
            assert server.stop() == 0  # what was not sent yet is sent now
        [span] = collector.spans
    assert (span["name"], span["trace"], span["parent"]) == ("infer two", "a" * 32, "b" * 16)
    assert (span["steelyard.outcome"], span["events"]) == ("answered", ["dispatched"])


def test_another_day_is_replayed(bundles: Path) -> None:
    words = ("--bundle", "plan", "--rate", "50/s", "--duration", "60s")
    ran = run_here(bundles, "replay", "gamma:4", *words, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["requests"] == 3000
    assert ran.json["rows"][0]["name"] == "switching"
    shown = run_in(bundles, "replay", "gamma:4", *words, COLUMNS="200")
    assert "late or refused" in shown.out
    hopeless = run_here(bundles, "replay", "poisson", *words, "--p99.9", "0.001ms")
    assert hopeless.status == 3
    wrong = run_here(bundles, "replay", "sometimes", *words)
    assert wrong.status == 2
    assert "sometimes" in wrong.err


def test_what_is_exported_serves(bundles: Path, tmp_path: Path) -> None:
    def export(to: str) -> Ran:
        return run_here(bundles, "export", "plan", "--to", to, "--out", str(tmp_path / to), "--image", "registry/two:1")

    for to in ("docker", "kserve"):
        ran = export(to)
        assert ran.status == 0, ran.err
    image, same = ((tmp_path / to / "Dockerfile").read_text() for to in ("docker", "kserve"))
    assert image == same
    [entry] = [json.loads(each.removeprefix("ENTRYPOINT ")) for each in image.splitlines() if "ENTRYPOINT" in each]
    assert entry[:2] == ["steelyard", "serve"]
    # What the container runs, but for its place, its address and its port.
    here = {"two=/bundle": f"two={tmp_path / 'kserve' / 'bundle'}", "0.0.0.0": "127.0.0.1"}  # noqa: S104
    words = [here.get(word, word) for word in entry[2:]]
    with serving(tmp_path, *words, STEELYARD_TOKEN=TOKEN) as server:
        assert server.ask("GET", "/v2/health/ready")[0] == 200
        assert server.ask("GET", "/v2/models/two")[0] == 401
    service = yaml.safe_load((tmp_path / "kserve" / "inferenceservice.yaml").read_text())
    assert service["kind"] == "InferenceService"
    [container] = service["spec"]["predictor"]["containers"]
    assert container["image"] == "registry/two:1"
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}
    assert service["spec"]["predictor"]["minReplicas"] == 1
    again = export("docker")
    assert again.status == 2
    assert "is not an empty folder" in again.err
    assert "WARNING" not in (tmp_path / "server.err").read_text()


def test_a_port_in_use_is_told(bundles: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run_in(bundles, "serve", "plan", "--port", port)
        assert ran.status == 2
        assert f"port {port} on 127.0.0.1 is in use" in ran.err


def test_other_machines_need_a_token(bundles: Path) -> None:
    ran = run_in(bundles, "serve", "plan", "--host", "0.0.0.0")  # noqa: S104
    assert ran.status == 2
    assert "no token is set" in ran.err
    assert "STEELYARD_TOKEN" in ran.err
    short = run_in(bundles, "serve", "plan", STEELYARD_TOKEN="short")
    assert short.status == 2
    assert "at least 16 characters" in short.err


def test_a_token_is_demanded(guarded: Running) -> None:
    assert guarded.ask("GET", "/v2/models/two")[0] == 401
    assert guarded.ask("GET", "/v2/models/two", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert guarded.ask("GET", "/v2/models/two", headers={"Authorization": f"Bearer {TOKEN}x"})[0] == 401


def test_what_cannot_be_served(bundles: Path, tmp_path: Path) -> None:
    nothing = run_in(tmp_path, "serve", "nowhere")
    assert nothing.status == 2
    assert "nowhere is not a bundle" in nothing.err
    shutil.copytree(bundles / "plan", tmp_path / "changed")
    artefact = next(file for file in (tmp_path / "changed" / "artefacts").rglob("*.onnx"))
    artefact.write_bytes(artefact.read_bytes() + b" ")
    changed = run_in(tmp_path, "serve", "changed")
    assert changed.status == 2
    assert "its hash has changed" in changed.err
    twice = run_in(bundles, "serve", "a=plan", "a=plan")
    assert twice.status == 2
    assert "two bundles are called 'a'" in twice.err


def test_a_server_that_is_ended_answers_what_it_has(bundles: Path) -> None:
    with serving(bundles, "plan") as server:
        answers: list[dict[str, Any]] = []
        asker = threading.Thread(target=lambda: answers.append(server.infer("two", **some(1000))))
        asker.start()
        while server.ask("GET", "/v2/models/two/stats")[1]["model_stats"][0]["inference_count"] == 0:
            time.sleep(0.001)
        assert server.stop() == 0
        asker.join()
        assert len(answers[0]["logits"]) == 6000
