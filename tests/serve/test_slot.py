"""Two versions in one place: each gets its share, and no request is lost or answered twice, however a canary ends."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import BundleError, Expired, Overloaded, UnknownModel
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.protocol.reply import Reply
from steelyard.serve.canary import Reason, Terms
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.serve.requests import Answered, Asked, TensorSpec
from steelyard.serve.slot import Slot
from versions import PATIENCE_S, Engine, Opener, answer, ask, number

LONG = Terms(share=0.25, for_s=3600)
"""Nothing is decided but by the test."""
SHORT = Terms(share=0.5, for_s=1.0, tolerance=0.1, fewest=50)


@contextmanager
def served(opener: Opener, terms: Terms = LONG, versions: int = 2) -> Iterator[Repository]:
    """Version 1, and beside it the last of so many versions."""
    repository = Repository({"m": Path("m")}, Options(canary=terms), opener)
    for _ in range(versions):
        repository.load("m")
    try:
        yield repository
    finally:
        for engine in opener.engines.values():
            engine.go.set()
        repository.close()


@pytest.fixture
def opener() -> Opener:
    return Opener()


def slot_of(repository: Repository) -> Slot:
    return repository.slot("m")


def end(repository: Repository, outcome: str) -> None:
    """The canary is judged."""
    slot, reason = slot_of(repository), "kept" if outcome == "promoted" else "failures"
    assert slot.trial is not None
    slot.settle(slot.trial, slot.trial.ended(outcome, reason, "the test says so"))  # type: ignore[arg-type]


def keep_asking(repository: Repository, until: Callable[[], bool]) -> Counter[str]:
    """What became of requests one after another, until something is so."""
    became: Counter[str] = Counter()
    stop = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < stop
        try:
            became[str(int(answer(repository)))] += 1
        except Exception as error:
            became[type(error).__name__] += 1
    return became


# --- while it runs ----------------------------------------------------------------------------------------------------


def test_each_gets_its_share_and_either_may_be_asked_by_name(opener: Opener) -> None:
    with served(opener) as repository:
        told = Counter(answer(repository) for _ in range(400))
        assert told[2] == pytest.approx(100, abs=3)
        assert answer(repository, version="1") == 1
        assert answer(repository, version="2") == 2
        for version in ("", "1", "2"):
            assert repository.served("m", version).metadata.versions == ("1", "2")
        assert repository.served("m").version == "1"
        assert repository.served("m", "2").version == "2"
        assert [one.version for one in repository.versions("m")] == ["1", "2"]
        assert [(each.version, each.state) for each in repository.index()] == [("1", "READY"), ("2", "READY")]
        with pytest.raises(UnknownModel, match="is served in version 1 and 2, not in 3"):
            repository.served("m", "3")


def test_questions_take_no_turn(opener: Opener) -> None:
    with served(opener) as repository:
        told = Counter[float]()
        for _ in range(100):
            for _ in range(3):
                assert repository.served("m").ready
            told[answer(repository)] += 1
        assert told[2] == pytest.approx(25, abs=3)


def test_what_is_read_for_a_version_is_asked_of_it(opener: Opener) -> None:
    with served(opener) as repository:
        for _ in range(20):
            one = repository.answering("m")
            answered: Future[Answered] = Future()
            one.ask(Asked({"x": np.zeros((1, 1), np.float32)}, 1), Tell(answered))
            assert answered.result(PATIENCE_S).outputs[0][0, 0] == float(one.version)


class Tell:
    """A caller that counts how often it is told."""

    def __init__(self, future: Future[Answered], told: Counter[int] | None = None) -> None:
        self.future = future
        self.told = Counter[int]() if told is None else told

    def begin(self) -> bool:
        return True

    def answer(self, answer: Answered) -> None:
        self.told[id(self)] += 1
        self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        self.told[id(self)] += 1
        self.future.set_exception(error)


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_one_that_is_promoted_answers_alone(opener: Opener) -> None:
    with served(opener) as repository:
        end(repository, "promoted")
        assert {answer(repository) for _ in range(20)} == {2}
        assert opener.closed == [1]
        assert repository.served("m").metadata.versions == ("2",)
        last = slot_of(repository).last
        assert last is not None
        assert (last.outcome, last.version, last.beside) == ("promoted", "2", "1")


def test_one_that_is_rolled_back_answers_no_more(opener: Opener) -> None:
    with served(opener) as repository:
        end(repository, "rolled_back")
        assert {answer(repository) for _ in range(20)} == {1}
        assert opener.closed == [2]
        with pytest.raises(UnknownModel, match="served in version 1, not in 2"):
            repository.served("m", "2")
        assert slot_of(repository).ends == {("rolled_back", "failures"): 1}


def test_a_decision_that_comes_too_late_changes_nothing(opener: Opener) -> None:
    with served(opener) as repository:
        slot = slot_of(repository)
        first = slot.trial
        assert first is not None
        repository.load("m")
        slot.settle(first, first.ended("promoted", "kept", "too late"))
        assert repository.served("m").version == "1"
        assert [one.version for one in repository.versions("m")] == ["1", "3"]


def test_another_one_takes_the_place_of_a_canary(opener: Opener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), served(opener) as repository:
        opener.broken = True
        with pytest.raises(BundleError):
            repository.load("m")
        assert {one.version for one in repository.versions("m")} == {"1", "2"}  # what is broken replaces nothing
        opener.broken = False
        repository.load("m")
        assert {answer(repository) for _ in range(40)} == {1, 4}
        assert opener.closed == [2]
        assert slot_of(repository).ends == {("replaced", "replaced"): 1}
    assert "m: version 4 gets 25% of the requests for 1 h 0 min, as a canary beside version 1" in caplog.text
    assert "m: the canary, version 2, is replaced: version 4 was loaded" in caplog.text


def test_unloading_lets_go_of_both(opener: Opener) -> None:
    with served(opener) as repository:
        repository.unload("m")
        with pytest.raises(UnknownModel, match="it was unloaded"):
            answer(repository)
        assert sorted(opener.closed) == [1, 2]
        assert slot_of(repository).ends == {("unloaded", "unloaded"): 1}
        repository.load("m")
        assert {answer(repository) for _ in range(20)} == {3}  # there is nothing that it could be tried beside


def test_one_that_takes_other_inputs_is_refused(opener: Opener) -> None:
    with served(opener, versions=1) as repository:
        opener.inputs = (TensorSpec(name="z", datatype="FP32", shape=(-1, 2)),)
        with pytest.raises(BundleError, match="has other inputs than version 1") as error:
            repository.load("m")
        assert "without --canary" in error.value.hint
        assert answer(repository) == 1
        assert opener.closed == [2]


@pytest.mark.parametrize(("outcome", "gone", "stays"), [("promoted", "1", 2), ("rolled_back", "2", 1)])
def test_a_request_that_meets_a_version_on_its_way_out_is_answered_by_the_other(
    opener: Opener, outcome: str, gone: str, stays: int
) -> None:
    with served(opener) as repository:
        one = repository.answering("m", gone)
        end(repository, outcome)
        answered: Future[Answered] = Future()
        one.ask(Asked({"x": np.zeros((1, 1), np.float32)}, 1), Tell(answered))
        assert answered.result(PATIENCE_S).outputs[0][0, 0] == stays
        assert one.version == str(stays)
        repository.unload("m")
        with pytest.raises(UnknownModel, match="it was unloaded"):
            one.ask(Asked({"x": np.zeros((1, 1), np.float32)}, 1), Tell(Future()))


def test_the_answer_names_the_version_that_gave_it(opener: Opener) -> None:
    asked = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0]}]}'
    with served(opener) as repository:
        http = Http(repository, Guards())
        pending = http.handle("POST", "/v2/models/m/versions/2/infer", {b"host": b"localhost"}, asked)
        end(repository, "rolled_back")
        assert not isinstance(pending, Reply)
        answered: Future[Answered] = Future()
        pending.start(Tell(answered))
        told = msgspec.json.decode(pending.reply(answered.result(PATIENCE_S)).body)
        assert (told["model_version"], told["outputs"][0]["data"]) == ("1", [1.0])


class OnLoop(Tell):
    """A caller that waits on an event loop."""

    def __init__(self, future: Future[Answered], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(future)
        self.loop = loop


@pytest.mark.parametrize(("outcome", "gone", "stays"), [("promoted", "1", 2), ("rolled_back", "2", 1)])
def test_what_came_in_this_turn_of_a_loop_is_answered_by_the_other(
    opener: Opener, outcome: str, gone: str, stays: int
) -> None:
    async def ask_and_end(repository: Repository) -> Future[Answered]:
        answered: Future[Answered] = Future()
        caller = OnLoop(answered, asyncio.get_running_loop())
        repository.answering("m", gone).ask(Asked({"x": np.zeros((2, 1), np.float32)}, 2), caller)
        end(repository, outcome)
        await asyncio.sleep(0)
        return answered

    with served(opener) as repository:
        assert number(asyncio.run(ask_and_end(repository))) == stays


# --- judged by itself -------------------------------------------------------------------------------------------------


def test_a_good_one_takes_over_by_itself(opener: Opener) -> None:
    with served(opener, SHORT) as repository:
        became = keep_asking(repository, lambda: opener.closed == [1])
        assert set(became) == {"1", "2"}
        assert {answer(repository) for _ in range(20)} == {2}
        assert slot_of(repository).ends == {("promoted", "kept"): 1}


def test_one_that_fails_is_rolled_back_by_itself(opener: Opener, caplog: pytest.LogCaptureFixture) -> None:
    def bad(engine: Engine) -> None:
        engine.fails = lambda: engine.version == 2

    opener.prepare = bad
    with caplog.at_level(logging.INFO), served(opener, SHORT) as repository:
        became = keep_asking(repository, lambda: opener.closed == [2])
        assert set(became) == {"1", "CandidateFailure"}
        assert {answer(repository) for _ in range(20)} == {1}
        assert slot_of(repository).ends == {("rolled_back", "failures"): 1}
    assert "m: the canary, version 2, is rolled back: " in caplog.text
    assert "requests got no answer, of the other version's 0 of" in caplog.text


def test_one_whose_process_does_not_come_back_is_rolled_back_and_what_waits_is_answered(opener: Opener) -> None:
    with served(opener, SHORT) as repository:
        engine = opener.engines[2]
        engine.go.clear()
        lost = ask(repository, version="2")
        assert engine.entered.acquire(timeout=PATIENCE_S)
        waiting = [ask(repository, version="2") for _ in range(5)]
        engine.is_dead = True
        engine.go.set()
        assert {number(each) for each in waiting} == {1}
        with pytest.raises(Exception, match="died"):
            lost.result(PATIENCE_S)
        assert keep_asking(repository, lambda: opener.closed == [2]).keys() <= {"1"}
        reasons: list[Reason] = [reason for _, reason in slot_of(repository).ends]
        assert reasons == ["not_ready"]
        assert engine.given_up.is_set()


# --- what waits when it is rolled back --------------------------------------------------------------------------------


@contextmanager
def busy(opener: Opener, terms: Terms = LONG) -> Iterator[Repository]:
    """The canary serves a batch that does not end, and so does the old version."""
    with served(opener, terms) as repository:
        for version in ("1", "2"):
            engine = opener.engines[int(version)]
            engine.go.clear()
            ask(repository, version=version)
            assert engine.entered.acquire(timeout=PATIENCE_S)
        yield repository


@contextmanager
def rolling_back(repository: Repository) -> Iterator[None]:
    """In a thread of its own, as the canary's is: it waits for the batch that is being served."""
    slot = slot_of(repository)
    before = slot.current.waiting
    thread = threading.Thread(target=end, args=(repository, "rolled_back"))
    thread.start()
    stop = time.monotonic() + PATIENCE_S
    while slot.trial is not None or slot.current.waiting == before:
        assert time.monotonic() < stop
        time.sleep(0.001)
    yield
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_what_the_canary_has_no_room_for_is_answered_by_the_old_version(opener: Opener) -> None:
    opener.most_waiting = 1
    with served(opener, msgspec.structs.replace(LONG, share=0.5)) as repository:
        engine = opener.engines[2]
        engine.go.clear()
        ask(repository, version="2")
        assert engine.entered.acquire(timeout=PATIENCE_S)
        last = ask(repository, version="2")
        assert [answer(repository) for _ in range(20)] == [1.0] * 20
        with pytest.raises(Overloaded, match="wait already"):
            ask(repository, version="2")
        engine.go.set()
        assert number(last) == 2


