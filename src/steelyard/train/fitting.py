"""`fit`: a recipe and data become a trained network."""

from __future__ import annotations

import os
import platform
import threading
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from steelyard.datasets.examples import Examples
from steelyard.errors import UsageError
from steelyard.machines.here import this_machine
from steelyard.metrics import Metric, metric
from steelyard.networks import losses, make, optimisers, schedules
from steelyard.preparation import augment
from steelyard.preparation.imbalance import class_weights
from steelyard.records.base import digest
from steelyard.records.recipe import Chosen, Recipe
from steelyard.records.training import Run
from steelyard.train import luck
from steelyard.train.data import Prepare, prepare, read, with_default_steps
from steelyard.train.items import Items
from steelyard.train.loop import Learnt, Loop, Task
from steelyard.train.order import Order, drawn, shuffled
from steelyard.train.progress import Nobody, Watch
from steelyard.train.room import check_room
from steelyard.train.shaping import items_of
from steelyard.train.stepping import Augment, PlainStepper, Stepper
from steelyard.train.trained import Trained
from steelyard.version import VERSION

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECKPOINT = "checkpoint.safetensors"
BALANCES = ("none", "resample", "weights")
PACKAGES = ("torch", "numpy", "lightning-fabric")


def fit(
    recipe: Recipe,
    data: Examples | None = None,
    *,
    folder: Path | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
    fabric: Fabric | None = None,
    prepared: Prepare | None = None,
) -> Trained:
    """Train the recipe's network on its data, or on `data`; on `prepared` data if the recipe's own were prepared so.

    With a `folder` checkpoints are kept in it, and a run that was interrupted goes on where it was, exactly.
    Once `stop` is set, the step under way is the last. `fabric`: where and on how many processes; as torchrun says, or
    one process on this machine, unless given.

    Raises UsageError for a recipe that makes no sense, DataError for data that cannot be learnt from, Diverged when the
    loss is lost, Interrupted when it was stopped.
    """
    if prepared is None:
        examples = read(recipe.data) if data is None else data
        recipe = with_default_steps(recipe, examples)
        prepared = prepare(recipe, examples)
    fabric = fabric or fabric_of(recipe)
    network = seeded_network(recipe, prepared)
    task = task_of(recipe, prepared, network, fabric, watch or Nobody(), folder, stop or threading.Event())
    learnt = Loop(fabric, task).run()
    network.eval()
    run = run_of(recipe, prepared, network, learnt, task.metric, fabric)
    return Trained(network, prepared, run if task.beside is None else task.beside.noted(run))


def fabric_of(recipe: Recipe) -> Fabric:
    """This process alone, on the processor or on one GPU; or all those that torchrun started."""
    from lightning_fabric import Fabric

    precision = cast("Any", "bf16-mixed" if recipe.training.precision == "bf16" else "32-true")
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    fabric = Fabric(accelerator="auto", strategy="ddp", devices=local, num_nodes=world // local, precision=precision)
    fabric.launch()
    return fabric


def seeded_network(recipe: Recipe, data: Prepare) -> torch.nn.Module:
    """The recipe's network with fresh weights, the same for each seed."""
    luck.settle(recipe.seed)
    network = make(recipe.network.name, data.shape, data.outputs, **recipe.network.options)
    if recipe.privacy is not None:
        _private().without_batch_norm(network)
    return network.to(memory_format=torch.channels_last) if _channels_last(recipe) else network


def task_of(
    recipe: Recipe,
    data: Prepare,
    network: torch.nn.Module,
    fabric: Fabric,
    watch: Watch,
    folder: Path | None,
    stop: threading.Event,
    aim: losses.Loss | None = None,
) -> Task:
    """All that the loop needs. `aim`: what is made small in the place of the recipe's loss, which still judges."""
    terms = recipe.training
    loss = loss_of(recipe, data)
    optimiser = optimisers.make(recipe.optimiser.name, network, **recipe.optimiser.options)
    training, validation = (items_of(part, data.prepared.serving) for part in (data.training, data.validation))
    check_room(network, training, terms.batch, loss)
    wrapped, fabric_optimiser = fabric.setup(torch.compile(network) if terms.compile else network, optimiser)
    stepper: Stepper = PlainStepper(fabric, wrapped, aim or loss, fabric_optimiser, terms.clip)
    order, beside = order_of(recipe.balance, data, terms.batch), None
    if recipe.privacy is not None:
        stepper, order, beside = _private().begin(recipe, len(data.training), fabric, network, loss, optimiser)
    device = fabric.device
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return Task(
        network=network,
        stepper=stepper,
        optimiser=optimiser,
        schedule=schedules.make(recipe.schedule.name, **recipe.schedule.options),
        loss=loss,
        training=_laid_out(training, _channels_last(recipe)).to(device),
        validation=_laid_out(validation, _channels_last(recipe)).to(device) if len(validation) else None,
        order=order,
        metric=metric_of(recipe, data),
        terms=terms,
        seed=recipe.seed,
        identity=digest(recipe, data.told.sha256),
        augment=augment_of(recipe, len(data.told.classes)),
        watch=watch,
        beside=beside,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        stop=stop,
    )


def _private() -> Any:
    """What private training needs. Raises UsageError without Opacus."""
    try:
        return import_module("steelyard.train.private_stepping")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"[privacy] needs Opacus ({error.name} is missing)", "pip install 'steelyard[train,trust]'"
        ) from error


