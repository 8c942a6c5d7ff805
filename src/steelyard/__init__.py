"""Steelyard: find the point at which speed, cost and quality of a model balance, and run it there."""

from __future__ import annotations

from steelyard.version import VERSION

__version__ = VERSION

__all__ = ["__version__"]