def test_requests_that_wait_are_answered_by_the_old_version(opener: Opener) -> None:
    with busy(opener) as repository:
        waiting = [ask(repository, items=items, version="2") for items in (1, 3, 2)]
        with rolling_back(repository):
            opener.engines[1].go.set()
            assert [number(each) for each in waiting] == [1, 1, 1]
            assert {each.result().version for each in waiting} == {"1"}
            opener.engines[2].go.set()
        told = [model.statistics.snapshot().success.count for model in (opener.models[1], opener.models[2])]
        assert told == [4, 1]


def test_a_request_that_is_partly_served_stays() -> None:
    opener = Opener(size=1)
    with served(opener) as repository:
        for engine in opener.engines.values():
            engine.go.clear()
        for version in (1, 2):
            parted = ask(repository, items=3, version=str(version))
            assert opener.engines[version].entered.acquire(timeout=PATIENCE_S)
        whole = ask(repository, items=3, version="2")
        with rolling_back(repository):
            for engine in opener.engines.values():
                engine.go.set()
            assert (number(parted), parted.result().version) == (2, "2")
            assert (number(whole), whole.result().version) == (1, "1")


def test_who_leaves_or_whose_time_is_over_after_a_hand_over_leaves_the_new_queue(opener: Opener) -> None:
    with busy(opener) as repository:
        futures = [Future[Answered]() for _ in range(2)]
        asked = Asked({"x": np.zeros((2, 1), np.float32)}, 2)
        leaving = repository.answering("m", "2").ask(asked, Tell(futures[0]))
        hasty = ask(repository, items=2, version="2", timeout_s=1.0)
        stays = ask(repository, items=2, version="2")
        old = opener.models[1]
        with rolling_back(repository):
            assert old.waiting in (4, 6)
            leaving.withdraw()
            with pytest.raises(Expired):
                hasty.result(PATIENCE_S)
            assert old.waiting == 2
            for engine in opener.engines.values():
                engine.go.set()
            assert number(stays) == 1
        assert old.waiting == 0
        assert not futures[0].done()


