"""The controller in any order of arrivals, batches, odd durations and jumps of the clock: what is promised holds."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steelyard.scheduling import ALL, Choice, profile_of
from steelyard.switching import LEAST, QUICKEST, SLOWEST, Controller, Ladder, Rung

PROFILES = st.lists(st.floats(1e-4, 0.2), min_size=1, max_size=8).map(profile_of)
LADDERS = st.builds(
    lambda profiles, bound, workers: Ladder(
        rungs=tuple(Rung(name=str(i), quality=-i, profile=profile) for i, profile in enumerate(profiles)),
        bound_s=bound,
        workers=workers,
    ),
    st.lists(PROFILES, min_size=1, max_size=5),
    st.one_of(st.floats(1e-3, 1), st.just(math.inf)),
    st.integers(1, 8),
)
FAR_S = 1e6


class Serving(RuleBasedStateMachine):
    """Requests that come, and free workers that take them."""

    @initialize(ladder=LADDERS)
    def begin(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.everything = (1 << len(ladder.rungs)) - 1
        self.controller = Controller(ladder)
        self.now = 0.0
        self.queue: deque[float] = deque()
        self.served = 0
        self.came = 0

    @rule(count=st.integers(1, 30), later=st.floats(0, 0.1))
    def arrive(self, count: int, later: float) -> None:
        self.now += later
        for _ in range(count):
            if self.controller.admits(self.now, len(self.queue)) == 0:
                self.queue.append(self.now + min(self.ladder.bound_s, FAR_S))
                self.came += 1

    @precondition(lambda self: self.queue)
    @rule(luck=st.floats(0.2, 5), data=st.data())
    def serve(self, luck: float, data: st.DataObject) -> None:
        allowed = data.draw(st.one_of(st.just(ALL), st.integers(1, self.everything)))
        choice = self.chosen(allowed)
        for _ in range(choice.size):
            self.queue.popleft()
        self.served += choice.size
        taken = self.controller.expected_s(choice) * luck
        self.controller.observe(choice.rung, choice.size, taken)
        self.now += taken

    def chosen(self, allowed: int) -> Choice:
        waiting, slack = len(self.queue), self.queue[0] - self.now
        choice = self.controller.choose(self.now, waiting, slack, allowed)
        assert 0 <= choice.rung < len(self.ladder.rungs)
        assert allowed >> choice.rung & 1
        assert 1 <= choice.size <= min(waiting, self.ladder.rungs[choice.rung].profile.max_batch)
        return choice

    @precondition(lambda self: self.queue)
    @rule()
    def ask_twice(self) -> None:
        """What brought it to a rung lets it stay there: nothing has changed, so neither does the answer."""
        first, again = self.chosen(ALL), self.chosen(ALL)
        assert (again.size, again.rung) == (first.size, first.rung)

    @rule(
        rung=st.integers(-2, 6),
        size=st.integers(-2, 40),
        seconds=st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 5e-324, 1e308, math.inf, -math.inf, math.nan])),
    )
    def observe_anything(self, rung: int, size: int, seconds: float) -> None:
        self.controller.observe(rung, size, seconds)

    @rule(by=st.one_of(st.floats(-1e9, 1e9), st.sampled_from([-FAR_S, FAR_S])))
    def the_clock_jumps(self, by: float) -> None:
        self.now += by

    @invariant()
    def nothing_is_lost_and_an_empty_queue_is_open(self) -> None:
        assert self.served + len(self.queue) == self.came
        assert self.controller.admits(self.now, 0) == 0

    @invariant()
    def what_is_learnt_stays_finite_and_within_bounds(self) -> None:
        for factor in self.controller.slower:
            assert math.exp(QUICKEST) - 1e-9 <= factor <= math.exp(SLOWEST) + 1e-9
        for rung in range(len(self.ladder.rungs)):
            assert 0 < self.controller.expected_s(Choice(8, rung)) < math.inf

    @invariant()
    def admission_is_never_negative(self) -> None:
        assert LEAST <= self.controller._admission.share <= 1
        for waiting in (0, 1, len(self.queue), 10_000):
            again_s = self.controller.admits(self.now, waiting)
            assert again_s >= 0
            assert again_s < math.inf
            assert self.controller.backlog_s(waiting) >= 0


TestServing = Serving.TestCase
TestServing.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("by", [-1e9, 1e9])
def test_after_a_jump_of_the_clock_it_lets_in_as_before_once_each_worker_served(by: float) -> None:
    ladder = Ladder(rungs=(Rung(name="one", quality=1, profile=profile_of([0.01])),), bound_s=0.1, workers=2)
    controller = Controller(ladder)
    controller.choose(0.0, 4, 0.1)
    controller.choose(0.0, 3, 0.1)
    before = controller.admits(0.0, 2)
    assert before == 0
    for _ in range(ladder.workers):
        controller.choose(by, 4, 0.1)
    assert controller.admits(by, 2) == before
