"""Cheaper forms of a trained network: distilled, pruned, trained for 8 bits. Each learns from it and from the data.

Each is a training run of its own, by the recipe of the network but for what its way changes, with a checkpoint of its
own: it goes on where it was interrupted. `steelyard weigh` puts what comes out beside the network's other variants.
"""

from __future__ import annotations

import inspect
import os
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from steelyard.datasets.examples import Examples
from steelyard.errors import ModelError, UsageError
from steelyard.networks.optimisers import OPTIMISERS
from steelyard.records.base import digest
from steelyard.records.cheaper import NAMES, Cheaper
from steelyard.records.recipe import Chosen, Recipe
from steelyard.train.distilling import FromTeacher, smaller, taught
from steelyard.train.export import CHECKED, answers, verify, write_network
from steelyard.train.fitting import fabric_of, loss_of, run_of, seeded_network, task_of
from steelyard.train.items import Items
from steelyard.train.loop import Loop
from steelyard.train.progress import Nobody, Watch
from steelyard.train.pruning import pruned
from steelyard.train.quantised_export import write_in_8_bits
from steelyard.train.quantising import for_8_bits, in_float
from steelyard.train.shaping import items_of
from steelyard.train.trained import Trained

EPOCHS = {"distil": 1.0, "prune": 0.5, "quantise": 0.2}
"""Of the network's own, where nothing else is said."""
JUDGED_BY = 1024
"""Items of the training part by which it is told what can be pruned."""
SHOWN = 300
"""Items of the training part that show the ranges of what is left to be quantised."""
BATCH = 128
SMALLEST = 1e-6
IN_8_BITS = 0.3
"""How far a file in 8 bits may answer from the network it was made of, of the spread of the answers over items."""


def make(
    trained: Trained,
    way: str,
    cheaper: Cheaper,
    *,
    folder: Path | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """Go one of the ways of `cheaper`, and learn; with a `folder` checkpoints are kept in it, beside the network's.

    Raises UsageError for a network for which it is no way, and as `fitting.fit` does.
    """
    recipe = recipe_of(trained.run.recipe, way, cheaper)
    network = _network(trained, way, recipe, cheaper)
    measured = trained.data.training.measured
    fabric = fabric_of(recipe)
    aim = FromTeacher(loss_of(recipe, trained.data), cheaper.temperature, cheaper.share, measured=measured)
    task = task_of(recipe, trained.data, network, fabric, watch or Nobody(), None, stop or threading.Event(), aim)
    task = replace(
        task,
        augment=taught(trained.network, task.augment, measured=measured),
        checkpoint=None if folder is None else folder / f"{NAMES[way]}.safetensors",
        identity=digest(task.identity, way, cheaper.temperature, cheaper.share, getattr(cheaper, way)),
    )
    learnt = Loop(fabric, task).run()
    network.eval()
    return Trained(network, trained.data, run_of(recipe, trained.data, network, learnt, task.metric, fabric))


def recipe_of(recipe: Recipe, way: str, cheaper: Cheaper) -> Recipe:
    """What one way makes of the network's recipe. Raises UsageError for one that does not go with it."""
    if recipe.privacy is not None:
        raise UsageError(
            "[privacy] and [cheaper] do not go together: what learns from the same items without noise tells of them",
            "leave one of them out",
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "cheaper networks are trained by one process",
            "run the same command without torchrun or --on: the network itself is taken over from its checkpoint",
        )
    told, terms, network = getattr(cheaper, way), recipe.training, recipe.network
    if way == "distil":
        network = told.network or smaller(recipe.network)
    else:
        terms = msgspec.structs.replace(terms, average=None)  # of few steps it would mostly be what was there before
    if way == "quantise":  # rounding to 8 bits is exact in single precision only, and torch cannot compile it
        terms = msgspec.structs.replace(terms, precision="32", compile=False)
    epochs = told.epochs or max(1, round(terms.epochs * EPOCHS[way]))
    return msgspec.structs.replace(
        recipe,
        network=network,
        optimiser=_slower(recipe.optimiser, told.rate),
        training=msgspec.structs.replace(terms, epochs=epochs),
    )


def _slower(optimiser: Chosen, share: float) -> Chosen:
    """The same, every learning rate of it at this share."""
    if optimiser.name not in OPTIMISERS or share == 1:
        return optimiser
    usual = {each.name: each.default for each in inspect.signature(OPTIMISERS[optimiser.name]).parameters.values()}
    rates = {name: share * optimiser.options.get(name, usual[name]) for name in usual if name.startswith("rate")}
    return Chosen(name=optimiser.name, options=dict(optimiser.options) | rates)


def _network(trained: Trained, way: str, recipe: Recipe, cheaper: Cheaper) -> torch.nn.Module:
    """What learns."""
    if way == "distil":
        return seeded_network(recipe, trained.data)
    if way == "quantise" or cheaper.prune is None:
        return for_8_bits(trained.network)
    return pruned(trained.network, cheaper.prune.keep, _judging(trained), loss_of(recipe, trained.data))


def _judging(trained: Trained) -> list[Items]:
    """Some of the training part, in batches."""
    examples = trained.data.training.some(JUDGED_BY)
    return list(items_of(examples, trained.data.prepared.serving).batches(BATCH))


def export(made: Trained, way: str, folder: Path) -> Path:
    """Write a cheaper network into the folder of the network that it was made of, as `distilled.onnx` and so on.

    Raises ModelError when the file answers otherwise than the network.
    """
    path = folder / f"{NAMES[way]}.onnx"
    raw = made.part("training")
    shown, checked = raw.some(SHOWN), raw.some(CHECKED)
    network, layers = in_float(made.network)
    if layers:
        write_network(network, made.data, shown, path, lambda file, items: write_in_8_bits(file, layers, items, file))
        _verify_in_8_bits(path, made, checked)
    else:
        write_network(network, made.data, shown, path)
        verify(path, made, checked)
    return path


def _verify_in_8_bits(path: Path, made: Trained, raw: Examples) -> None:
    """Single values may be rounded otherwise; the answers as a whole lie where the network's are."""
    told, expected = answers(path, made, raw), made.outputs(raw)
    apart = np.linalg.norm(told - expected) / max(float(np.linalg.norm(expected - expected.mean(0))), SMALLEST)
    if not apart <= IN_8_BITS:
        raise ModelError(
            f"in 8 bits the file answers otherwise than the network that was trained for them: {apart:.0%} of the "
            f"answers' spread apart, {IN_8_BITS:.0%} are allowed",
            "leave 'quantise' out of [cheaper]",
        )
