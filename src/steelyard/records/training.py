"""What a training run was, epoch by epoch."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.evaluation import Interval
from steelyard.records.machine import Machine
from steelyard.records.recipe import Recipe


class Epoch(Record):
    """Once through the training part."""

    number: int
    """From 1."""
    steps: int
    loss: float
    """Mean over the items, while they were learnt from."""
    validation_loss: float | None
    validation: float | None
    """The recipe's metric on the validation part; None without one."""
    rate: float
    """Learning rate at the end, of the first group of weights."""
    seconds: float


class PrivacyCost(Record):
    """What privacy cost in quality: the same recipe with and without it, on the same test."""

    figure: str
    """accuracy, or mse."""
    private: Interval
    plain: Interval


class PrivacySpent(Record):
    """The guarantee of differential privacy that a run kept, and what it hangs on."""

    epsilon: float
    delta: float
    noise: float
    """Deviation of the noise, in norms of one item's gradient."""
    clip: float
    """The largest norm of the gradient of one item."""
    sample_rate: float
    """The chance of an item to be in a batch."""
    steps: int
    told: tuple[str, ...] = ()
    """What was changed for the guarantee, and what it does not cover."""
    cost: PrivacyCost | None = None
    """Where the recipe was trained without privacy as well."""


class DataTold(Record):
    """What was learnt from."""

    name: str
    sha256: str
    """Of all items and targets, as they were read."""
    items: dict[str, int]
    """By part: training, validation, test."""
    classes: tuple[str, ...]
    prepared: tuple[str, ...] = ()
    """What each step of the preparation found and did, as sentences."""
    leaks: tuple[str, ...] = ()
    """What was found to stand on both sides of the split."""
    licence: str = ""
    source: str = ""


class Run(Record):
    """A finished training run."""

    recipe: Recipe
    data: DataTold
    network: str
    parameters: int
    metric: str
    lower_is_better: bool
    epochs: tuple[Epoch, ...]
    kept: int
    """Number of the epoch whose weights were kept."""
    stopped: str
    """Why it ended, as a sentence."""
    versions: dict[str, str]
    machine: Machine
    processes: int
    threads: int
    """Per process. The same run with another number rounds otherwise in the last bits."""
    seconds: float
    """Of the loop alone, over all interruptions."""
    cpu_seconds: float
    privacy: PrivacySpent | None = None
