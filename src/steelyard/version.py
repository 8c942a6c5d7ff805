"""The version of Steelyard, told in plans, bundles and `steelyard --version`."""

from __future__ import annotations

VERSION = "0.1.0"
