"""Which measurement comes next: what is known in, a step out."""

from __future__ import annotations

from typing import Any

from knowing import Knowledge, with_reference
from made_up import REFERENCE, candidate
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.subject import Outlook
from steelyard.search.known import Known, Step
from steelyard.search.settling import Settling

PROMISING, DULL = candidate("int8"), candidate("odd")


def two(promising: Outlook | None = None, dull: Outlook | None = None, **fields: Any) -> Knowledge:
    return with_reference({PROMISING: promising or Outlook(speed=3), DULL: dull or Outlook(speed=0.5)}, **fields)


def next_step(known: Known) -> Step | None:
    return Settling(known).next(known)


def reason(known: Known, of: str) -> str:
    return Settling(known).reasons(known)[of]


def test_first_a_look_at_what_promises_most() -> None:
    assert next_step(two().known()) == Step("look", PROMISING)


def test_what_takes_long_to_build_waits_for_what_is_nearly_as_good() -> None:
    knowledge = two(Outlook(speed=3, build_s=120), Outlook(speed=2.5, build_s=1))
    assert next_step(knowledge.known()) == Step("look", DULL)
    knowledge.built.add(PROMISING.variant)  # a sibling had it built
    assert next_step(knowledge.known()) == Step("look", PROMISING)


def test_after_a_look_that_pleases_quality_is_asked_before_a_long_timing() -> None:
    knowledge = two()
    knowledge.looked(PROMISING, 2.0)
    assert next_step(knowledge.known()) == Step("quality", PROMISING, 250)
    knowledge.judged(PROMISING, 0.001)
    assert next_step(knowledge.known()) == Step("speed", PROMISING)


def test_an_undecided_look_is_followed_by_a_larger_one() -> None:
    knowledge = two()
    knowledge.timed(PROMISING, 2.0)
    knowledge.judged(PROMISING, 0.016, items=250)
    assert next_step(knowledge.known()) == Step("quality", PROMISING, 1000)


def test_what_would_take_longer_than_it_promises_is_not_even_built() -> None:
    knowledge = two(dull=Outlook(speed=3, build_s=3000))
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    assert next_step(knowledge.known(passed_s=60)) == Step("confirm", PROMISING)
    assert reason(knowledge.known(passed_s=60), DULL.id).startswith("not worth its time, about 3,0")
    assert next_step(knowledge.known(passed_s=20_000)) == Step("look", DULL), "after hours it counts less"


def test_what_cannot_win_is_neither_built_nor_opened() -> None:
    knowledge = two()
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    known = knowledge.known()
    assert next_step(known) == Step("confirm", PROMISING)
    told = reason(known, DULL.id)
    assert told.startswith("cannot win: at most")
    assert f"where {PROMISING.id} reaches" in told
    assert "its relatives" in told


def test_a_rough_timing_that_is_far_behind_ends_it() -> None:
    knowledge = two(dull=Outlook(speed=3))
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    assert next_step(knowledge.known()) == Step("look", DULL)
    knowledge.looked(DULL, 12.0)
    assert next_step(knowledge.known()) == Step("confirm", PROMISING)
    assert "by a rough timing" in reason(knowledge.known(), DULL.id)


def test_one_that_is_near_the_best_is_timed() -> None:
    knowledge = two(dull=Outlook(speed=3))
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    knowledge.looked(DULL, 3.9)
    knowledge.judged(DULL, 0.001)
    assert next_step(knowledge.known()) == Step("speed", DULL)


def test_wrong_answers_end_all_of_their_kind() -> None:
    streams = candidate("int8", threads=1, streams=2)
    knowledge = with_reference({PROMISING: Outlook(speed=3), streams: Outlook(speed=3)})
    knowledge.looked(PROMISING, 1.0)
    knowledge.judged(PROMISING, 0.3, items=250)
    known = knowledge.known()
    assert next_step(known) is None
    assert reason(known, PROMISING.id) == reason(known, streams.id) == "its quality fails the requirement"


def test_a_failure_ends_its_kind_only_when_it_must() -> None:
    streams = candidate("int8", threads=1, streams=2)
    knowledge = with_reference({PROMISING: Outlook(speed=3), streams: Outlook(speed=3)})
    knowledge.failed(PROMISING, "crash")
    assert next_step(knowledge.known()) == Step("look", streams)
    knowledge.failed(PROMISING, "unsupported")
    assert next_step(knowledge.known()) is None
    assert reason(knowledge.known(), streams.id) == "unsupported: no"


def test_the_pattern_that_one_variant_shows_spares_looks_at_the_next() -> None:
    """Two streams halve the speed of one variant: with another, as promising one, they are not even opened."""
    others = {candidate(v, threads=t, streams=s): Outlook(speed=3) for v in ("a", "b") for t, s in ((2, 1), (1, 2))}
    a, a_streams, b, b_streams = others
    knowledge = with_reference(others)
    for one, ms in ((a, 4.0), (a_streams, 16.0), (b, 4.0)):
        knowledge.timed(one, ms)
        knowledge.judged(one, 0.001)
    known = knowledge.known()
    step = next_step(known)
    assert step is not None
    assert step.kind == "confirm"
    assert reason(known, b_streams.id).startswith(("cannot win", "not worth its time"))


def test_what_does_not_fit_into_the_time_gives_way_to_what_does() -> None:
    knowledge = two(Outlook(speed=3, build_s=100), Outlook(speed=2, build_s=1))
    step = next_step(knowledge.known(left_s=25))
    assert step is not None
    assert step[:2] == ("look", DULL)
    assert step.most_s < 15, "it must not use up the time of all others"
    known = knowledge.known(left_s=0.5)
    assert next_step(known) is None
    assert Settling(known).wants_more(known)
    assert reason(known, PROMISING.id) == "the time allowed for the search was up before its first look"


def test_one_whose_step_was_broken_off_is_not_begun_again() -> None:
    knowledge = two()
    knowledge.late.add(PROMISING.id)
    assert next_step(knowledge.known()) != Step("look", PROMISING)
    assert "the time allowed" in reason(knowledge.known(), PROMISING.id)


def test_those_that_left_come_back_when_the_best_is_not_confirmed() -> None:
    knowledge = two()
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    assert next_step(knowledge.known()) == Step("confirm", PROMISING)
    knowledge.confirmed(PROMISING, 0.2)
    assert next_step(knowledge.known()) == Step("look", DULL)


def test_one_that_cannot_keep_the_latency_bound_is_not_measured_further() -> None:
    server = Requirements(quality_drop=0.02, scenario="server", latency=Latency(percentile=95, bound_ms=20))
    knowledge = two(requirements=server)
    knowledge.looked(PROMISING, 60.0)
    step = next_step(knowledge.known())
    assert step is None or step.candidate != PROMISING


def test_where_quality_is_the_aim_speed_drops_none_that_may_be_better() -> None:
    knowledge = two(requirements=Requirements(quality_drop=0.02, priority="quality"))
    knowledge.timed(PROMISING, 4.0)
    knowledge.judged(PROMISING, 0.001)
    assert next_step(knowledge.known()) == Step("look", DULL)


def test_the_same_knowledge_gives_the_same_step() -> None:
    steps = {next_step(two().known()) for _ in range(3)}
    assert len(steps) == 1
    assert REFERENCE not in {step.candidate for step in steps if step}
