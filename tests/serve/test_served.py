"""A model that is served: every request gets its own answer, whole; who leaves is not served; wishes are heeded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import CandidateFailure, Expired, InputError, Overloaded, WorkerLost
from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Growing, Signature
from steelyard.scheduling import ALL, Choice, Policy, Single, profile_of
from steelyard.serve import served as served_module
from steelyard.serve.callers import Promise as Promised
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.served import Promise, Resident, ServedModel

PATIENCE_S = 20
METADATA = Metadata(name="m", versions=("1",), platform="test", inputs=(), outputs=(), max_batch_size=64)
SIGNATURE = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, 2)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 2)),),
)
WORDS = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, None)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, None)),),
    grows={"x": Growing(axis=1)},
)


class Times:
    """Multiplies; may be held back."""

    def __init__(self, factor: float, held: bool = False) -> None:
        self.factor = factor
        self.batches: list[int] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        if not held:
            self.go.set()

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self.batches.append(len(inputs["x"]))
        self.entered.release()
        assert self.go.wait(PATIENCE_S)
        return [inputs["x"] * np.float32(self.factor)]


class Always:
    """A policy that takes what waits with the first rung that is allowed."""

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
        return Choice(min(waiting, 4), 0 if allowed == ALL else (allowed & -allowed).bit_length() - 1)

    def observe(self, rung: int, size: int, seconds: float) -> None:
        assert size >= 1
        assert seconds >= 0

    def expected_s(self, choice: Choice) -> float:
        return 0.5

    def backlog_s(self, waiting: int) -> float:
        return waiting / 4 * 0.5

    def admits(self, now: float, waiting: int) -> float:
        return 0.0


@contextmanager
def served(
    *engines: Times,
    workers: int = 1,
    policy: Policy | None = None,
    most_waiting: int = 1000,
    signature: Signature = SIGNATURE,
    lower_is_better: bool = False,
) -> Iterator[ServedModel]:
    """Rung r has quality 0.9 − r/10 and costs 3 − r per thousand."""
    residents = [Resident(f"v{r}", f"v{r}.test", 0.9 - r / 10, 3.0 - r, engine, 4) for r, engine in enumerate(engines)]
    policy = policy or Single(profile_of([1e-6] * 8))
    promise = Promise(10.0, 95, lower_is_better)
    model = ServedModel(METADATA, signature, residents, policy, workers, promise, most_waiting)
    try:
        yield model
    finally:
        for engine in engines:
            engine.go.set()
        model.close()


def ask(model: ServedModel, values: Array, **wishes: float) -> Future[Answered]:
    promised: Promised[Answered] = Promised()
    model.ask(Asked({"x": values}, len(values), **wishes), promised)  # type: ignore[arg-type]
    return promised.future


def numbers(items: int, first: int) -> Array:
    return np.arange(first, first + 2 * items, dtype=np.float32).reshape(items, 2)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=30), workers=st.integers(1, 3))
def test_every_request_gets_its_own_answer_whole(sizes: list[int], workers: int) -> None:
    with served(Times(3), workers=workers) as model:
        asked = [numbers(size, 100 * n) for n, size in enumerate(sizes)]
        futures = [ask(model, values) for values in asked]
        for values, future in zip(asked, futures, strict=True):
            np.testing.assert_array_equal(future.result(PATIENCE_S).outputs[0], 3 * values)
        told = model.statistics.snapshot()
        assert told.inference_count == sum(sizes)
        assert told.success.count == len(sizes)
        assert told.by_variant == {"v0": sum(sizes)}


def test_items_of_several_requests_are_served_together() -> None:
    engine = Times(2, held=True)
    with served(engine) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        rest = [ask(model, numbers(3, 10)), ask(model, numbers(2, 20))]
        engine.go.set()
        wait([first, *rest], PATIENCE_S)
        assert engine.batches == [1, 5]


def test_items_that_are_answered_at_different_lengths_come_back_as_one_array() -> None:
    with served(Times(1), signature=WORDS) as model:
        promised: Promised[Answered] = Promised()
        model.ask(Asked({"x": np.ones((2, 3), np.float32)}, 2), promised)
        short = Promised[Answered]()
        model.ask(Asked({"x": np.ones((1, 1), np.float32)}, 1), short)
        assert promised.future.result(PATIENCE_S).outputs[0].shape == (2, 3)
        assert short.future.result(PATIENCE_S).outputs[0].shape == (1, 1)


def test_a_request_that_is_withdrawn_leaves_with_all_its_items() -> None:
    engine = Times(2, held=True)
    with served(engine) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        gone: Promised[Answered] = Promised()
        asking = model.ask(Asked({"x": numbers(5, 10)}, 5), gone)
        assert model.waiting == 5
        asking.withdraw()
        assert model.waiting == 0
        engine.go.set()
        first.result(PATIENCE_S)
        assert not gone.future.done()
        assert model.statistics.snapshot().fail.count == 1


def test_one_item_that_fails_fails_its_request_once() -> None:
    class Fails(Times):
        def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
            if (inputs["x"] < 0).any():
                raise CandidateFailure("crash", "a negative number")
            return super().run(stream, inputs)

    one_by_one = Single(profile_of([1e-6]))
    with served(Fails(2), policy=one_by_one) as model:
        bad = ask(model, np.array([[1, 1], [-1, 1], [2, 2]], np.float32))
        good = ask(model, numbers(2, 0))
        with pytest.raises(CandidateFailure, match="a negative number"):
            bad.result(PATIENCE_S)
        np.testing.assert_array_equal(good.result(PATIENCE_S).outputs[0], 2 * numbers(2, 0))
        assert model.statistics.snapshot().fail.count == 1


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    engine = Times(2, held=True)
    with served(engine, policy=Always(), most_waiting=8) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        waiting = ask(model, numbers(8, 0))
        with pytest.raises(Overloaded, match="8 requests wait already") as refused:
            ask(model, numbers(1, 0))
        assert refused.value.retry_after_s == pytest.approx(1.0)  # two batches of half a second
        assert model.statistics.snapshot().refused == 1
        engine.go.set()
        wait([first, waiting], PATIENCE_S)


class OnLoop(Promised[Answered]):
    """A caller that waits on an event loop."""

    __slots__ = ("loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop


def test_of_requests_that_come_in_one_turn_of_a_loop_as_many_are_let_in_as_there_is_room_for() -> None:
    engine = Times(2, held=True)

    async def ask_together(model: ServedModel) -> list[OnLoop]:
        callers = [OnLoop(asyncio.get_running_loop()) for _ in range(5)]
        for number, caller in enumerate(callers):
            model.ask(Asked({"x": numbers(2, 10 * number)}, 2), caller)
        await asyncio.sleep(0)
        return callers

    with served(engine, policy=Always(), most_waiting=7) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        callers = asyncio.run(ask_together(model))
        refused = [caller for caller in callers if caller.future.done()]
        assert len(refused) == 2
        for caller in refused:
            error = caller.future.exception()
            assert isinstance(error, Overloaded)
            assert error.retry_after_s > 0.1
        told = model.statistics.snapshot()
        assert (told.refused, told.broken) == (2, 0)
        engine.go.set()
        assert [caller.future.result(PATIENCE_S).outputs[0][0, 0] for caller in callers[:3]] == [0, 20, 40]
        first.result(PATIENCE_S)


def test_a_request_expires_while_it_waits() -> None:
    engine = Times(2, held=True)
    with served(engine) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        with pytest.raises(Expired):
            ask(model, numbers(3, 0), timeout_s=0.01).result(PATIENCE_S)
        engine.go.set()
        first.result(PATIENCE_S)
        assert model.statistics.snapshot().expired == 1


def test_a_larger_priority_goes_first() -> None:
    engine = Times(1, held=True)
    order: list[float] = []
    with served(engine, policy=Single(profile_of([1e-6]))) as model:
        first = ask(model, numbers(1, 0))
        assert engine.entered.acquire(timeout=PATIENCE_S)
        futures = [ask(model, numbers(1, n), priority=n % 3) for n in range(6)]
        for future in futures:
            future.add_done_callback(lambda done: order.append(float(done.result().outputs[0][0, 0])))
        engine.go.set()
        wait([first, *futures], PATIENCE_S)
    assert order == [2, 5, 1, 4, 0, 3]


def test_wishes_are_answered_by_a_variant_that_satisfies_them() -> None:
    with served(Times(1), Times(2), Times(3), policy=Always()) as model:
        x = numbers(1, 1)
        assert ask(model, x).result(PATIENCE_S).variant == "v0"
        assert ask(model, x, max_cost=2.5).result(PATIENCE_S).variant == "v1"
        assert ask(model, x, max_cost=1).result(PATIENCE_S).variant == "v2"
        assert ask(model, x, min_quality=0.85).result(PATIENCE_S).variant == "v0"
        with pytest.raises(InputError, match="no variant satisfies") as refused:
            ask(model, x, max_cost=1, min_quality=0.85)
        assert "v2 (quality 0.7, cost 1 per thousand)" in refused.value.hint


def test_of_an_error_less_is_better() -> None:
    with served(Times(1), Times(2), Times(3), policy=Always(), lower_is_better=True) as model:
        assert ask(model, numbers(1, 1), min_quality=0.75).result(PATIENCE_S).variant == "v2"


def test_wishes_are_heeded_in_a_batch_with_others() -> None:
    fast, good = Times(1, held=True), Times(2, held=True)
    with served(fast, good, policy=Always()) as model:
        first = ask(model, numbers(1, 0))
        assert fast.entered.acquire(timeout=PATIENCE_S)
        mixed = [ask(model, numbers(1, 1), **({"max_cost": 2} if n % 2 else {})) for n in range(9)]
        fast.go.set()
        good.go.set()
        variants = [future.result(PATIENCE_S).variant for future in mixed]
        first.result(PATIENCE_S)
    assert all(variant == "v1" for variant in variants[1::2])


def test_a_policy_that_errs_does_not_break_a_wish() -> None:
    with served(Times(1), Times(2), policy=Single(profile_of([1e-6] * 8))) as model:
        assert ask(model, numbers(1, 1), max_cost=2).result(PATIENCE_S).variant == "v1"


def test_a_policy_that_errs_in_everything_lets_everybody_in_and_says_when_to_come_again() -> None:
    class Errs(Always):
        def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
            raise ZeroDivisionError

        def expected_s(self, choice: Choice) -> float:
            raise ZeroDivisionError

        def backlog_s(self, waiting: int) -> float:
            raise ZeroDivisionError

        def admits(self, now: float, waiting: int) -> float:
            raise ZeroDivisionError

    engine = Times(3, held=True)
    with served(engine, policy=Errs(), most_waiting=2) as model:
        futures = [ask(model, numbers(1, 1))]
        assert engine.entered.acquire(timeout=PATIENCE_S)
        futures += [ask(model, numbers(1, n)) for n in (2, 3)]
        with pytest.raises(Overloaded) as refused:
            ask(model, numbers(1, 4))
        assert refused.value.retry_after_s > 0
        engine.go.set()
        for n, future in enumerate(futures, 1):
            np.testing.assert_array_equal(future.result(PATIENCE_S).outputs[0], 3 * numbers(1, n))


def test_when_to_come_again_is_what_the_policy_says_of_what_waits() -> None:
    engine = Times(1, held=True)
    with served(engine, policy=Single(profile_of([2.0]), workers=2), workers=1, most_waiting=3) as model:
        futures = [ask(model, numbers(1, 1))]
        assert engine.entered.acquire(timeout=PATIENCE_S)
        futures += [ask(model, numbers(1, n)) for n in range(3)]
        with pytest.raises(Overloaded) as refused:
            ask(model, numbers(1, 4))
        assert refused.value.retry_after_s == model.backlog_s() == 3 * 2.0 / 2
        engine.go.set()
        wait(futures, PATIENCE_S)


def test_a_model_that_answers_nan_is_found_out_when_it_is_warmed_up() -> None:
    with served(Times(float("nan"))) as model, pytest.raises(CandidateFailure, match="v0 answers NaN"):
        model.warm_up({"x": np.ones((1, 2), np.float32)})


def test_closing_answers_what_waits() -> None:
    engine = Times(2, held=True)
    with served(engine) as model:
        futures = [ask(model, numbers(2, n)) for n in range(5)]
        assert is_ready(model)
        engine.go.set()
        model.close()
        assert not is_ready(model)
        assert all(future.done() for future in futures)
        with pytest.raises(Overloaded, match="no longer serving"):
            ask(model, numbers(1, 0))


def test_closing_does_not_wait_for_ever_for_a_process_that_cannot_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(Times):
        def __init__(self) -> None:
            super().__init__(1)
            self.given_up = threading.Event()

        def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
            raise WorkerLost("the process that ran the model died")

        def revive(self, stream: int) -> None:
            assert self.given_up.wait(PATIENCE_S)

    monkeypatch.setattr(served_module, "WORTH_WAITING_S", 0.05)
    engine = Lost()
    resident = Resident("v0", "v0.test", 0.9, 3.0, engine, 4, revive=engine.revive, give_up=engine.given_up.set)
    model = ServedModel(
        METADATA, SIGNATURE, [resident], Single(profile_of([1e-6] * 8)), 1, Promise(10.0, 95, False), 100
    )
    futures = [ask(model, numbers(1, n)) for n in range(5)]
    model.close()
    assert engine.given_up.is_set()
    assert all(isinstance(future.exception(PATIENCE_S), WorkerLost | Overloaded) for future in futures)


def test_a_batch_that_does_not_end_is_left_alone_when_its_model_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_module, "LONGEST_END_S", 0.05)
    engine, closed = Times(2, held=True), threading.Event()
    resident = Resident("v0", "v0.test", 0.9, 3.0, engine, 4, close=closed.set)
    policy = Single(profile_of([1e-6] * 8))
    model = ServedModel(METADATA, SIGNATURE, [resident], policy, 1, Promise(10.0, 95, False), 100)
    under_way = ask(model, numbers(1, 0))
    assert engine.entered.acquire(timeout=PATIENCE_S)
    model.close()
    assert (model.ended, closed.is_set()) == (False, False)
    engine.go.set()
    np.testing.assert_array_equal(under_way.result(PATIENCE_S).outputs[0], 2 * numbers(1, 0))
    assert closed.wait(PATIENCE_S)


def is_ready(model: ServedModel) -> bool:
    return model.ready
