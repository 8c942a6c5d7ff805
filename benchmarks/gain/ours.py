"""A weighed bundle behind a minimal binary endpoint: raw bytes in and out, batches by Steelyard's dispatcher.

    python ours.py BUNDLE PORT INPUTS.json

INPUTS.json as for `plain.py`. Run by `bench_gain.py`. `steelyard serve` will take its place.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from steelyard.bundle import read_bundle
from steelyard.records.engine import SessionSettings
from steelyard.records.plan import Plan
from steelyard.runtimes import open_session
from steelyard.scheduling import profile
from steelyard.serve.dispatcher import Dispatcher

PLANNED_QUANTILE = 0.9
INPUTS: list[dict[str, Any]] = json.loads(Path(sys.argv[3]).read_text())
SIZES = [int(np.dtype(one["dtype"]).itemsize * np.prod(one["shape"])) for one in INPUTS]


class Model:
    """The chosen candidate of a bundle, opened."""

    def __init__(self, folder: Path) -> None:
        bundle = read_bundle(folder)
        chosen = bundle.plan.chosen
        if chosen is None or chosen.instances > 1:
            raise SystemExit("this endpoint runs one process and needs a plan that was met")
        place = bundle.artefact(chosen.variant)
        main = place / json.loads((place / "built.json").read_text())["main"]
        settings = SessionSettings(precision=chosen.precision, threads=chosen.threads, streams=chosen.streams)
        self.plan: Plan = bundle.plan
        self.streams = chosen.streams
        self._session = open_session(chosen.runtime, main, settings)

    def serve(self, stream: int, bodies: Sequence[bytes]) -> list[bytes]:
        """One raw answer a raw request."""
        inputs, at = {}, 0
        for one, size in zip(INPUTS, SIZES, strict=True):
            rows = b"".join([body[at : at + size] for body in bodies])
            inputs[one["name"]] = np.frombuffer(rows, one["dtype"]).reshape(-1, *one["shape"])
            at += size
        return [row.tobytes() for row in self._session.run(stream, inputs)[0]]


class Answers:
    """Brings the answers of a batch from the worker's thread to the event loop in one step."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[asyncio.Future[bytes], bytes | BaseException]] = deque()

    def put(self, future: asyncio.Future[bytes], answer: bytes | BaseException) -> None:
        """Called by workers."""
        first = not self._ready
        self._ready.append((future, answer))
        if first:
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._ready:
            future, answer = self._ready.popleft()
            if future.cancelled():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)


class Caller:
    """One request that waits for its answer; see `steelyard.serve.callers`."""

    __slots__ = ("_answers", "future")

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.future: asyncio.Future[bytes] = answers._loop.create_future()

    def begin(self) -> bool:
        """Whether somebody still waits."""
        return not self.future.cancelled()

    def answer(self, answer: bytes) -> None:
        """Hand it over."""
        self._answers.put(self.future, answer)

    def fail(self, error: BaseException) -> None:
        """Tell of the failure."""
        self._answers.put(self.future, error)


class Endpoint:
    """A raw ASGI application."""

    def __init__(self, model: Model) -> None:
        chosen, latency = model.plan.chosen_figures, model.plan.requirements.latency
        assert chosen is not None
        assert latency is not None
        plan = profile(chosen.service, PLANNED_QUANTILE, chosen.candidate.max_batch)
        self._dispatcher: Dispatcher[bytes, bytes] = Dispatcher(model.serve, plan, model.streams)
        self._bound_s = latency.bound_ms / 1000
        self._answers: Answers | None = None

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        deadline = time.monotonic() + self._bound_s
        parts = []
        while (message := await receive())["more_body"]:
            parts.append(message["body"])
        self._answers = self._answers or Answers()
        caller = Caller(self._answers)
        self._dispatcher.put(b"".join((*parts, message["body"])), caller, deadline)
        body = await caller.future
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    endpoint = Endpoint(Model(Path(sys.argv[1])))
    uvicorn.run(
        endpoint,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="error",
        access_log=False,
        timeout_keep_alive=60,
        lifespan="off",
    )
