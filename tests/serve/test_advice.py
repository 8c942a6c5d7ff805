"""A policy that errs, in whatever way, costs nothing but its advice."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from steelyard.scheduling import ALL, Choice, Single, profile_of
from steelyard.serve import advice

PLAN = Single(profile_of([0.001, 0.002]))


class Says:
    """Chooses what it is told to; everything else it is asked raises."""

    def __init__(self, choice: Any) -> None:
        self._choice = choice

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Any:
        return self._choice

    def observe(self, rung: int, size: int, seconds: float) -> None:
        raise ZeroDivisionError

    def expected_s(self, choice: Choice) -> float:
        raise ZeroDivisionError

    def backlog_s(self, waiting: int) -> float:
        raise ZeroDivisionError

    def admits(self, now: float, waiting: int) -> float:
        raise ZeroDivisionError


def test_good_advice_is_taken() -> None:
    assert advice.chosen(PLAN, 0.0, 2, math.inf, ALL) == Choice(2)
    assert advice.expected_s(PLAN, Choice(2)) == 0.002
    assert advice.backlog_s(PLAN, 3) == 0.003
    assert advice.admits(PLAN, 0.0, 9) == 0.0


@pytest.mark.parametrize("choice", [None, Choice(0), Choice(-1), Choice(2, -1), Choice(2, 0), "now"], ids=str)
def test_senseless_choices_serve_one_request_by_what_is_allowed(choice: Any) -> None:
    assert advice.chosen(Says(choice), 0.0, 5, math.inf, 0b110) == Choice(1, 1)


def test_what_cannot_be_told_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    wrong = Says(None)
    with caplog.at_level(logging.ERROR):
        assert advice.expected_s(wrong, Choice(1)) == math.inf
        assert advice.backlog_s(wrong, 5) == 0.0
        assert advice.admits(wrong, 0.0, 5) == 0.0
        advice.learn(wrong, 0, 1, 1.0)
    assert len(caplog.records) == 4
