"""A recipe: everything that makes a trained network what it is, from the data to the last option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from steelyard.errors import UsageError
from steelyard.records.base import Record

Precision = Literal["32", "bf16"]
SplitKind = Literal["given", "stratified", "random", "group", "time"]


class Chosen(Record):
    """One thing out of a table of them, by name, with its options."""

    name: str
    options: Mapping[str, Any] = {}


class Windows(Record):
    """Long sequences are cut into windows, which are the items."""

    steps: int
    every: int | None = None
    """Steps from one window's beginning to the next one's; None: `steps`, they do not overlap."""

    def __post_init__(self) -> None:
        if self.steps < 1 or (self.every is not None and self.every < 1):
            raise UsageError("[data.windows] steps and every are 1 or more", "for example steps = 100, every = 50")


class DataChoice(Record):
    """What is learnt from: a data set by name, or one's own (`own`: the fields of `datasets.own.OwnData`)."""

    name: str = ""
    own: Mapping[str, Any] = {}
    split: SplitKind | None = None
    """None: as the makers gave the parts; else by groups where there are any; else stratified (measured values: at
    random)."""
    validation: float = 0.1
    """Share of the items, where the makers gave no such part."""
    test: float = 0.2
    limit: int | None = None
    """At most so many items of each part, for a first try."""
    windows: Windows | None = None
    """Of sequences; windows of one sequence, or one group, stay in one part."""


class Training(Record):
    """How long, in what steps, and when it ends."""

    epochs: int = 10
    batch: int = 64
    """Items a step, over all processes together."""
    precision: Precision = "32"
    clip: float | None = None
    """The largest norm that all gradients together may have."""
    average: float | None = None
    """Decay of a moving average of the weights, which is then what is kept."""
    patience: int | None = None
    """Epochs without a better validation after which training ends."""
    metric: str = ""
    """By which the best epoch is chosen; empty: accuracy for classes, mean squared error for measured values."""
    keep: Literal["best", "last"] = "best"
    """The weights of the epoch that did best on the validation part, or those of the last one."""
    compile: bool = False
    """Let torch compile the network: some minutes at the beginning, faster steps after."""
    channels_last: bool = True
    """Pictures lie in memory pixel by pixel, which most processors convolve faster; false: channel by channel."""

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch", self.batch), ("patience", self.patience)):
            if value is not None and value < 1:
                raise UsageError(f"[training] {name} is 1 or more, got {value}")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"[training] clip is more than 0, got {self.clip:g}", "leave it out to clip nothing")


class Privacy(Record):
    """Differential privacy: what a single item can have changed is bounded by these."""

    epsilon: float = 8.0
    delta: float | None = None
    """None: one over the number of training items, halved."""
    clip: float = 1.0
    """The largest norm of the gradient of one item."""

    def __post_init__(self) -> None:
        if not self.epsilon > 0 or not self.clip > 0:
            raise UsageError(f"[privacy] epsilon and clip are more than 0, got {self.epsilon:g} and {self.clip:g}")
        if self.delta is not None and not 0 < self.delta < 1:
            raise UsageError(f"[privacy] delta lies between 0 and 1, got {self.delta:g}", "leave it out for the usual")


class Recipe(Record):
    """What `steelyard train` does. Raises UsageError for values that make no sense."""

    name: str
    data: DataChoice
    network: Chosen
    seed: int = 0
    prepare: tuple[Chosen, ...] = ()
    """Steps in their order, fitted on the training part alone."""
    augment: tuple[Chosen, ...] = ()
    """What is done to training batches, anew each time."""
    balance: Chosen = Chosen(name="none")
    """What is done about classes of different size: none, weights, resample."""
    loss: Chosen | None = None
    """None: cross-entropy for classes, mean squared error for measured values."""
    optimiser: Chosen = Chosen(name="adamw")
    schedule: Chosen = Chosen(name="cosine")
    training: Training = Training()
    privacy: Privacy | None = None