def _channels_last(recipe: Recipe) -> bool:
    """Not for private training: gradients of single items lie channel by channel."""
    return recipe.training.channels_last and recipe.privacy is None


def _laid_out(items: Items, channels_last: bool) -> Items:
    """Pictures pixel by pixel, if so wanted."""
    if not channels_last:
        return items
    laid = tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in items.inputs)
    return Items(laid, items.targets)


def loss_of(recipe: Recipe, data: Prepare) -> losses.Loss:
    """The recipe's loss, held against the targets of the training part."""
    chosen = recipe.loss or Chosen(name="mean-squared-error" if data.training.measured else "cross-entropy")
    options = dict(chosen.options)
    if recipe.balance.name == "weights":
        options["weights"] = tuple(class_weights(data.training, **recipe.balance.options).tolist())
    loss = losses.make(chosen.name, **options)
    loss.check(data.training.targets, data.outputs)
    return loss


def order_of(balance: Chosen, data: Prepare, batch: int) -> Order:
    """In what order, and how often, training items are seen."""
    if balance.name not in BALANCES:
        raise UsageError(f"[balance] name is one of {', '.join(BALANCES)}; got '{balance.name}'")
    if balance.name != "resample":
        return shuffled(len(data.training), batch)
    return drawn(class_weights(data.training, **balance.options)[data.training.targets], batch)


def metric_of(recipe: Recipe, data: Prepare) -> Metric:
    """By which epochs are compared."""
    usual = "mse" if data.training.measured else "accuracy"
    return metric(recipe.training.metric or usual, data.training.classes)


def augment_of(recipe: Recipe, classes: int) -> Augment | None:
    """What is done to each batch of data with so many classes; None: nothing."""
    if not recipe.augment:
        return None
    chain = augment.chain([(each.name, each.options) for each in recipe.augment], classes)

    def augmented(batch: Items, generator: torch.Generator) -> Items:
        changed, targets = chain(batch.inputs[0], batch.targets, generator)
        return Items((changed, *batch.inputs[1:]), targets)

    return augmented


def run_of(recipe: Recipe, data: Prepare, network: torch.nn.Module, learnt: Learnt, by: Metric, fabric: Fabric) -> Run:
    """The record of a run."""
    return Run(
        recipe=recipe,
        data=data.told,
        network=recipe.network.name,
        parameters=sum(each.numel() for each in network.parameters()),
        metric=by.name,
        lower_is_better=by.lower_is_better,
        epochs=learnt.epochs,
        kept=learnt.kept,
        stopped=learnt.stopped,
        versions=versions(),
        machine=this_machine(),
        processes=fabric.world_size,
        threads=torch.get_num_threads(),
        seconds=learnt.seconds,
        cpu_seconds=learnt.cpu_seconds,
    )


def versions() -> dict[str, str]:
    """Of what a trained network hangs on."""
    found = {"steelyard": VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
