"""Steelyard's loop, by the steps of `fit`, so that the loop can be timed by itself."""

from __future__ import annotations

import threading

import numpy as np
import torch
from trainers.job import RATE, Job, Part, Spent, clock, since

from steelyard.datasets.examples import TRAINING, VALIDATION, Examples
from steelyard.machines.freed_memory import keep_freed_memory
from steelyard.records.recipe import Chosen, DataChoice, Recipe, Training
from steelyard.train.data import prepare, with_default_steps
from steelyard.train.fitting import fabric_of, seeded_network, task_of
from steelyard.train.loop import Loop
from steelyard.train.progress import Nobody


def train(job: Job, training: Part, validation: Part, seed: int) -> tuple[torch.nn.Module, Spent]:
    """The trained network, and what was spent on the loop, without looking for leaks and room, which others do not."""
    recipe = Recipe(
        name=job.network,
        data=DataChoice(test=0.0),
        network=Chosen(name=job.network),
        optimiser=Chosen(name="adam", options={"rate": RATE}),
        schedule=Chosen(name="constant"),
        training=Training(epochs=job.epochs, batch=job.batch, keep="last"),
        seed=seed,
    )
    keep_freed_memory()  # as `steelyard train` does
    examples = examples_of(training, validation)
    prepared = prepare(with_default_steps(recipe, examples), examples)
    fabric = fabric_of(recipe)
    network = seeded_network(recipe, prepared)
    task = task_of(recipe, prepared, network, fabric, Nobody(), None, threading.Event())
    began = clock()
    Loop(fabric, task).run()
    return network.eval(), since(began)


def examples_of(training: Part, validation: Part) -> Examples:
    """Both parts, as Steelyard takes them."""
    x = np.concatenate([training.x, validation.x])
    y = np.concatenate([training.y, validation.y])
    parts = np.repeat(np.array([TRAINING, VALIDATION], np.int8), [len(training.y), len(validation.y)])
    classes = tuple(str(each) for each in range(int(y.max()) + 1))
    if x.ndim == 4:
        return Examples("images", {"image": x.transpose(0, 2, 3, 1)}, y, classes, parts=parts)
    return Examples("table", {f"c{i}": column for i, column in enumerate(x.T)}, y, classes, parts=parts)
