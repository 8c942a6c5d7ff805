"""The contracts that a runtime or a variant of your own must keep, as checks to call from your tests."""

from __future__ import annotations

from steelyard.testing.contracts import check_runtime, check_variant

__all__ = ["check_runtime", "check_variant"]
