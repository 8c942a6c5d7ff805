"""The decision: requirements, prices and measurements in, a plan out. Nothing here measures anything."""

from __future__ import annotations

from steelyard.decision.choice import Choice, choose
from steelyard.decision.plan import decide
from steelyard.decision.preference import contenders, front, running
from steelyard.decision.standing import Standing, stand

__all__ = ["Choice", "Standing", "choose", "contenders", "decide", "front", "running", "stand"]
