"""Train on a Ray cluster by Ray Train: one process on each node that takes part, one for each GPU where there are any.

https://docs.ray.io/en/latest/train/train.html. Nodes need Steelyard and nothing else: the data go to them from here,
checkpoints come back here, and no folder has to be shared. Ray Train starts the processes, lets them find each other
and ends them together; from there on they train as those of torchrun do. When one is lost,
all begin again from the last checkpoint, on the nodes that are there.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from steelyard.cluster.desk import Desk
from steelyard.cluster.ray_nodes import RESOURCE, START, connected
from steelyard.cluster.shipped import packed, unpacked
from steelyard.datasets.examples import Examples
from steelyard.errors import BY_NAME, SteelyardError, UsageError
from steelyard.machines.freed_memory import keep_freed_memory
from steelyard.records.base import from_json, to_json
from steelyard.records.errand import Failed
from steelyard.records.recipe import Recipe
from steelyard.records.training import Epoch, Run
from steelyard.train import Trained, Watch, fit
from steelyard.train.checkpoint import write_raw
from steelyard.train.data import read
from steelyard.train.fitting import CHECKPOINT
from steelyard.train.progress import Nobody

ATTEMPTS = 4
LOOK_EVERY_S = 0.2
START_S = "30"
"""When processes have not started by then, nodes have gone or are busy: the next attempt counts them again."""


def fit_on_ray(
    recipe: Recipe,
    data: Examples | None = None,
    *,
    folder: Path,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """See `train.fit`, which this is but for the place: the Ray cluster that this machine is part of.

    Raises UsageError without a cluster, or when no node of it takes part.
    """
    examples = read(recipe.data) if data is None else data
    folder.mkdir(parents=True, exist_ok=True)
    with connected("ray", "training") as ray:
        check_nodes(ray)
        run = _trained(ray, recipe, examples, _Watching(folder / CHECKPOINT, watch or Nobody(), stop))
    here = fit(recipe, examples, folder=folder)  # the run is over: it takes the weights from the checkpoint
    return replace(here, run=run)


def _trained(ray: Any, recipe: Recipe, examples: Examples, watching: _Watching) -> Run:
    """Begin anew from the last checkpoint as long as nodes are lost."""
    for attempt in range(1, ATTEMPTS + 1):
        checkpoint = watching.checkpoint.read_bytes() if watching.checkpoint.is_file() else b""
        desk = ray.remote(Desk).options(num_cpus=0, max_concurrency=8)
        desk = desk.remote(to_json(recipe), packed(examples), checkpoint)
        watching.sit_down_at(desk)
        with tempfile.TemporaryDirectory(prefix="steelyard-") as scratch:
            lost = _attempt(_trainer(ray, desk, scratch), watching)
        run, failed = ray.get(desk.ending.remote())
        if failed:
            told = from_json(failed, Failed)
            raise BY_NAME.get(told.name, SteelyardError)(told.message, told.hint)
        if run:
            return from_json(run, Run)
        if attempt == ATTEMPTS:
            raise SteelyardError(f"the cluster could not train: {' '.join(str(lost).split())[:300]}", "see ray status")
    raise AssertionError


def _attempt(trainer: Any, watching: _Watching) -> Exception | None:
    """One run of Ray Train from its beginning to its end; what it ended with."""
    ended: list[Exception | None] = []

    def run() -> None:
        try:
            trainer.fit()
            ended.append(None)
        except Exception as error:  # whatever of a node's end Ray has a name for
            ended.append(error)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    while running.is_alive():
        running.join(LOOK_EVERY_S)
        watching.look()
    watching.look()
    return ended[0]


def check_nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has that takes part. Raises UsageError when none does."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get(RESOURCE)]
    if not nodes:
        raise UsageError(f"no node of the Ray cluster has the resource '{RESOURCE}'", START)
    return nodes


def _trainer(ray: Any, desk: Any, scratch: str) -> Any:
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", START_S)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    as_it_is: Any = FailureConfig  # told to type checkers as that of the older Ray Train
    failures = as_it_is(max_failures=0, controller_failure_limit=0)
    nodes = check_nodes(ray)
    gpus = int(min(node.get("GPU", 0) for node in nodes))
    each = max(gpus, 1)
    resources = {"CPU": min(node["CPU"] for node in nodes) // each, RESOURCE: 1 / each} | ({"GPU": 1} if gpus else {})
    return TorchTrainer(
        _work,
        train_loop_config={"desk": desk},
        scaling_config=ScalingConfig(
            num_workers=len(nodes) * each,
            use_gpu=bool(gpus),
            resources_per_worker=resources,
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(storage_path=scratch, failure_config=failures),
    )


class _Watching:
    """Hands on what lies on the desk: progress to whoever watches, checkpoints to the disk, and the wish to stop."""

    def __init__(self, checkpoint: Path, watch: Watch, stop: threading.Event | None) -> None:
        self.checkpoint = checkpoint
        self._watch = watch
        self._stop = stop or threading.Event()
        self._desk: Any = None
        self._epochs = self._checkpoints = 0

    def sit_down_at(self, desk: Any) -> None:
        """Of a new attempt."""
        self._desk, self._epochs, self._checkpoints = desk, 0, 0

    def look(self) -> None:
        """All that is new."""
        import ray

        step, epochs, checkpoints = ray.get(self._desk.told.remote())
        if step is not None:
            self._watch.step(*step)
        for epoch, is_best in epochs[self._epochs :]:
            self._desk.answer.remote(self._watch.epoch(from_json(epoch, Epoch), is_best))
        self._epochs = len(epochs)
        if checkpoints != self._checkpoints:
            write_raw(self.checkpoint, ray.get(self._desk.checkpoint.remote()))
            self._checkpoints = checkpoints
        if self._stop.is_set():
            self._desk.stop.remote()


def _work(config: dict[str, Any]) -> None:
    """What every process does."""
    import ray

    keep_freed_memory()
    desk = config["desk"]
    recipe, data, checkpoint = ray.get(desk.order.remote())
    with tempfile.TemporaryDirectory(prefix="steelyard-") as place:
        state = Path(place) / CHECKPOINT
        if checkpoint:
            state.write_bytes(checkpoint)
        stop = threading.Event()
        try:
            with _kept(state, desk):
                trained = fit(
                    from_json(recipe, Recipe), unpacked(data), folder=Path(place), watch=_Telling(desk, stop), stop=stop
                )
        except SteelyardError as error:
            told = Failed(name=type(error).__name__, message=error.message, hint=error.hint)
            ray.get(desk.fail.remote(to_json(told)))
            raise
        if ray.train.get_context().get_world_rank() == 0:
            ray.get(desk.end.remote(to_json(trained.run)))


class _Telling:
    """Tells the desk. See `train.Watch`."""

    def __init__(self, desk: Any, stop: threading.Event) -> None:
        self._desk = desk
        self._stop = stop
        self._told = 0.0

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Now and then, and after the last of an epoch."""
        import ray

        if done == steps or time.monotonic() - self._told > LOOK_EVERY_S:
            self._told = time.monotonic()
            if ray.get(self._desk.step.remote(epoch, done, steps, loss)):
                self._stop.set()

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:
        """Asks whether to go on."""
        import ray

        return bool(ray.get(self._desk.epoch.remote(to_json(epoch), is_best)))


@contextlib.contextmanager
def _kept(state: Path, desk: Any) -> Iterator[None]:
    """Every checkpoint goes to the desk, in all processes but the leading one there are none."""
    over = threading.Event()
    sent = [state.stat().st_mtime_ns if state.exists() else 0]

    def send() -> None:
        import ray

        if state.exists() and state.stat().st_mtime_ns != sent[0]:
            sent[0] = state.stat().st_mtime_ns
            ray.get(desk.keep.remote(state.read_bytes()))

    def courier() -> None:
        while not over.wait(LOOK_EVERY_S):
            send()

    running = threading.Thread(target=courier, daemon=True)
    running.start()
    try:
        yield
    finally:
        over.set()
        running.join()
        send()
