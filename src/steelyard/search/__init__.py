"""Which candidate to measure next, and how carefully."""

from __future__ import annotations

from steelyard.search.notebook import Event, fold
from steelyard.search.race import Race, Result, Terms

__all__ = ["Event", "Race", "Result", "Terms", "fold"]
