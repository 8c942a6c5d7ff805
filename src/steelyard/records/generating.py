"""What a pair of adversarial networks was, and how good what it makes is."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.machine import Machine
from steelyard.records.recipe import Recipe
from steelyard.records.training import DataTold


class PairEpoch(Record):
    """Once through the training part."""

    number: int
    """From 1."""
    steps: int
    generator_loss: float
    """Means over the steps."""
    discriminator_loss: float
    seconds: float


class Samples(Record):
    """How a classifier sees some pictures. Figures of different classifiers, or numbers of pictures, do not compare."""

    items: int
    score: float
    """Classifier score: from 1, and the number of classes when each picture is surely of one and all are equally
    many."""
    distance: float
    """Fréchet distance of its features to those of training items; 0 for the same distribution."""
    as_asked: float
    """Share that is told to be of the class it was made for, or is labelled with."""


class SamplesJudged(Record):
    """Pictures that were made, beside real ones that no network was trained on."""

    judge: str
    judge_accuracy: float
    """On the test."""
    made: Samples
    real: Samples
    as_asked_by_class: tuple[float, ...] = ()


class PairRun(Record):
    """A finished run."""

    recipe: Recipe
    data: DataTold
    parameters: tuple[int, int]
    """Of the generator and of the discriminator."""
    epochs: tuple[PairEpoch, ...]
    versions: dict[str, str]
    machine: Machine
    threads: int
    seconds: float
    judged: SamplesJudged | None = None
