"""A minimal binary endpoint: raw bytes in and out, batches by Steelyard's dispatcher. Run by `bench_gain.py`.

    python ours.py BUNDLE PORT INPUTS.json BOUND_MS       what `steelyard weigh` chose
    python ours.py OLIVE_OUT PORT INPUTS.json BOUND_MS    what Olive chose (see `olive_choice.py`), served alike

INPUTS.json: see `bodies.py`. `steelyard serve` will take its place.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import uvloop
from gain.bodies import Bodies
from granian.server.embed import Server

from steelyard.bundle import read_bundle
from steelyard.records.engine import Session
from steelyard.scheduling import PLANNED_QUANTILE, Choice, Profile, Single, profile, profile_of
from steelyard.serve.assembly import Assembly, Growth
from steelyard.serve.dispatcher import Dispatcher, Ticket
from steelyard.serve.opening import Options, open_resident

LARGEST_BATCH = 32
HERE_S = 0.0005
"""A batch that takes no longer is served by the event loop itself: waking another thread costs as much."""
BODIES = Bodies(sys.argv[3])
ASSEMBLY = Assembly({each.name: Growth(1, BODIES.fills[each.name]) for each in BODIES.inputs if each.grows}, BODIES.pad)
TYPICAL_STEPS = 16
"""Of a request that stands for the others where items differ in length."""


@dataclass(frozen=True)
class Model:
    """Something that runs batches, on so many workers, with service times to plan by."""

    session: Session
    workers: int
    """Streams of all its processes."""
    plan: Profile

    def serve(self, stream: int, _: Choice | None, bodies: Sequence[bytes]) -> list[bytes]:
        """One raw answer a raw request."""
        if not BODIES.grow:
            return [row.tobytes() for row in self.session.run(stream, BODIES.batch(bodies))[0]]
        answers: dict[int, bytes] = {}
        for run in ASSEMBLY.runs([BODIES.item(body) for body in bodies]):
            rows = self.session.run(stream, run.inputs)[0]
            answers |= {place: row.tobytes() for place, row in zip(run.places, rows, strict=False)}
        return [answers[place] for place in range(len(bodies))]


def of_bundle(folder: Path) -> Model:
    """The chosen candidate of a bundle, opened."""
    bundle = read_bundle(folder)
    figures = bundle.plan.chosen_figures
    if figures is None:
        raise SystemExit("this endpoint needs a plan that was met")
    plan = profile(figures.service, PLANNED_QUANTILE, figures.candidate.max_batch)
    return Model(open_resident(bundle, figures, Options()).session, figures.candidate.workers, plan)


class OliveSession:
    """The model that Olive made, with the settings that it tuned."""

    def __init__(self, folder: Path) -> None:
        tuned = json.loads((folder / "settings.json").read_text())["settings"].get("session_options", {})
        options = onnxruntime.SessionOptions()
        for name in ("inter_op_num_threads", "intra_op_num_threads"):
            setattr(options, name, tuned.get(name) or 0)
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)

    def run(self, stream: int, inputs: Mapping[str, Any]) -> Sequence[Any]:  # noqa: ARG002
        """All outputs for one batch."""
        outputs: Sequence[Any] = self._session.run(None, dict(inputs))
        return outputs


def of_olive(folder: Path) -> Model:
    """What Olive chose; it is given batching too, which Olive itself does not plan."""
    model = Model(OliveSession(folder), 1, profile_of([1.0]))
    return Model(model.session, 1, profile_of([_seconds(model, size) for size in range(1, LARGEST_BATCH + 1)]))


def _seconds(model: Model, size: int) -> float:
    """The time of one batch: the nearly slowest of ten."""
    steps = {each.name: TYPICAL_STEPS if each.grows else 1 for each in BODIES.inputs}
    body, took = bytes(sum(each.step_bytes * steps[each.name] for each in BODIES.inputs)), []
    for _ in range(10):
        start = time.perf_counter()
        model.serve(0, None, [body] * size)
        took.append(time.perf_counter() - start)
    return sorted(took)[8]


class Answers:
    """Brings the answers of a batch from the worker's thread to the event loop in one step."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_called = False
        """The loop will look at what is ready."""
        self._ready: deque[tuple[asyncio.Future[bytes], bytes | BaseException]] = deque()

    def put(self, future: asyncio.Future[bytes], answer: bytes | BaseException) -> None:
        """Called by workers, and by the event loop where it has served itself."""
        if threading.get_ident() == self._thread:
            _deliver(future, answer)
            return
        self._ready.append((future, answer))
        if not self._is_called:  # set back before what is ready is looked at: nothing is overlooked
            self._is_called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        while self._ready:
            _deliver(*self._ready.popleft())


def _deliver(future: asyncio.Future[bytes], answer: bytes | BaseException) -> None:
    if future.cancelled():
        return
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
    """An application for granian's own interface (RSGI)."""

    def __init__(self, model: Model, bound_s: float) -> None:
        self._dispatcher: Dispatcher[bytes, bytes] = Dispatcher(model.serve, Single(model.plan), model.workers)
        self._bound_s = bound_s
        self._answers: Answers | None = None
        self._arrived: list[Ticket[bytes, bytes]] = []
        """In this turn of the event loop."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """One request."""
        deadline = time.monotonic() + self._bound_s
        body = await protocol()
        self._answers = self._answers or Answers()
        caller = Caller(self._answers)
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._submit)
        self._arrived.append(Ticket(body, caller, deadline))
        protocol.response_bytes(200, [], await caller.future)

    def _submit(self) -> None:
        """What has arrived together is served together: here, when that is quick, and by the workers otherwise."""
        arrived, self._arrived = self._arrived, []
        if not self._dispatcher.serve_here(arrived, HERE_S):
            self._dispatcher.put_all(arrived)


async def serve(endpoint: Endpoint, port: int) -> None:
    """Until the process is ended."""
    server = Server(endpoint, "127.0.0.1", port, log_enabled=False, backlog=1024, websockets=False)
    await server.serve()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    model = of_bundle(place) if (place / "plan.json").exists() else of_olive(place)
    uvloop.run(serve(Endpoint(model, float(sys.argv[4]) / 1000), int(sys.argv[2])))
