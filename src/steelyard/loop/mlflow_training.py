"""Log a training run to MLflow while it goes on: the recipe, every epoch, and at its end all figures and files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard.errors import Interrupted
from steelyard.ledger import shown
from steelyard.loop.mlflow_place import EXPERIMENT, client_of, experiment, place_of, quiet, write
from steelyard.records.evaluation import Evaluation, Interval
from steelyard.records.recipe import Recipe
from steelyard.records.training import Epoch, Run
from steelyard.version import VERSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOT_LOGGED = {"checkpoint.safetensors"}


class TrainingLog:
    """A run in MLflow. See `train.Watch`. What goes wrong with it is told at the end, and stops no training."""

    def __init__(self, recipe: Recipe, uri: str) -> None:
        self._recipe = recipe
        self._uri = uri
        self._run: tuple[MlflowClient, str] | None = None
        self._epochs: set[int] = set()
        self._problem = ""

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:  # noqa: ARG002
        """Its figures, at once."""
        self._try(lambda client, run: self._write(client, run, epoch))
        return True

    def end(self, run: Run, evaluation: Evaluation, folder: Path) -> str:
        """All that is known now, epochs before an interruption included; what to tell."""
        self._try(lambda client, place: self._finish(client, place, run, evaluation, folder))
        if self._problem or self._run is None:
            return f"not logged to MLflow at {shown(self._uri)}: {self._problem}; all is in {folder} all the same"
        return f"logged to MLflow at {shown(self._uri)}: experiment {EXPERIMENT}, run {self._run[1]}"

    def give_up(self, status: str) -> None:
        """The run did not end as it should; one that never began is not logged."""
        if self._run is not None:
            self._try(lambda client, run: client.set_terminated(run, status=status))

    def _try(self, act: Callable[[MlflowClient, str], None]) -> None:
        """After a first failure it is let be: each would cost a minute of waiting."""
        if self._problem:
            return
        try:
            with quiet():
                self._run = self._run or self._begun()
                act(*self._run)
        except Exception as error:
            self._problem = shown(" ".join(str(error).split())[:300])

    def _begun(self) -> tuple[MlflowClient, str]:
        client = client_of(self._uri)
        name = f"{self._recipe.name} {time.strftime('%Y-%m-%dT%H:%M:%S%z')}"
        tags = {"steelyard.version": VERSION, "steelyard.kind": "training"}
        run = client.create_run(experiment(client, self._uri), run_name=name, tags=tags).info.run_id
        write(client, run, {}, settings_of(self._recipe))
        return client, str(run)

    def _write(self, client: MlflowClient, run: str, epoch: Epoch) -> None:
        figures = msgspec.to_builtins(epoch)
        number = figures.pop("number")
        write(client, run, figures, {}, step=number)
        self._epochs.add(number)

    def _finish(self, client: MlflowClient, place: str, run: Run, evaluation: Evaluation, folder: Path) -> None:
        for epoch in run.epochs:
            if epoch.number not in self._epochs:
                self._write(client, place, epoch)
        write(client, place, figures_of(run, evaluation), {"network": run.network, "data_sha256": run.data.sha256})
        client.set_tag(place, "steelyard.stopped", run.stopped)
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name not in NOT_LOGGED:
                client.log_artifact(place, str(file))
        client.set_terminated(place)


@contextlib.contextmanager
def training_log(recipe: Recipe, said: str | None) -> Iterator[TrainingLog | None]:
    """A log at the place that is `said` (see `place_of`); None: none. A run that fails is marked as failed.

    Raises UsageError when nothing is meant, or MLflow is missing.
    """
    if said is None:
        yield None
        return
    log = TrainingLog(recipe, place_of(said))
    try:
        yield log
    except BaseException as error:
        log.give_up("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED")
        raise


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Everything the recipe says, by dotted names: `training.epochs`, `prepare.0.name`."""
    return dict(_flat(msgspec.to_builtins(recipe), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list | tuple):
        yield name, value
        return
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(each, f"{name}.{key}" if name else str(key))


def figures_of(run: Run, evaluation: Evaluation) -> dict[str, float | None]:
    """Of the test, with their limits; and what the run took."""
    found: dict[str, float | None] = {"kept_epoch": run.kept, "parameters": run.parameters}
    found |= {"train_seconds": run.seconds, "train_cpu_seconds": run.cpu_seconds}
    for name in Evaluation.__struct_fields__:
        figure = getattr(evaluation, name)
        if isinstance(figure, Interval):
            found |= {f"{evaluation.part}/{name}{end}": getattr(figure, key) for end, key in _ENDS.items()}
    return found


_ENDS = {"": "value", "_low": "low", "_high": "high"}
