"""Models for tests of the protocols: numpy functions that answer at once, or when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from steelyard.errors import UnknownModel
from steelyard.records.engine import Array
from steelyard.serve.callers import Caller
from steelyard.serve.repository import Indexed
from steelyard.serve.requests import Answered, Asked, Metadata, TensorSpec
from steelyard.serve.statistics import Statistics

Compute = Callable[[Mapping[str, Array]], Sequence[Array]]
VARIANT = "original"


class FakeAsking:
    """A request under way."""

    def __init__(self, asked: Asked, caller: Caller[Answered]) -> None:
        self.asked = asked
        self.caller = caller
        self.is_withdrawn = False

    def withdraw(self) -> None:
        self.is_withdrawn = True


class FakeModel:
    """Answers with `compute`: at once, in the thread that asks; or with `hold` when `answer_held` is called."""

    def __init__(self, metadata: Metadata, compute: Compute) -> None:
        self.metadata = metadata
        self.version = metadata.versions[-1]
        self.ready = True
        self.hold = False
        self.refusal: Exception | None = None
        """What asking raises."""
        self.failure: Exception | None = None
        """What callers are told instead of an answer."""
        self.statistics = Statistics(1.0)
        self.asked: list[FakeAsking] = []
        """All requests that ever came, in their order."""
        self._compute = compute
        self._held: list[FakeAsking] = []

    def ask(self, asked: Asked, caller: Caller[Answered]) -> FakeAsking:
        if self.refusal is not None:
            raise self.refusal
        asking = FakeAsking(asked, caller)
        self.asked.append(asking)
        if self.hold:
            self._held.append(asking)
        else:
            self._answer(asking)
        return asking

    def answer_held(self) -> int:
        """How many callers were told, by this thread."""
        held, self._held = self._held, []
        return sum(self._answer(asking) for asking in held)

    def _answer(self, asking: FakeAsking) -> bool:
        if asking.is_withdrawn or not asking.caller.begin():
            return False
        if self.failure is not None:
            asking.caller.fail(self.failure)
            return True
        answered = Answered(self._compute(asking.asked.inputs), VARIANT)
        self.statistics.batch(VARIANT, asking.asked.items, 0.001, 0.002, 0.001)
        self.statistics.answered(0.001, 0.005)
        asking.caller.answer(answered)
        return True


class FakeRepository:
    """Three models: `double`, `mixed` and `exact`; see `models`."""

    name = "steelyard"
    version = "0.0.0"

    def __init__(self) -> None:
        self.live = True
        self.models = {model.metadata.name: model for model in (double(), mixed(), exact())}
        self.unloaded: set[str] = set()
        self.load_failure: Exception | None = None
        self.may_change = threading.Event()
        """Loading waits for it."""
        self.may_change.set()

    @property
    def ready(self) -> bool:
        return not self.unloaded and all(model.ready for model in self.models.values())

    def names(self) -> list[str]:
        return list(self.models)

    def served(self, name: str, version: str = "") -> FakeModel:
        model = self.models.get(name)
        if model is None or name in self.unloaded or version not in ("", model.version):
            raise UnknownModel(f"there is no model '{name}'", f"served are: {', '.join(self.models)}")
        return model

    def answering(self, name: str, version: str = "") -> FakeModel:
        return self.served(name, version)

    def versions(self, name: str) -> list[FakeModel]:
        return [] if name in self.unloaded else [self.models[name]]

    def index(self) -> list[Indexed]:
        return [
            Indexed(name=name, version="1", state="UNAVAILABLE", reason="it was unloaded")
            if name in self.unloaded
            else Indexed(name=name, version=model.version, state="READY")
            for name, model in self.models.items()
        ]

    def load(self, name: str) -> None:
        self.may_change.wait()
        self._known(name)
        if self.load_failure is not None:
            raise self.load_failure
        self.unloaded.discard(name)

    def unload(self, name: str) -> None:
        self._known(name)
        self.unloaded.add(name)

    def _known(self, name: str) -> None:
        if name not in self.models:
            raise UnknownModel(f"there is no model '{name}'")


def metadata(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], max_batch_size: int = 8
) -> Metadata:
    return Metadata(
        name=name,
        versions=("1",),
        platform="numpy",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        max_batch_size=max_batch_size,
    )


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def double() -> FakeModel:
    """FP32 x [-1, 4] to FP32 y = 2x [-1, 4]."""
    told = metadata("double", [spec("x", "FP32", -1, 4)], [spec("y", "FP32", -1, 4)])
    return FakeModel(told, lambda inputs: [inputs["x"] * 2])


def mixed() -> FakeModel:
    """INT64 ids [-1, -1] and BYTES text [-1, 1] to their sum INT64 [-1, 1], the text in capitals and BF16 halves."""
    told = metadata(
        "mixed",
        [spec("ids", "INT64", -1, -1), spec("text", "BYTES", -1, 1)],
        [spec("sum", "INT64", -1, 1), spec("loud", "BYTES", -1, 1), spec("half", "BF16", -1, -1)],
    )

    def compute(inputs: Mapping[str, Array]) -> Sequence[Array]:
        ids, text = inputs["ids"], inputs["text"]
        loud = np.array([[each.upper()] for each in text[:, 0]], dtype=object)
        return [ids.sum(axis=1, keepdims=True), loud, (ids / 2).astype(np.float32)]

    return FakeModel(told, compute)


def exact() -> FakeModel:
    """UINT8 pixels [2, 3] to FP32 mean [1]: no batches, no other shape."""
    told = metadata("exact", [spec("pixels", "UINT8", 2, 3)], [spec("mean", "FP32", 1)], max_batch_size=0)
    return FakeModel(told, lambda inputs: [inputs["pixels"].mean(dtype=np.float32, keepdims=True).reshape(1)])
