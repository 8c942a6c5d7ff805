"""Private training: what one item can do is bounded, what was spent is told, and what would break it is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant

from command import run_in
from steelyard.errors import Interrupted, UsageError
from steelyard.networks import ImageShape, losses, make
from steelyard.records.recipe import Chosen, Privacy, Recipe
from steelyard.train import checkpoint, luck
from steelyard.train.fitting import CHECKPOINT, fit
from steelyard.train.items import Items
from steelyard.train.privacy import Account, noise_for, without_batch_norm
from steelyard.train.private_stepping import PrivateStepper
from steelyard.train.progress import Nobody
from training_here import StopsAfter, pictures, recipe, table


def private(network: str = "mlp", epsilon: float = 8.0, **training: Any) -> Recipe:
    return msgspec.structs.replace(recipe(network, **training), privacy=Privacy(epsilon=epsilon))


def account(items: int = 100, batch: int = 20, *, noise: float | None = None, clip: float = 1.0) -> Account:
    made = Account(Privacy(clip=clip), items, batch, epochs=5)
    if noise is not None:
        made.noise = noise
    return made


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().reshape(-1) for each in network.parameters()])


def stepped(items: Items, *, clip: float, noise: float = 0.0, at_once: int | None = None) -> torch.Tensor:
    """What one step of rate 1 takes off the weights, times the size of a batch."""
    luck.settle(0)
    network = make("digits-conv2", ImageShape(height=20, width=20), 2, dropout=0.0)
    before, book = weights(network), account(noise=noise, clip=clip)
    book._secret = (1, 2)
    stepper = PrivateStepper(network, losses.CrossEntropy(), torch.optim.SGD(network.parameters(), 1.0), book)
    stepper._at_once = at_once or stepper._at_once
    stepper.step(items)
    return (before - weights(network)) * book.batch


def some(count: int) -> Items:
    generator = torch.Generator().manual_seed(0)
    return Items((torch.rand(count, 1, 20, 20, generator=generator),), torch.arange(count) % 2)


def gradient(items: Items) -> torch.Tensor:
    luck.settle(0)
    network = make("digits-conv2", ImageShape(height=20, width=20), 2, dropout=0.0)
    losses.CrossEntropy()(network(*items.inputs), items.targets).backward()
    return torch.cat([each.grad.reshape(-1) for each in network.parameters()])


def test_a_step_takes_the_sum_of_each_items_bounded_gradient() -> None:
    items, clip = some(6), 0.5
    expected = torch.zeros(())
    for row in range(6):
        one = gradient(items.take(torch.tensor([row])))
        expected = expected + one * min(1.0, clip / float(one.norm()))
    assert float(gradient(items.take(torch.tensor([0]))).norm()) > clip, "or nothing would be clipped"
    assert torch.allclose(stepped(items, clip=clip), expected, atol=1e-4)


def test_batches_that_go_through_in_parts_make_the_same_step() -> None:
    assert torch.allclose(stepped(some(7), clip=0.5), stepped(some(7), clip=0.5, at_once=3), atol=1e-4)


@pytest.mark.parametrize("count", [0, 5])
def test_the_noise_has_the_deviation_that_the_account_says(count: int) -> None:
    drawn = stepped(some(count), clip=2.0, noise=1.5) - (stepped(some(count), clip=2.0) if count else 0)
    assert float(drawn.std()) == pytest.approx(1.5 * 2.0, rel=0.02)
    assert abs(float(drawn.mean())) < 0.1


def test_each_item_is_in_a_batch_with_the_same_chance_whatever_the_others_do() -> None:
    book = account(items=1000, batch=50)
    batches = [each for epoch in range(20) for each in book.order(luck.generator_of(0, epoch))]
    sizes = np.array([len(each) for each in batches])
    assert sizes.mean() == pytest.approx(50, rel=0.05)
    assert sizes.var() == pytest.approx(1000 * 0.05 * 0.95, rel=0.25), "of a binomial count"
    assert all(len(each.unique()) == len(each) for each in batches)
    seen = torch.cat(batches).bincount(minlength=1000)
    assert int(seen.min()) > 0
    assert not torch.equal(batches[0], account(items=1000, batch=50).order(luck.generator_of(0, 0))[0])


def test_the_noise_spends_what_was_asked_for_and_not_more() -> None:
    for epsilon in (0.5, 3.0, 8.0):
        noise = noise_for(epsilon, 1e-5, 0.01, 500)
        book = RDPAccountant()
        book.history = [(noise, 0.01, 500)]
        assert 0.95 * epsilon <= book.get_epsilon(1e-5) <= epsilon
    assert noise_for(1.0, 1e-5, 0.01, 500) > noise_for(8.0, 1e-5, 0.01, 500)


def test_a_private_network_learns_and_tells_what_it_spent() -> None:
    trained = fit(private(epochs=8), table(800))
    spent = trained.run.privacy
    assert spent is not None
    assert 7.5 < spent.epsilon <= 8.0
    assert spent.delta == pytest.approx(1 / (2 * 560))
    assert spent.steps == 8 * -(-560 // 32)
    assert any("standard" in told for told in spent.told)
    assert (trained.predict(trained.part("test")) == trained.part("test").targets).mean() > 0.85


def test_a_run_that_ends_early_has_spent_less() -> None:
    class Enough(Nobody):
        def epoch(self, epoch: Any, is_best: bool) -> bool:
            return False

    spent = fit(private(epochs=8), table(300), watch=Enough()).run.privacy
    assert spent is not None
    assert spent.steps == -(-210 // 32)
    assert spent.epsilon < 7


def test_a_run_that_was_stopped_goes_on_exactly_and_spends_no_more(tmp_path: Path) -> None:
    """From one checkpoint: straight on, and with a further stop between, to the same weights."""
    made, data, stop = private("digits-conv2"), pictures(), threading.Event()
    with pytest.raises(Interrupted):
        fit(made, data, folder=tmp_path / "a", watch=StopsAfter(stop, 2), stop=stop)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    straight, again = fit(made, data, folder=tmp_path / "a"), threading.Event()
    with pytest.raises(Interrupted):
        fit(made, data, folder=tmp_path / "b", watch=StopsAfter(again, 4), stop=again)
    stopped = fit(made, data, folder=tmp_path / "b")
    assert torch.equal(weights(straight.network), weights(stopped.network))
    assert straight.run.privacy == stopped.run.privacy
    assert straight.run.privacy is not None
    assert straight.run.privacy.steps == 9
    assert straight.run.privacy.epsilon <= 8


def test_the_secret_is_gone_once_the_run_is_over_and_was_never_the_seed(tmp_path: Path) -> None:
    made, data, stop = private(), table(), threading.Event()
    with pytest.raises(Interrupted):
        fit(made, data, folder=tmp_path, watch=StopsAfter(stop, 2), stop=stop)
    assert len(checkpoint.read(tmp_path / CHECKPOINT)["beside"]["secret"]) == 2
    first = fit(made, data, folder=tmp_path)
    assert checkpoint.read(tmp_path / CHECKPOINT)["beside"]["secret"] is None
    assert fit(made, data, folder=tmp_path).run.privacy == first.run.privacy
    assert not torch.equal(weights(first.network), weights(fit(made, data).network)), "equal seeds, other noise"


def test_batch_normalisation_becomes_one_that_sees_single_items() -> None:
    network = make("digits-fast", ImageShape(height=28, width=28), 2)
    with torch.no_grad():
        network.features[1].weight.fill_(0.5)
    without_batch_norm(network)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules())
    assert float(network.features[1].weight[0].detach()) == 0.5
    pixels = torch.rand(4, 1, 28, 28)
    assert torch.allclose(network.train()(pixels)[:1], network(pixels[:1]), atol=1e-5)
    small = msgspec.structs.replace(private(epochs=1), network=Chosen(name="resnet", options={"width": 8}))
    spent = fit(small, pictures(60)).run.privacy
    assert spent is not None
    assert "20 batch normalisations became group normalisations" in spent.told[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"balance": Chosen(name="resample")}, "every item has the same chance"),
        ({"balance": Chosen(name="weights")}, "the same weight"),
        ({"loss": Chosen(name="cross-entropy", options={"weights": (1.0, 2.0)})}, "tie the items of a batch"),
        ({"augment": (Chosen(name="mixup"),)}, "none may be mixed"),
        ({"training": {"clip": 1.0}}, r"by \[privacy\] clip"),
        ({"training": {"precision": "bf16"}}, "full precision"),
        ({"network": Chosen(name="lstm")}, "recurrent layers"),
        ({"privacy": Privacy(epsilon=1e-3)}, "nothing is left to learn from"),
        ({"privacy": Privacy(delta=0.5)}, "be given away whole"),
    ],
)
def test_what_would_break_the_guarantee_is_refused(change: dict[str, Any], told: str) -> None:
    made, data = private("digits-conv2"), pictures()
    if change.get("network"):
        rng = np.random.default_rng(0)
        sequences = {"sequence": rng.normal(size=(len(data), 8, 2)).astype(np.float32)}
        data = dataclasses.replace(data, kind="sequences", inputs=sequences)
    if "training" in change:
        change = {"training": msgspec.structs.replace(made.training, **change["training"])}
    with pytest.raises(UsageError, match=told):
        fit(msgspec.structs.replace(made, **change), data)


@pytest.mark.parametrize("words", [{"epsilon": 0.0}, {"clip": -1.0}, {"delta": 1.5}])
def test_settings_that_make_no_sense_are_refused(words: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"\[privacy\]"):
        Privacy(**words)


RECIPE = """
[data]
source = "rows.csv"
target = "y"
[network]
name = "mlp"
width = 16
[training]
epochs = 3
[privacy]
epsilon = 8
"""


def test_what_was_spent_and_what_it_cost_is_told_everywhere(tmp_path: Path) -> None:
    rows = "\n".join(f"{x:.3f},{'yes' if x > 0 else 'no'}" for x in np.random.default_rng(0).normal(size=400))
    (tmp_path / "rows.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "r.toml").write_text(RECIPE)
    ran = run_in(tmp_path, "train", "r.toml", "--compare-privacy")
    assert ran.status == 0, ran.err
    spent = json.loads((tmp_path / "r-model" / "run.json").read_text())["privacy"]
    told = f"ε = {spent['epsilon']:.2f}"
    plain = f"without privacy: {spent['cost']['plain']['value']:.4f}"
    files = [(tmp_path / "r-model" / name).read_text() for name in ("README.md", "report.html")]
    places = [re.sub(r"\s+", " ", ran.out), *files]
    assert all(told in each and plain in each for each in places)
    assert [each.name for each in (tmp_path / "r-model-without-privacy").iterdir()] == [CHECKPOINT]
    (tmp_path / "plain.toml").write_text(RECIPE.partition("[privacy]")[0])
    refused = run_in(tmp_path, "train", "plain.toml", "--compare-privacy")
    assert refused.status == 2
    assert "the recipe is not private" in refused.err
    assert not (tmp_path / "plain-model").exists()
