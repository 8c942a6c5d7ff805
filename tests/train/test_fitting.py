"""Training: it learns, repeats itself exactly, goes on where it was, and says what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, Diverged, Interrupted, UsageError
from steelyard.records.recipe import Chosen
from steelyard.records.training import Epoch
from steelyard.train.fitting import CHECKPOINT, fit
from steelyard.train.progress import Nobody
from steelyard.train.trained import Trained
from training_here import StopsAfter, pictures, recipe, table


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([each.detach().reshape(-1) for each in trained.network.parameters()])


def same(one: Trained, other: Trained) -> bool:
    return bool(torch.equal(weights(one), weights(other)))


def test_a_table_is_learnt() -> None:
    data = table(600)
    trained = fit(recipe(epochs=10), data)
    test = trained.part("test")
    assert (trained.predict(test) == test.targets).mean() > 0.9
    assert trained.run.epochs[-1].loss < trained.run.epochs[0].loss
    assert trained.run.data.items == {"training": 420, "validation": 60, "test": 120}
    assert any("standard" in told for told in trained.run.data.prepared)
    shares = trained.predict_proba(test)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("network", "data"), [("mlp", table()), ("digits-conv2", pictures())])
def test_without_a_part_to_validate_and_one_to_test_the_last_epoch_is_kept(network: str, data: Examples) -> None:
    made = recipe(network)
    all_of_it = msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, validation=0.0, test=0.0))
    run = fit(all_of_it, data).run
    assert run.data.items == {"training": len(data), "validation": 0, "test": 0}
    assert run.kept == len(run.epochs)
    assert run.epochs[-1].validation is None


def test_equal_seeds_give_equal_networks_and_others_do_not() -> None:
    data = pictures()
    first = fit(recipe("digits-conv2"), data)
    assert same(first, fit(recipe("digits-conv2"), data))
    assert not same(first, fit(recipe("digits-conv2", seed=1), data))


@pytest.mark.parametrize("terms", [{}, {"average": 0.9}, {"channels_last": False}])
def test_a_run_that_was_stopped_anywhere_goes_on_exactly(tmp_path: Path, terms: dict[str, Any]) -> None:
    made, data = recipe("digits-conv2", keep="last", **terms), pictures()
    whole = fit(made, data)
    for steps in (1, 3, 5):
        folder, stop = tmp_path / str(steps), threading.Event()
        with pytest.raises(Interrupted, match="stopped"):
            fit(made, data, folder=folder, watch=StopsAfter(stop, steps), stop=stop)
        resumed = fit(made, data, folder=folder)
        assert same(whole, resumed)
        assert [each.loss for each in resumed.run.epochs] == pytest.approx([each.loss for each in whole.run.epochs])


KILLED = """
import os, signal, sys
from pathlib import Path
from training_here import pictures, recipe
from steelyard.train import checkpoint
from steelyard.train.fitting import fit
writes = 0
real = os.replace
def dies(*args, **kwargs):
    global writes
    writes += 1
    if writes == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
