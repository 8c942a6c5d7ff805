"""What all trainers are given: the same items in memory, network, batches, epochs, and rate of Adam."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard import datasets
from steelyard.datasets.examples import TEST, TRAINING, Examples

RATE = 1e-3
JUDGED = 2_000
"""Items on which each epoch is validated."""
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Job:
    """A network by its name in Steelyard, and what it is trained on."""

    network: str
    data: str
    items: int
    batch: int
    epochs: int


class Spent(NamedTuple):
    """Seconds, of wall time and of the processor."""

    wall: float
    cpu: float


def clock() -> Spent:
    """Now."""
    return Spent(time.perf_counter(), time.process_time())


def since(began: Spent) -> Spent:
    """What has passed."""
    now = clock()
    return Spent(now.wall - began.wall, now.cpu - began.cpu)


JOBS = {
    "conv2": Job("digits-conv2", "mnist", items=6_000, batch=32, epochs=2),
    "conv3": Job("digits-conv3", "mnist", items=6_000, batch=64, epochs=2),
    "mlp": Job("mlp", "credit-default", items=16_000, batch=256, epochs=10),
}


@dataclass(frozen=True)
class Part:
    """Items as a network takes them: pictures [n, 1, 28, 28] from 0 to 1, or rows [n, columns] with deviation 1."""

    x: Floats
    y: Labels


@cache
def parts(job: Job) -> tuple[Part, Part, Part]:
    """Training, validation, test."""
    examples = datasets.load(job.data)
    x: Floats
    if examples.kind == "images":
        x = examples.inputs["image"].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        test = np.flatnonzero(examples.parts == TEST)
        known = np.flatnonzero(examples.parts == TRAINING)
    else:
        x = _scaled(examples)
        order = np.random.default_rng(0).permutation(len(examples))
        test, known = order[:5_000], order[5_000:]
    part = [known[: job.items], known[job.items : job.items + JUDGED], test]
    training, validation, judged = (Part(np.ascontiguousarray(x[rows]), examples.targets[rows]) for rows in part)
    return training, validation, judged


def _scaled(examples: Examples) -> Floats:
    """The columns of numbers, without those of words."""
    numbers = [column for column in examples.inputs.values() if column.dtype != object]
    x = np.stack(numbers, axis=1).astype(np.float32)
    return np.asarray((x - x.mean(0)) / x.std(0), np.float32)
