"""Steelyard: find the point at which speed, cost and quality of a model balance, and run it there."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from steelyard.version import VERSION

if TYPE_CHECKING:
    from steelyard.api import asgi, check, decide, weigh
    from steelyard.bundle import read_bundle, read_plan
    from steelyard.errors import (
        BundleError,
        DataError,
        InputError,
        Interrupted,
        ModelError,
        RequirementsNotMet,
        SteelyardError,
        UsageError,
    )
    from steelyard.loop.check import Check
    from steelyard.loop.weigh import Balance
    from steelyard.records.plan import Plan
    from steelyard.records.requirements import Latency, Requirements
    from steelyard.report.explain import explain

__version__ = VERSION

# ONNX Runtime would report itself and the models that it opens to its makers, and leave an identifier in the home
# folder (from 1.29 on: see the Privacy.md that comes with it). It looks once, when it is loaded: so this stands before
# anything that loads it, and holds for all child processes.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOME = {
    "Balance": "loop.weigh",
    "BundleError": "errors",
    "Check": "loop.check",
    "DataError": "errors",
    "InputError": "errors",
    "Interrupted": "errors",
    "Latency": "records.requirements",
    "ModelError": "errors",
    "Plan": "records.plan",
    "Requirements": "records.requirements",
    "RequirementsNotMet": "errors",
    "SteelyardError": "errors",
    "UsageError": "errors",
    "asgi": "api",
    "check": "api",
    "decide": "api",
    "explain": "report.explain",
    "read_bundle": "bundle",
    "read_plan": "bundle",
    "weigh": "api",
}
"""Where each public name lives; imported when it is first asked for, so that `import steelyard` stays light."""

__all__ = [
    "Balance",
    "BundleError",
    "Check",
    "DataError",
    "InputError",
    "Interrupted",
    "Latency",
    "ModelError",
    "Plan",
    "Requirements",
    "RequirementsNotMet",
    "SteelyardError",
    "UsageError",
    "asgi",
    "check",
    "decide",
    "explain",
    "read_bundle",
    "read_plan",
    "weigh",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'steelyard' has no attribute '{name}'")
    return getattr(importlib.import_module(f"steelyard.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
