"""A canary: whose turn it is, what is said of it look by look, and how often that is wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from steelyard.errors import UsageError
from steelyard.serve.canary import MOST_TERMS, Ended, Split, Terms, Trial
from steelyard.serve.comparing import MOST_KEPT, Course
from steelyard.serve.parts import Row
from steelyard.serve.served import Promise, ServedModel
from steelyard.serve.shadow import Shadow
from versions import Opener

BOUND_S = 0.1
FAST, LATE = 0.01, 0.3


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_requests_are_shared_out_evenly_whatever_the_period_of_clients(share: float) -> None:
    split = Split(share)
    taken = np.array([split.takes() for _ in range(20_000)])
    for length in (100, 1000):
        counts = taken.reshape(-1, length).sum(axis=1)
        assert np.abs(counts - share * length).max() <= 3
    for period in (2, 3, 10, 16):
        for first in range(period):
            assert taken[first::period].mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"share": 1.0}, "gets less than all requests, got 100%"),
        ({"share": -0.1}, "gets less than all"),
        ({"share": 0.1, "for_s": 0.0}, "longer than 0 s"),
        ({"share": 0.1, "tolerance": 0.0}, "between 0% and 100%"),
        ({"share": 0.1, "tolerance": 1.0}, "between 0% and 100%"),
    ],
)
def test_terms_that_are_none(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        Terms(**wrong)  # type: ignore[arg-type]
    assert error.value.hint.startswith("for example --canary")


class Bench:
    """A canary beside an old version, both of which have had what a test makes up, in time that a test makes up."""

    def __init__(self, promise: Promise | None = None, **terms: float) -> None:
        self.now = 0.0
        opener = Opener(promise or Promise(BOUND_S, 95))
        self.old, self.new = [opener("m", __file__, version, None) for version in (1, 2)]  # type: ignore[arg-type]
        self.opener = opener
        self.terms = Terms(**{"share": 0.5, "for_s": 10.0} | terms)  # type: ignore[arg-type]
        self._trial: Trial | None = None

    @property
    def trial(self) -> Trial:
        if self._trial is None:
            self._trial = Trial(self.new, self.old, self.terms, lambda *_: None, lambda: self.now)
        return self._trial

    def until_the_end(self, go: Callable[[], None]) -> Ended:
        """Looks as often as the terms say; `go` is called before each."""
        trial = self.trial
        while True:
            self.now += self.terms.every_s
            go()
            ended = trial.look()
            if ended is not None:
                return ended
            assert self.now < 1.01 * MOST_TERMS * self.terms.for_s

    def close(self) -> None:
        self.old.close()
        self.new.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def had(model: ServedModel, answered: int, failed: int = 0, late: int = 0) -> None:
    """So many requests, of the answered ones so many late."""
    for place in range(answered):
        took_s = LATE if place < late else FAST
        model.statistics.answered(took_s / 2, took_s)
    for _ in range(failed):
        model.statistics.failed(0.1)


def test_a_good_one_is_promoted_when_its_time_is_over_and_not_before(bench: Bench) -> None:
    def go() -> None:
        had(bench.new, 60)
        had(bench.old, 60)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason, ended.version, ended.beside) == ("promoted", "kept", "2", "1")
    assert ended.seconds == pytest.approx(10)
    assert ended.requests == 1200
    assert ended.why == (
        "0 of 1,200 requests got no answer, of the other version's 0 of 1,200, and 0 of 1,200 answers came late, "
        "of the other version's 0 of 1,200: not more frequent by more than 1%, at 95 %"
    )


def test_one_that_fails_is_rolled_back_long_before_its_time_is_over(bench: Bench) -> None:
    def go() -> None:
        had(bench.new, 0, failed=3)
        had(bench.old, 30)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason) == ("rolled_back", "failures")
    assert ended.seconds <= 2.5
    assert "requests got no answer, of the other version's 0 of" in ended.why


def test_one_that_refuses_or_lets_expire_fails_as_well(bench: Bench) -> None:
    def go() -> None:
        had(bench.new, 5)
        bench.new.statistics.refused()
        bench.new.statistics.failed(0.1, expired=True)
        had(bench.old, 30)
        bench.old.statistics.failed(0.1, withdrawn=True)  # its caller left: nobody's failure

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason) == ("rolled_back", "failures")


def test_one_that_is_late_is_rolled_back(bench: Bench) -> None:
    def go() -> None:
        had(bench.new, 20, late=5)
        had(bench.old, 20, late=1)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason) == ("rolled_back", "late")
    assert ended.seconds < 10


def test_spells_of_almost_late_answers_count_where_none_was_late(bench: Bench) -> None:
    looks = 0

    def go() -> None:
        nonlocal looks
        looks += 1
        for model in (bench.new, bench.old):
            had(model, 60)
        for _ in range(60 if looks % 10 == 0 else 0):
            bench.new.statistics.answered(0.0, 0.9 * BOUND_S)

    assert bench.until_the_end(go).reason == "undecided"


def test_without_a_bound_nothing_is_late() -> None:
    bench = Bench(Promise(float("inf")))

    def go() -> None:
        had(bench.new, 60, late=60)
        had(bench.old, 60)

    assert bench.until_the_end(go).outcome == "promoted"
    assert [each.rule for each in bench.trial.standings] == ["failures"]
    bench.close()


def test_one_whose_process_is_missing_is_rolled_back_at_once(bench: Bench) -> None:
    had(bench.new, 5)
    bench.opener.engines[2].is_dead = True
    ended = bench.trial.look()
    assert ended is not None
    assert (ended.outcome, ended.reason, ended.why) == ("rolled_back", "not_ready", "one of its processes is missing")


def test_one_that_hardly_anybody_asked_gets_more_time_and_is_rolled_back_in_the_end(bench: Bench) -> None:
    def go() -> None:
        had(bench.new, 1)
        had(bench.old, 1)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason) == ("rolled_back", "undecided")
    assert ended.seconds == pytest.approx(MOST_TERMS * 10)
    assert ended.why.startswith("nothing was shown in 40.0 s: 0 of 80 requests got no answer")


def test_more_time_is_used_when_it_settles_the_question() -> None:
    bench = Bench(tolerance=0.1, fewest=100)

    def go() -> None:
        had(bench.new, 3)
        had(bench.old, 3)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.seconds) == ("promoted", 20)  # 60 requests would settle it, and 100 are wanted
    bench.close()


def test_one_spell_is_no_proof(bench: Bench) -> None:
    """A process that goes down takes a batch with it, once."""
    looks = 0

    def go() -> None:
        nonlocal looks
        looks += 1
        had(bench.new, 100, failed=40 if looks == 5 else 0)
        had(bench.old, 100)

    ended = bench.until_the_end(go)
    assert ended.reason != "failures"


def test_one_that_answers_otherwise_in_the_shadow_is_rolled_back(bench: Bench) -> None:
    for model in (bench.new, bench.old):
        model.shadow = Shadow(0.1, 0)
    chance = random.Random(0)
    scores = np.eye(2, dtype=np.float32)

    def compared(model: ServedModel, disagreeing: float) -> None:
        for _ in range(20):
            other = scores[1:] if chance.random() < disagreeing else scores[:1]
            model.shadow.compare(Row([scores[:1]], 0, "fast"), Row([other], 0, "best"))

    def go() -> None:
        had(bench.new, 60)
        had(bench.old, 60)
        compared(bench.new, 0.4)
        compared(bench.old, 0.1)

    ended = bench.until_the_end(go)
    assert (ended.outcome, ended.reason) == ("rolled_back", "disagreement")
    assert "compared answers were another class" in ended.why


def test_a_few_comparisons_do_not_keep_a_good_one_waiting(bench: Bench) -> None:
    for model in (bench.new, bench.old):
        model.shadow = Shadow(0.1, 0)

    def go() -> None:
        had(bench.new, 60)
        had(bench.old, 60)

    assert bench.until_the_end(go).outcome == "promoted"


def test_how_it_stands_is_told(bench: Bench) -> None:
    assert bench.trial.told().standings == ()
    bench.now = 3.0
    had(bench.new, 4, failed=1)
    assert bench.trial.look() is None
    told = bench.trial.told()
    assert (told.version, told.beside, told.share, told.requests, told.seconds, told.for_s) == ("2", "1", 0.5, 5, 3, 10)
    assert [(each.rule, each.verdict) for each in told.standings] == [("failures", "undecided"), ("late", "undecided")]


def test_a_course_is_bounded_and_forgets_no_count(bench: Bench) -> None:
    course = Course(bench.new)
    for _ in range(3 * MOST_KEPT):
        had(bench.new, 1, failed=1)
        course.look()
    stretches = course.stretches
    assert len(stretches) < MOST_KEPT
    assert stretches[:, 0].sum() == 3 * MOST_KEPT
    assert stretches[:, 1].sum() == 6 * MOST_KEPT


# --- how often it is wrong: one-sided at 95 %, however often it is looked at ------------------------------------------


def simulated(
    runs: int, new: float, old: float, requests: int = 40, what: str = "failed", in_spells: bool = False
) -> Counter[str]:
    """What became of canaries with these true shares of what goes wrong, `requests` a look for each version."""
    chance = np.random.default_rng(7)
    ends: Counter[str] = Counter()
    for _ in range(runs):
        bench = Bench()

        def once(model: ServedModel, share: float) -> None:
            wrong = requests * int(chance.random() < share) if in_spells else int(chance.binomial(requests, share))
            had(model, requests - wrong, failed=wrong) if what == "failed" else had(model, requests, late=wrong)

        def go() -> None:
            once(bench.new, new)  # noqa: B023 - called before the next bench
            once(bench.old, old)  # noqa: B023

        ended = bench.until_the_end(go)
        ends[ended.outcome if ended.reason != "undecided" else "undecided"] += 1
        bench.close()
    return ends


@pytest.mark.parametrize("what", ["failed", "late"])
def test_a_bad_one_is_caught_and_never_promoted(what: str) -> None:
    assert simulated(20, new=0.1, old=0.01, what=what) == {"rolled_back": 20}


@pytest.mark.parametrize(("new", "old"), [(0.0, 0.0), (0.002, 0.002)])
def test_an_equal_one_is_promoted(new: float, old: float) -> None:
    assert simulated(20, new, old)["promoted"] == 20


def test_equal_ones_that_fail_in_spells_are_seldom_called_worse() -> None:
    """Every tenth half second all requests fail: taken one by one they would prove too much."""
    ends = simulated(40, new=0.1, old=0.1, requests=20, in_spells=True)
    assert ends["rolled_back"] <= 2


@pytest.mark.parametrize("for_s", [0.4, 10.0, 3600.0])
def test_all_looks_together_err_no_more_often_than_is_allowed(for_s: float) -> None:
    terms = Terms(share=0.1, for_s=for_s)
    looks = MOST_TERMS * for_s / terms.every_s
    for rules in (1, 2, 3):
        confidence = terms.confidence(rules)
        assert (1 - confidence.to_fail) * looks * rules <= 0.05 + 1e-9
        assert (1 - confidence.to_pass) * MOST_TERMS <= 0.05 + 1e-9
