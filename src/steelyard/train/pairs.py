"""Which networks come in pairs. Light: no torch."""

from __future__ import annotations

DCGAN = "dcgan"
PAIRS = (DCGAN,)
"""As `[network] name` of a recipe."""
