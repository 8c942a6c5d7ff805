"""The only part that knows the order of the stages."""

from __future__ import annotations

from steelyard.loop.check import Check, check
from steelyard.loop.decide_again import decide_again
from steelyard.loop.weigh import Balance, weigh

__all__ = ["Balance", "Check", "check", "decide_again", "weigh"]
