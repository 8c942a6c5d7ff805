"""Shadow traffic: told rightly, seen by nobody, and never in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature
from steelyard.scheduling import Single, profile_of
from steelyard.serve.callers import Promise as Promised
from steelyard.serve.parts import Row
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.served import Promise, Resident, ServedModel
from steelyard.serve.shadow import MOST_UNDER_WAY, Shadow

PATIENCE_S = 20
METADATA = Metadata(name="m", versions=("1",), platform="test", inputs=(), outputs=(), max_batch_size=64)
SIGNATURE = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, 2)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 2)),),
)


class As:
    """Answers what a function makes of x."""

    def __init__(self, turned: bool) -> None:
        self.turned = turned
        self.items = 0
        self.go = threading.Event()
        self.go.set()

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        assert self.go.wait(PATIENCE_S)
        self.items += len(inputs["x"])
        return [inputs["x"][:, ::-1] if self.turned else inputs["x"]]


def model(served: As, original: As, share: float) -> ServedModel:
    residents = [
        Resident("quick", "quick.test", 0.9, None, served),
        Resident("original", "o.test", 1.0, None, original),
    ]
    policy = Single(profile_of([1e-6] * 8))
    return ServedModel(METADATA, SIGNATURE, residents, policy, 1, Promise(10.0), 1000, Shadow(share, 1))


def ask(model: ServedModel, *rows: tuple[float, float]) -> Answered:
    promised: Promised[Answered] = Promised()
    model.ask(Asked({"x": np.array(rows, np.float32)}, len(rows)), promised)
    return promised.future.result(PATIENCE_S)


def wait_for(model: ServedModel, items: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while sum(each.items for each in model.shadow.told().values()) < items:
        assert time.monotonic() < end
        time.sleep(0.002)


def test_what_disagrees_is_counted_and_nobody_sees_it() -> None:
    quick, original = As(turned=False), As(turned=True)
    served = model(quick, original, share=1.0)
    try:
        for n in range(6):
            answer = ask(served, (1, 2) if n % 3 else (2, 2))
            assert answer.variant == "quick"
            wait_for(served, n + 1)
        told = served.shadow.told()["quick"]
        assert told.items == 6
        assert told.disagreed == 4  # of (2, 2) the same class is highest whichever way it is turned
        assert told.difference == pytest.approx(4 / 6 * 0.5)
        counted = served.statistics.snapshot()
        assert counted.inference_count == 6
        assert counted.by_variant == {"quick": 6}
        assert counted.success.count == 6
    finally:
        served.close()


def test_only_the_share_that_was_asked_for_is_compared() -> None:
    quick, original = As(turned=False), As(turned=False)
    served = model(quick, original, share=0.1)
    try:
        for n in range(200):
            ask(served, (1, 2))
            wait_for(served, (n + 1) // 10)
        told = served.shadow.told()["quick"]
        assert told.items == 20
        assert told.disagreed == 0
        assert original.items == 20
    finally:
        served.close()


def test_without_a_share_nothing_is_compared() -> None:
    quick, original = As(turned=False), As(turned=True)
    served = model(quick, original, share=0.0)
    try:
        for _ in range(20):
            ask(served, (1, 2))
        assert original.items == 0
    finally:
        served.close()


def test_those_who_wait_go_first() -> None:
    """The original hangs; the only worker is held by it for one item, and afterwards all that wait are answered."""
    quick, original = As(turned=False), As(turned=True)
    original.go.clear()
    served = model(quick, original, share=1.0)
    try:
        ask(served, (1, 2))
        promises = [Promised[Answered]() for _ in range(10)]
        for promise in promises:
            served.ask(Asked({"x": np.ones((1, 2), np.float32)}, 1), promise)
        original.go.set()
        assert all(promise.future.result(PATIENCE_S).variant == "quick" for promise in promises)
    finally:
        original.go.set()
        served.close()


def test_no_more_than_a_few_are_under_way() -> None:
    shadow = Shadow(1.0, 1)
    assert len(shadow.wants(0, 64)) == MOST_UNDER_WAY
    assert shadow.wants(0, 64) == []
    shadow.ended()
    assert len(shadow.wants(0, 64)) == 1
    assert shadow.wants(1, 64) == []  # the best answers for itself


def test_outputs_that_are_no_scores_are_compared_by_their_difference() -> None:
    shadow = Shadow(1.0, 1)
    mine = Row([np.array([[[1.0, 2.0]]]), np.array(["text"], dtype=object)], 0, "v")
    best = Row([np.array([[[1.0, 4.0]]]), np.array(["other"], dtype=object)], 0, "original")
    shadow.compare(mine, best)
    told = shadow.told()["v"]
    assert (told.items, told.disagreed, told.difference) == (1, 0, 0.5)