Path.replace = lambda self, target: dies(self, target)
fit(recipe("digits-conv2"), pictures(), folder=Path(sys.argv[1]))
"""


def test_a_run_killed_in_the_middle_of_a_checkpoint_goes_on_from_the_one_before(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / CHECKPOINT).is_file()
    resumed = fit(recipe("digits-conv2"), pictures(), folder=tmp_path)
    assert same(resumed, fit(recipe("digits-conv2"), pictures()))


def test_other_data_or_another_recipe_do_not_go_on(tmp_path: Path) -> None:
    fit(recipe(), table(), folder=tmp_path)
    with pytest.raises(DataError, match=r"the recipe or the data have changed since\n.*--fresh"):
        fit(recipe(), table(seed=1), folder=tmp_path)
    with pytest.raises(DataError, match="belongs to another run"):
        fit(recipe(batch=16), table(), folder=tmp_path)


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    class Counts(Nobody):
        steps = 0

        def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
            self.steps += 1

    first, again = fit(recipe(), table(), folder=tmp_path), Counts()
    assert same(first, fit(recipe(), table(), folder=tmp_path, watch=again))
    assert again.steps == 0


def test_a_loss_that_is_no_number_names_the_batch_and_what_to_try() -> None:
    wild = msgspec.structs.replace(recipe(), optimiser=Chosen(name="sgd", options={"rate": 1e30}))
    with pytest.raises(Diverged, match=r"in epoch \d, step \d+ \(items \d+") as error:
        fit(wild, table())
    assert "rate = 1e+29" in error.value.hint


def test_a_rate_that_is_too_high_is_told() -> None:
    wild = msgspec.structs.replace(
        recipe(epochs=20), optimiser=Chosen(name="sgd", options={"rate": 50.0}), schedule=Chosen(name="constant")
    )
    with pytest.raises(Diverged, match=r"the loss (grew|is)"):
        fit(wild, table())


def test_a_batch_that_does_not_fit_tells_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from steelyard.train import room

    monkeypatch.setattr(room, "_free_bytes", lambda _: 3e6)
    with pytest.raises(UsageError, match=r"a batch of 84 needs about") as error:
        fit(recipe("digits-conv2", batch=84), pictures())
    assert int(error.value.hint.split()[3]) in {1, 2, 4, 8, 16, 32, 64}


def test_what_one_item_keeps_in_memory_does_not_change_the_network() -> None:
    from steelyard.networks import ImageShape, losses, make
    from steelyard.train.items import Items
    from steelyard.train.room import bytes_of_item

    network = make("resnet", ImageShape(height=20, width=20, channels=1), 2, depth=18, width=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept = bytes_of_item(
        network, Items((torch.rand(4, 1, 20, 20),), torch.zeros(4, dtype=torch.int64)), losses.CrossEntropy()
    )
    assert kept > 20 * 20 * 4
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_patience_ends_a_run_and_the_best_epoch_is_kept() -> None:
    trained = fit(recipe(epochs=50, patience=2), table())
    best = max(trained.run.epochs, key=lambda each: each.validation or 0)
    assert len(trained.run.epochs) < 50
    assert trained.run.kept == best.number
    assert "did not get better for 2 epochs" in trained.run.stopped


def test_who_watches_may_end_a_run() -> None:
    class Enough(Nobody):
        def epoch(self, epoch: Epoch, is_best: bool) -> bool:
            return epoch.number < 2

    trained = fit(recipe(epochs=9), table(), watch=Enough())
    assert len(trained.run.epochs) == 2


@pytest.mark.parametrize("balance", ["weights", "resample"])
def test_a_rare_class_is_found_more_often_when_it_is_balanced(balance: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 1000).astype("f4")
    rare = (values + rng.normal(0, 1, 1000) > 2.2).astype(np.int64)
    data = Examples("table", {"x": values}, rare, ("common", "rare"))
    plain = fit(recipe(epochs=6), data)
    balanced = fit(msgspec.structs.replace(recipe(epochs=6), balance=Chosen(name=balance)), data)
    assert (balanced.predict(data) == 1).sum() > (plain.predict(data) == 1).sum()


def test_measured_values_are_learnt() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 500).astype("f4")
    trained = fit(recipe(epochs=20), Examples("table", {"x": x}, (3 * x + 1).astype("f4")))
    assert trained.run.metric == "mse"
    assert trained.run.lower_is_better
    assert trained.run.epochs[trained.run.kept - 1].validation == min(
        each.validation or 9 for each in trained.run.epochs
    )
    with pytest.raises(UsageError, match="have no probabilities"):
        trained.predict_proba(trained.part("test"))


def test_labels_that_do_not_fit_the_loss_are_told() -> None:
    wrong = msgspec.structs.replace(recipe(), loss=Chosen(name="mean-squared-error"))
    with pytest.raises(DataError, match="use the loss cross-entropy"):
        fit(wrong, table())
