"""Start an exported application as its README says, ask it, end it: `ray_serve_run.py FOLDER`.

Prints one line of JSON: what was answered to which request, and the exit status. The command's output goes to run.log.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PORT = 8000
PATIENCE_S = 120
SERVE = [sys.executable, "-c", "from ray.serve.scripts import cli; cli()"]
ANSWERED = b'"id":"1"'


def ask(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def is_ready() -> bool:
    try:
        return ask("GET", "/v2/health/ready")[0] == 200
    except OSError:
        return False


def wait(running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_ready():
        assert running.poll() is None, "it ended"
        assert time.monotonic() < end, "it never became ready"
        time.sleep(0.2)


def infer(arrays: dict[str, Any]) -> dict[str, Any]:
    """In binary, both ways; the outputs, as they came."""
    inputs = [
        {"name": n, "datatype": "FP32", "shape": a.shape, "parameters": {"binary_data_size": a.nbytes}}
        for n, a in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(a.tobytes() for a in arrays.values())
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)
    connection.request("POST", "/v2/models/two/infer", body, {"Inference-Header-Content-Length": str(len(head))})
    reply = connection.getresponse()
    raw = reply.read()
    assert reply.status == 200, raw
    length = int(reply.headers["Inference-Header-Content-Length"])
    told, tensors = json.loads(raw[:length]), raw[length:]
    outputs = {}
    for each in told["outputs"]:
        size = each["parameters"]["binary_data_size"]
        outputs[each["name"]] = np.frombuffer(tensors[:size], np.float32).reshape(each["shape"]).tolist()
        tensors = tensors[size:]
    connection.close()
    return outputs


def main(folder: Path) -> dict[str, Any]:
    with np.load(folder.parent / "asked.npz", allow_pickle=False) as asked:
        arrays = {name: asked[name] for name in asked.files}
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    with (
        (folder.parent / "run.log").open("wb") as log,
        subprocess.Popen(
            [*SERVE, "run", "serve.yaml"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as running,
    ):
        try:
            wait(running)
            told: dict[str, Any] = {
                "outputs": infer(arrays),
                "wrong": [(status, json.loads(raw)["error"]) for status, raw in wrong_requests()],
                "pages": [ask("GET", path)[0] for path in ("/metrics", "/live", "/docs")],
            }
            running.send_signal(signal.SIGINT)
            told["status"] = running.wait(PATIENCE_S)
        except BaseException:  # nobody waits for the end of what went wrong
            running.kill()
            raise
    return told


def wrong_requests() -> list[tuple[int, bytes]]:
    return [
        ask("POST", "/v2/models/two/infer", b"{"),
        ask("GET", "/v2/models/other"),
        ask("GET", "/v2/models/two", Host="example.org"),
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, ignore it
    print(json.dumps(main(Path(sys.argv[1]))))
