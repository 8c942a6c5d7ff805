"""tritonclient's four clients as one: HTTP and gRPC, waiting and awaited. Runs in an environment of its own.

All that is different between them is here; what they are asked is in `asking.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

KINDS = ("http", "http.aio", "grpc", "grpc.aio")
MODULES = {
    "http": tritonclient.http,
    "http.aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc.aio": tritonclient.grpc.aio,
}
PATIENCE_S = 30


class Client:
    """One client. Answers to questions come as plain dictionaries."""

    def __init__(self, kind: str, port: int, token: str) -> None:
        self.kind = kind
        self.is_http = kind.startswith("http")
        self.module = MODULES[kind]
        self.loop = asyncio.new_event_loop()
        self._token = token
        self.port = port
        self.client = self.opened()

    @property
    def headers(self) -> dict[str, str]:
        """Made anew each time: the HTTP clients write into what they are given."""
        return {"authorization": f"Bearer {self._token}"}

    def opened(self, **more: Any) -> Any:
        """Another client; those that are awaited must be made on their loop."""
        address = f"127.0.0.1:{self.port}"
        return self.waited(lambda: self.module.InferenceServerClient(url=address, **more))

    def waited(self, make: Callable[[], Any]) -> Any:
        """What `make` makes, awaited if it must be."""

        async def there() -> Any:
            made = make()
            return await made if inspect.isawaitable(made) else made

        return self.loop.run_until_complete(there()) if self.kind.endswith("aio") else make()

    def call(self, name: str, *arguments: Any, client: Any = None, **more: Any) -> Any:
        """Ask anything, with the token unless told other headers."""
        more.setdefault("headers", self.headers)
        return self.waited(lambda: getattr(client or self.client, name)(*arguments, **more))

    def told(self, name: str, *arguments: Any) -> Any:
        """The same over gRPC as over HTTP, but that protobuf tells int64 as text."""
        return self.call(name, *arguments, **({} if self.is_http else {"as_json": True}))

    def input(self, name: str, values: Any, datatype: str = "FP32", binary: bool = True) -> Any:
        """One input of a request."""
        made = self.module.InferInput(name, list(values.shape), datatype)
        made.set_data_from_numpy(values, **({"binary_data": binary} if self.is_http else {}))
        return made

    def output(self, name: str, binary: bool = True, classes: int = 0) -> Any:
        """One output that is asked for."""
        more = {"binary_data": binary} if self.is_http else {}
        return self.module.InferRequestedOutput(name, class_count=classes, **more)

    def infer(self, model: str, inputs: Sequence[Any], **more: Any) -> Any:
        """One inference."""
        return self.call("infer", model, inputs, **more)

    def infer_side_by_side(self, model: str, requests: Sequence[Sequence[Any]]) -> list[Any]:
        """Many inferences that are under way at once; their results in the order of the requests."""
        if self.kind.endswith("aio"):
            return list(self.loop.run_until_complete(self._gathered(model, requests)))
        if self.is_http:
            client = self.opened(concurrency=8)
            waiting = [client.async_infer(model, inputs, headers=self.headers) for inputs in requests]
            results = [each.get_result() for each in waiting]
            client.close()
            return results
        return self._called_back(model, requests)

    async def _gathered(self, model: str, requests: Sequence[Sequence[Any]]) -> Sequence[Any]:
        return await asyncio.gather(*(self.client.infer(model, inputs, headers=self.headers) for inputs in requests))

    def _called_back(self, model: str, requests: Sequence[Sequence[Any]]) -> list[Any]:
        results: dict[int, Any] = {}
        for number, inputs in enumerate(requests):

            def keep(result: Any, error: Any, number: int = number) -> None:
                results[number] = error or result

            self.client.async_infer(model, inputs, keep, headers=self.headers)
        wait_for(lambda: len(results) == len(requests))
        return [results[number] for number in range(len(requests))]

    def stream(self, model: str, requests: Sequence[tuple[str, Sequence[Any]]]) -> dict[str, Any]:
        """Inferences of one stream: by id the result, or the error; of one without a result the id is empty."""
        answers: list[tuple[Any, Any]] = []
        if self.kind == "grpc.aio":
            answers = self.loop.run_until_complete(self._streamed(model, requests))
        else:
            self.client.start_stream(lambda result, error: answers.append((result, error)), headers=self.headers)
            for identity, inputs in requests:
                self.client.async_stream_infer(model, inputs, request_id=identity)
            wait_for(lambda: len(answers) == len(requests))
            self.client.stop_stream()
        return {"" if result is None else result.get_response().id: error or result for result, error in answers}

    async def _streamed(self, model: str, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[tuple[Any, Any]]:
        async def asked() -> Any:
            for identity, inputs in requests:
                yield {"model_name": model, "inputs": inputs, "request_id": identity}

        return [answer async for answer in self.client.stream_infer(asked(), headers=self.headers)]

    def close(self) -> None:
        """Hang up."""
        self.waited(self.client.close)
        self.loop.close()


def wait_for(true: Callable[[], bool]) -> None:
    """Until it is."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def same(result: Any, output: str, expected: Any) -> None:
    """The output is this; raises AssertionError otherwise, or the error that came instead."""
    if isinstance(result, Exception):
        raise result
    got = result.as_numpy(output)
    assert got is not None, f"no output {output}"
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def refused(call: Callable[[], object]) -> str:
    """What the error says that comes instead of an answer."""
    try:
        answer = call()
    except InferenceServerException as error:
        return str(error)
    raise AssertionError(f"an error was expected, got {answer}")


def run_all(checks: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Run each function called check_… with the client of KIND, PORT and TOKEN, and print a line of JSON for each:
    {"check": its name, "failure": "" or the trace}."""
    kind, port, token = arguments
    client = Client(kind, int(port), token)
    for name, check in checks.items():
        if name.startswith("check_"):
            try:
                check(client)
                failure = ""
            except Exception:
                failure = traceback.format_exc()
            print(json.dumps({"check": name, "failure": failure}), flush=True)
    client.close()
