"""`steelyard serve` as its users run it: a process, its port, requests over a socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command import COMMAND

PATIENCE_S = 120


class Running:
    """A server that answers."""

    def __init__(self, process: subprocess.Popen[str], port: int, grpc_port: int) -> None:
        self.process = process
        self.port = port
        self.grpc_port = grpc_port

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and decoded body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        finally:
            connection.close()

    def infer(self, model: str, **inputs: Any) -> dict[str, Any]:
        """The outputs by name. `inputs`: numpy arrays of float32."""
        told = [
            {"name": n, "datatype": "FP32", "shape": list(a.shape), "data": a.ravel().tolist()}
            for n, a in inputs.items()
        ]
        status, answer = self.ask("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": told}).encode())
        assert status == 200, answer
        return {each["name"]: each["data"] for each in answer["outputs"]} | {"variant": answer["parameters"]["variant"]}

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """A server of bundles in `folder`, on a port that was free."""
    command = [*COMMAND, "serve", *arguments, "--port", "0", "--grpc-port", "0", "--format", "json"]
    errors = (folder / "server.err").open("w+")
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "server.err").read_text()
        told = json.loads(line)
        yield Running(process, told["http"]["port"], told["grpc"]["port"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None
        errors.close()
