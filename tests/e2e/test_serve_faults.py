"""What goes wrong while it serves: a process killed under load, a model that hangs or answers NaN, a full disk, a
bundle that fails when it is opened anew, and what no client should send."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

import made_bundles
import made_networks
from command import COMMAND
from made_up import candidate, service
from serving_here import Connection, asked_meanwhile
from serving_server import Running, serving
from steelyard.protocol import inference_pb2 as pb
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature

PATIENCE_S = 60
INFER = "/v2/models/dawdler/infer"
BATCH = 4
FOR_EVER = 10**12
"""Turns: some weeks."""
SIGNATURE = Signature(
    inputs=(
        TensorInfo(name="x", dtype="float32", shape=(None, 1)),
        TensorInfo(name="turns", dtype="int64", shape=(None, 1)),
    ),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 1)),),
)


def bundled(folder: Path, name: str = "plan", make: Callable[[Path], Path] = made_networks.dawdler) -> Path:
    """A bundle of one variant with one worker."""
    one = candidate("original", "onnxruntime", threads=1, streams=1, max_batch=BATCH)
    model = make(folder / f"{name}.onnx")
    return made_bundles.alone(one, service(1, 1, [1, 2, BATCH]), SIGNATURE, model, folder / name)


def request(x: float = 4.0, turns: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]},
            {"name": "turns", "datatype": "INT64", "shape": [1, 1], "data": [turns]},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle `plan`."""
    place = tmp_path_factory.mktemp("faults")
    bundled(place)
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """Its model runs in a process of its own, which is killed when a batch takes longer than two seconds."""
    with serving(folder, "dawdler=plan", "--isolate", "--hang", "2s") as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[Connection]:
    connection = Connection(server.port)
    wait_for(lambda: is_ready(server))
    yield connection
    connection.close()


def is_ready(server: Running) -> bool:
    return server.ask("GET", "/v2/health/ready")[0] == 200


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


@contextmanager
def asking(server: Running, turns: int) -> Iterator[Counter[int]]:
    """Eight clients ask meanwhile; counts statuses, and checks answers."""
    became: Counter[int] = Counter()

    def ask(connection: Connection, number: int) -> None:
        status, told = connection.ask("POST", INFER, request(float(number * number), turns))
        became[status] += 1
        assert status != 200 or told["outputs"][0]["data"] == [float(number)]

    with asked_meanwhile(server.port, 8, ask):
        yield became


def worker_of(server: Running) -> psutil.Process:
    [worker] = psutil.Process(server.process.pid).children()
    return worker


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_process_killed_under_load_costs_no_more_than_its_batch_and_readiness_tells(
    server: Running, client: Connection
) -> None:
    with asking(server, turns=2000) as became:
        wait_for(lambda: became[200] > 30)
        worker_of(server).kill()
        wait_for(lambda: not is_ready(server))
        wait_for(lambda: is_ready(server))
        before = became[200]
        wait_for(lambda: became[200] > before + 30)
    assert became.keys() <= {200, 503}
    assert became[503] <= BATCH
    assert client.ask("POST", INFER, request())[0] == 200


def test_a_batch_that_hangs_is_given_up_and_the_others_are_answered(server: Running, client: Connection) -> None:
    before = worker_of(server).pid
    hanging = Connection(server.port)
    hanging.send("POST", INFER, request(turns=FOR_EVER))
    assert client.ask("POST", INFER, request())[0] in (200, 503)  # it may be of the same batch
    status, told = hanging.answer()
    assert status == 503
    assert "took more than 2 s" in told["error"]
    wait_for(lambda: is_ready(server))
    assert client.ask("POST", INFER, request())[0] == 200
    assert worker_of(server).pid != before
    hanging.close()


