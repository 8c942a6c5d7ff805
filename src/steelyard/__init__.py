"""Steelyard: find the point at which speed, cost and quality of a model balance, and run it there."""

from __future__ import annotations

__version__ = "0.1.0"
