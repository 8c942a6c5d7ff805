"""Versions of a model that answer with their number, or as a test tells them to: fail, be held back, lose a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from steelyard.errors import BundleError, CandidateFailure, WorkerLost
from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature
from steelyard.scheduling import Single, profile_of
from steelyard.serve.callers import Promise as Promised
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.serve.requests import Answered, Asked, Metadata, TensorSpec
from steelyard.serve.served import Promise, Resident, ServedModel

PATIENCE_S = 20
SIGNATURE = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, 1)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 1)),),
)
PLAIN = TensorSpec(name="x", datatype="FP32", shape=(-1, 1))
FOUND = TensorSpec(name="y", datatype="FP32", shape=(-1, 1))


class Engine:
    """Answers with the number of its version."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.fails: Callable[[], bool] = lambda: False
        self.entered = threading.Semaphore(0)
        """Counts the batches that began."""
        self.go = threading.Event()
        """Batches end once it is set."""
        self.go.set()
        self.is_dead = False
        """Its process is gone, and does not come back."""
        self.given_up = threading.Event()

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self.entered.release()
        assert self.go.wait(PATIENCE_S)
        if self.is_dead:
            raise WorkerLost("the process that ran the model died")
        if self.fails():
            raise CandidateFailure("crash", "it fails")
        return [np.full_like(inputs["x"], self.version)]

    def revive(self, stream: int) -> None:
        assert self.given_up.wait(PATIENCE_S), "a process that does not come back is waited for"
        raise WorkerLost("no longer serving")


class Opener:
    """Opens versions; may be told to fail."""

    def __init__(self, promise: Promise | None = None, size: int = 8) -> None:
        """Batches of up to `size` items."""
        self.promise = promise or Promise(1.0)
        self.size = size
        self.most_waiting = 10_000
        self.broken = False
        self.inputs = (PLAIN,)
        self.prepare: Callable[[Engine], None] = lambda _: None
        """Called with each engine before it answers anybody."""
        self.engines: dict[int, Engine] = {}
        self.models: dict[int, ServedModel] = {}
        self.closed: list[int] = []

    def __call__(self, name: str, folder: Path, version: int, options: Options) -> ServedModel:
        if self.broken:
            raise BundleError("the bundle is broken")
        metadata = Metadata(
            name=name, versions=(str(version),), platform="test", inputs=self.inputs, outputs=(FOUND,), max_batch_size=8
        )
        engine = self.engines[version] = Engine(version)
        self.prepare(engine)
        resident = Resident(
            "v", "v.test", 1.0, None, engine, self.size,
            close=lambda: self.closed.append(version),
            revive=engine.revive,
            missing=lambda: int(engine.is_dead),
            give_up=engine.given_up.set,
        )  # fmt: skip
        policy = Single(profile_of([1e-6] * self.size))
        model = ServedModel(metadata, SIGNATURE, [resident], policy, 1, self.promise, self.most_waiting)
        self.models[version] = model
        return model


def ask(
    repository: Repository, name: str = "m", items: int = 1, version: str = "", **wishes: float
) -> Future[Answered]:
    promised: Promised[Answered] = Promised()
    asked = Asked({"x": np.zeros((items, 1), np.float32)}, items, **wishes)  # type: ignore[arg-type]
    repository.answering(name, version).ask(asked, promised)
    return promised.future


def answer(repository: Repository, name: str = "m", version: str = "") -> float:
    """The number of the version that answered."""
    return number(ask(repository, name, version=version))


def number(future: Future[Answered]) -> float:
    """The number of the one version that answered all items."""
    [number] = {float(each) for each in future.result(PATIENCE_S).outputs[0].ravel()}
    return number