def test_a_batch_that_hangs_in_the_server_itself_keeps_it_from_nothing_but_an_answer(
    folder: Path, tmp_path: Path
) -> None:
    """It cannot be ended; the model is replaced, and the server ends all the same, with a status that says so."""
    with serving(tmp_path, f"dawdler={folder / 'plan'}") as server:
        hanging = Connection(server.port)
        hanging.send("POST", INFER, request(turns=FOR_EVER))
        wait_for(lambda: psutil.Process(server.process.pid).cpu_percent(0.1) > 50)
        hanging.close()
        assert server.ask("POST", "/v2/repository/models/dawdler/load", b"{}")[0] == 200
        assert server.ask("POST", INFER, json.dumps(request()).encode())[0] == 200
        began = time.monotonic()
        assert server.stop() == 1
        assert time.monotonic() - began < 20
    assert "a batch did not end in time" in (tmp_path / "server.err").read_text()


def test_at_the_end_both_protocols_answer_what_they_have_and_take_nothing_more(folder: Path, tmp_path: Path) -> None:
    asked = pb.ModelInferRequest(model_name="dawdler")
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 1], contents={"fp32_contents": [4.0]})
    asked.inputs.add(name="turns", datatype="INT64", shape=[1, 1], contents={"int64_contents": [1]})
    with serving(tmp_path, f"dawdler={folder / 'plan'}") as server:
        slow, channel = Connection(server.port), grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", None, pb.ModelInferResponse.FromString
        )
        assert infer(asked.SerializeToString()).model_name == "dawdler"
        slow.send("POST", INFER, request(turns=400_000))
        wait_for(lambda: psutil.Process(server.process.pid).cpu_percent(0.05) > 50)
        waiting = infer.future(asked.SerializeToString())  # behind the slow one, there is but one worker
        time.sleep(0.1)
        server.process.terminate()
        time.sleep(0.3)
        with pytest.raises(grpc.RpcError):
            infer(asked.SerializeToString(), timeout=PATIENCE_S)
        assert slow.answer()[0] == 200
        assert waiting.result(PATIENCE_S).model_name == "dawdler"
        assert server.process.wait(PATIENCE_S) == 0
        slow.close()
        channel.close()


# --- models -----------------------------------------------------------------------------------------------------------


def test_nan_is_null_in_json_and_itself_in_bytes(server: Running, client: Connection) -> None:
    status, told = client.ask("POST", INFER, request(-1.0))
    assert (status, told["outputs"][0]["data"]) == (200, [None])
    asked = json.dumps(request(-1.0, parameters={"binary_data_output": True})).encode()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as raw:
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        raw.sendall(head % (INFER.encode(), len(asked)) + asked)
        came = b""
        while part := raw.recv(65536):
            came += part
    assert np.isnan(np.frombuffer(came[-4:], np.float32)[0])
    assert client.ask("POST", INFER, request(9.0))[1]["outputs"][0]["data"] == [3.0]


def infinite(path: Path) -> Path:
    """y = 1 / x: infinite for the item that warms it up."""
    nodes = [
        helper.make_node("Reciprocal", ["x"], ["r"]),
        helper.make_node("Cast", ["turns"], ["t"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["r", "t"], ["y"]),
    ]
    inputs = {"x": ("float", ("n", 1)), "turns": ("int64", ("n", 1))}
    return made_networks.save(path, nodes, inputs, {"y": ("float", ("n", 1))})


def broken_file(path: Path) -> Path:
    path.write_bytes(b"this is no model")
    return path


@pytest.mark.parametrize("make", [infinite, broken_file])
def test_a_bundle_whose_model_fails_when_it_is_opened_changes_nothing(
    make: Callable[[Path], Path], folder: Path, server: Running, client: Connection
) -> None:
    version = server.ask("GET", "/v2/models/dawdler")[1]["versions"]
    shutil.copytree(folder / "plan", folder / "kept")
    try:
        bundled(folder, "plan", make)
        with asking(server, turns=1) as became:
            status, told = client.ask("POST", "/v2/repository/models/dawdler/load", {})
        assert status == 400
        assert "could not be changed" in told["error"]
        assert became.keys() == {200}
    finally:
        shutil.rmtree(folder / "plan")
        (folder / "kept").rename(folder / "plan")
    assert server.ask("GET", "/v2/models/dawdler")[1]["versions"] == version
    assert is_ready(server)


# --- a full disk ------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_what_is_told_and_logged_to_a_full_disk_ends_nothing(folder: Path) -> None:
    port = free_port()
    words = ("serve", "dawdler=plan", "gone=gone", "--port", str(port), "--grpc-port", "-1")
    shutil.copytree(folder / "plan", folder / "gone")
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=folder,
            stdout=full,
            stderr=full,
            env=os.environ | {"TMPDIR": "/dev/full"},
            text=True,
        )
    server = Running(process, port, 0)
    try:
        wait_for(lambda: process.poll() is not None or listens(server))
        wait_for(lambda: is_ready(server))
        shutil.rmtree(folder / "gone")
        for _ in range(3):
            assert server.ask("POST", "/v2/repository/models/gone/load", b"{}")[0] == 400  # why is for the log
            assert server.ask("POST", INFER, json.dumps(request()).encode())[0] == 200
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()


