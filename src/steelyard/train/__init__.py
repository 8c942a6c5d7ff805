"""Training: from a recipe and data to a network that is ready to be weighed.

`from steelyard.train import fit` is all that is needed; torch is imported once it is asked for, not before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.train.fitting import fit
    from steelyard.train.progress import Nobody, Several, Watch
    from steelyard.train.recipes import read as read_recipe
    from steelyard.train.trained import Trained

_HOME = {
    "Nobody": "progress:Nobody",
    "Several": "progress:Several",
    "Trained": "trained:Trained",
    "Watch": "progress:Watch",
    "fit": "fitting:fit",
    "read_recipe": "recipes:read",
}
__all__ = ["Nobody", "Several", "Trained", "Watch", "fit", "read_recipe"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'steelyard.train' has no attribute '{name}'")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(f"steelyard.train.{module}"), attribute)
