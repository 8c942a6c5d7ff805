"""The contracts that a runtime, a variant or a network of your own must keep, as checks to call from your tests."""

from __future__ import annotations

from steelyard.testing.contracts import check_runtime, check_variant
from steelyard.testing.networks import check_network

__all__ = ["check_network", "check_runtime", "check_variant"]