def listens(server: Running) -> bool:
    try:
        return server.ask("GET", "/v2/health/live")[0] == 200
    except OSError:
        return False


# --- clients ----------------------------------------------------------------------------------------------------------

PLAIN = json.dumps(request()).encode()
DEEP = 100_000


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (INFER, b'{"inputs": ' + b"[" * DEEP + b"]" * DEEP + b"}", {}, 400),
        (INFER, b'{"inputs": [], "more": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", {}, 400),
        (INFER, PLAIN.replace(b"[4.0]", b"[NaN]"), {}, 400),
        (INFER, PLAIN.replace(b"[4.0]", b"[-Infinity]"), {}, 400),
        (INFER, PLAIN.replace(b"[1, 1]", b"[4611686018427387904, 4611686018427387904]"), {}, 400),
        (INFER, PLAIN.replace(b"[1, 1]", b"[4611686018427387904, 1]"), {}, 400),
        (INFER, PLAIN.replace(b"FP32", b"INT8"), {}, 400),
        (INFER, PLAIN.replace(b"FP32", b"FP8"), {}, 400),
        (INFER, PLAIN, {"Inference-Header-Content-Length": "999999999"}, 400),
        (INFER, PLAIN, {"Inference-Header-Content-Length": "3"}, 400),
        (INFER, PLAIN, {"Content-Encoding": "gzip"}, 400),
        (INFER, PLAIN, {"Content-Encoding": "magic"}, 415),
        (INFER.replace("dawdler", "nobody"), PLAIN, {}, 404),
        (INFER.replace("dawdler", "..%2f..%2fetc"), PLAIN, {}, 404),
        ("/v2/repository/models/%2e%2e/load", b"{}", {}, 404),
        (INFER, PLAIN, {"Content-Length": str(300 * 2**20)}, 413),
        (INFER, PLAIN, {"Host": "evil.example"}, 403),
        (INFER, PLAIN, {"Origin": "https://evil.example"}, 403),
        (INFER, PLAIN, {"X": "y" * 20_000}, 431),
        ("/v2/models?" + "a=b&" * 5000, b"", {}, 405),
    ],
)
def test_what_no_client_should_send_is_refused_in_the_protocols_form(
    server: Running, client: Connection, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    got, told = server.ask("POST", path, body, headers)
    assert got == status, told
    assert isinstance(told["error"], str)
    assert told["error"]
    assert client.ask("POST", INFER, request())[0] == 200


def test_a_client_that_leaves_is_served_no_longer(server: Running, client: Connection) -> None:
    """Its request waits behind another, and is gone when that one is answered."""

    def counted() -> tuple[int, int]:
        [told] = server.ask("GET", "/v2/models/dawdler/stats")[1]["model_stats"]
        return told["inference_count"], told["inference_stats"]["fail"]["count"]

    items, failed = counted()
    first, *leaving = [Connection(server.port) for _ in range(10)]
    first.send("POST", INFER, request(turns=200_000))
    time.sleep(0.05)
    for one in leaving:
        one.send("POST", INFER, request())
    time.sleep(0.05)
    for one in leaving:
        one.close()
    assert first.answer()[0] == 200
    first.close()
    wait_for(lambda: counted()[1] > failed)
    assert client.ask("POST", INFER, request())[0] == 200
    assert counted()[0] - items <= 2 + BATCH  # but for those that were in the first batch


def test_after_all_that_it_ends_as_it_should(server: Running) -> None:
    """The last test of this file."""
    assert server.stop() == 0
