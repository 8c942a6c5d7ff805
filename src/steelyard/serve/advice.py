"""What a policy advises. One that errs costs nothing but its advice: requests are served one by one, and let in."""

from __future__ import annotations

import logging
import math

from steelyard.scheduling import Choice, Policy

log = logging.getLogger(__name__)


def chosen(policy: Policy, now: float, waiting: int, slack: float, allowed: int) -> Choice:
    """What a free worker does: at least one of the `waiting` requests, by a rung that is allowed."""
    try:
        choice = policy.choose(now, waiting, slack, allowed)
        if choice.size > 0 and allowed >> choice.rung & 1:
            return choice
    except Exception:
        log.exception("the policy could not choose")
    return Choice(1, lowest(allowed))


def lowest(allowed: int) -> int:
    """The first rung of a mask that is not empty."""
    return (allowed & -allowed).bit_length() - 1


def expected_s(policy: Policy, choice: Choice) -> float:
    """How long that takes; infinite when the policy cannot tell."""
    try:
        return policy.expected_s(choice)
    except Exception:
        log.exception("the policy could not tell how long a batch takes")
        return math.inf


def backlog_s(policy: Policy, waiting: int) -> float:
    """How long so many requests keep the workers busy; 0 when the policy cannot tell."""
    try:
        return policy.backlog_s(waiting)
    except Exception:
        log.exception("the policy could not tell how long the backlog takes")
        return 0.0


def admits(policy: Policy, now: float, waiting: int) -> float:
    """0: one more request is let in; otherwise the seconds after which to come again."""
    try:
        return policy.admits(now, waiting)
    except Exception:
        log.exception("the policy could not tell whether a request is let in")
        return 0.0


def learn(policy: Policy, rung: int, size: int, seconds: float) -> None:
    """A batch was served and took so long."""
    try:
        policy.observe(rung, size, seconds)
    except Exception:
        log.exception("the policy could not learn")