# --- whatever happens -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def threads_that_take_turns_often() -> Iterator[None]:
    """Many threads ask at once: they meet each other more often so, and none is waited for as long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


OPERATIONS = st.lists(
    st.sampled_from(["load", "load", "promoted", "rolled_back", "unload", "wait", "fail"]), min_size=1, max_size=12
)


@settings(max_examples=30, deadline=None)
@given(operations=OPERATIONS)
def test_no_request_is_lost_or_answered_twice(operations: list[str]) -> None:
    opener = Opener(size=2)
    told: Counter[int] = Counter()
    callers: list[Tell] = []
    unknown: list[UnknownModel] = []
    stop = threading.Event()

    def keep_asking_four(seed: int) -> None:
        while not stop.wait(0.0001):
            asked = [caller for place in range(4) if (caller := asked_once(1 + (seed + place) % 3)) is not None]
            callers.extend(asked)
            for caller in asked:
                caller.future.exception(PATIENCE_S)

    def asked_once(items: int) -> Tell | None:
        caller = Tell(Future(), told)
        try:
            repository.answering("m").ask(Asked({"x": np.zeros((items, 1), np.float32)}, items), caller)
            return caller
        except UnknownModel as error:
            unknown.append(error)
            return None

    with served(opener, LONG, versions=1) as repository:
        askers = [threading.Thread(target=keep_asking_four, args=(seed,)) for seed in range(3)]
        for asker in askers:
            asker.start()
        for operation in operations:
            act(repository, opener, operation)
        stop.set()
        for asker in askers:
            asker.join(PATIENCE_S)
            assert not asker.is_alive()
    assert all(caller.future.done() for caller in callers)
    assert all(told[id(caller)] == 1 for caller in callers)
    assert not unknown or "unload" in operations
    for caller in callers:
        error = caller.future.exception()
        if error is None:
            assert len(set(caller.future.result().outputs[0].ravel())) == 1
        else:
            assert "fail" in operations, error
    assert sorted(opener.closed) == sorted(opener.models)


def act(repository: Repository, opener: Opener, operation: str) -> None:
    if operation == "load":
        repository.load("m")
    elif operation == "unload":
        repository.unload("m")
    elif operation == "wait":
        time.sleep(0.002)
    elif operation == "fail":
        engine = opener.engines[max(opener.engines)]
        engine.fails = lambda: True
    elif slot_of(repository).trial is not None:
        end(repository, operation)
