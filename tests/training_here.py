"""Small made-up data and recipes that train in a second."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from steelyard.datasets.examples import Examples
from steelyard.records.recipe import Chosen, DataChoice, Recipe, Training
from steelyard.train.progress import Nobody


class StopsAfter(Nobody):
    """Sets an event after so many steps."""

    def __init__(self, stop: threading.Event, steps: int) -> None:
        self._stop = stop
        self._left = steps

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        self._left -= 1
        if not self._left:
            self._stop.set()


def table(items: int = 300, seed: int = 0) -> Examples:
    """Two columns whose sum tells the class."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(5, 2, items).astype("f4"), rng.normal(-1, 3, items).astype("f4")
    return Examples("table", {"a": a, "b": b}, (a + b > 4).astype(np.int64), ("low", "high"))


def pictures(items: int = 120, seed: int = 0) -> Examples:
    """20 × 20 pixels, bright on the left or on the right."""
    rng = np.random.default_rng(seed)
    image, side = rng.integers(0, 80, (items, 20, 20, 1), dtype=np.uint8), rng.integers(0, 2, items)
    for row, which in enumerate(side):
        image[row, :, 10 * which : 10 * which + 10] += 120
    return Examples("images", {"image": image}, side.astype(np.int64), ("left", "right"))


def recipe(network: str = "mlp", *, data: str = "given", seed: int = 0, **training: Any) -> Recipe:
    """A recipe for data that are handed over."""
    terms: dict[str, Any] = {"epochs": 3, "batch": 32} | training
    return Recipe(
        name="small",
        data=DataChoice(own={"source": data}),
        network=Chosen(name=network),
        optimiser=Chosen(name="adamw", options={"rate": 0.02}),
        training=Training(**terms),
        seed=seed,
    )
