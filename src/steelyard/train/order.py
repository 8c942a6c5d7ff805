"""In what order, and how often, items are seen: the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Order = Callable[[torch.Generator], Sequence[torch.Tensor]]
"""The batches of an epoch, each as the rows of the training part that it holds, int64.

Some may be missing, or come more than once.
"""


def shuffled(items: int, batch: int) -> Order:
    """Each item once, in random order."""
    return lambda generator: torch.randperm(items, generator=generator).split(batch)


def drawn(weights: np.ndarray[Any, Any], batch: int) -> Order:
    """As many as there are items, each drawn with a chance in proportion to its weight, some more than once."""
    chances = torch.from_numpy(np.asarray(weights, np.float64))
    return lambda generator: torch.multinomial(chances, len(chances), replacement=True, generator=generator).split(
        batch
    )
