"""A pair of adversarial networks: it learns, goes on exactly, is judged honestly, and comes out as ONNX."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from scipy.linalg import sqrtm

from command import run_in
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, Interrupted, UsageError
from steelyard.evaluation.samples import classifier_score, frechet_distance
from steelyard.networks.dcgan import Discriminator, Generator
from steelyard.networks.shapes import ImageShape
from steelyard.records.recipe import Chosen, DataChoice, Privacy, Recipe, Training
from steelyard.train.adversarial import Pair, fit_pair
from steelyard.train.fitting import CHECKPOINT
from steelyard.train.judging_samples import judge_for, judged
from steelyard.train.painting import export_generator
from training_here import StopsAfter, table

RNG = np.random.default_rng(0)


def bars(items: int = 240) -> Examples:
    """24 × 24 pixels; a bright bar lies, or stands, somewhere."""
    image, kind = RNG.integers(0, 20, (items, 24, 24, 1), dtype=np.uint8), np.arange(items) % 2
    for row, which in enumerate(kind):
        place = int(RNG.integers(4, 16))
        part = (slice(place, place + 4), slice(2, 22))
        image[(row, *(part if which else part[::-1]))] += 220
    return Examples("images", {"image": image}, kind.astype(np.int64), ("stands", "lies"))


def pair_recipe(**training: Any) -> Recipe:
    return Recipe(
        name="pair",
        data=DataChoice(own={"source": "given"}),
        network=Chosen(name="dcgan", options={"noise": 8, "width": 8}),
        loss=Chosen(name="adversarial"),
        optimiser=Chosen(name="adam", options={"rate": 2e-3, "betas": (0.5, 0.999)}),
        schedule=Chosen(name="constant"),
        training=Training(**({"epochs": 2, "batch": 32} | training)),
    )


@pytest.fixture(scope="module")
def trained() -> Pair:
    torch.set_num_threads(1)
    return fit_pair(pair_recipe(epochs=60), bars())


def weights(pair: Pair) -> torch.Tensor:
    return torch.cat([each.detach().reshape(-1) for each in pair.generator.parameters()])


def test_both_networks_keep_their_shapes_and_begin_as_the_paper_says() -> None:
    shape = ImageShape(height=28, width=28)
    generator, discriminator = Generator(shape, 10, noise=64), Discriminator(shape, 10)
    made = generator(torch.randn(3, 64), torch.tensor([0, 5, 9]))
    assert made.shape == (3, 1, 28, 28)
    assert float(made.detach().abs().max()) <= 1
    assert discriminator(made, torch.tensor([0, 5, 9])).shape == (3,)
    assert float(generator.project.weight.std().detach()) == pytest.approx(0.02, rel=0.05)
    assert not any(isinstance(each, torch.nn.MaxPool2d) for each in discriminator.modules())
    without = Generator(shape, 0, noise=4)
    noise, zeros = torch.randn(3, 4), torch.zeros(3, dtype=torch.int64)
    assert torch.equal(without(noise, zeros), without(noise, zeros + 1))
    with pytest.raises(UsageError, match="multiples of 4"):
        Generator(ImageShape(height=30, width=28))


def test_it_learns_to_make_what_it_is_asked_for(trained: Pair) -> None:
    asked = np.arange(200) % 2
    made = trained.sample(asked, seed=3).astype(float)[..., 0]
    assert made.shape == (200, 24, 24)
    # A bar that lies fills rows: rows differ more than columns.
    lies = made.mean(2).std(1) > made.mean(1).std(1)
    assert (lies == (asked == 1)).mean() > 0.8
    assert np.array_equal(trained.sample(asked[:5], seed=3), trained.sample(asked[:5], seed=3))


def test_samples_are_judged_beside_real_pictures_and_noise_is_worse(trained: Pair) -> None:
    judge = judge_for(trained, trained.data.raw.training)
    told = judged(trained, judge)
    assert told.judge_accuracy > 0.9
    assert told.real.items == told.made.items == len(trained.data.raw.test)
    assert told.real.distance < told.made.distance
    assert 1 <= told.made.score <= 2
    _, of_noise = judge.look(RNG.integers(0, 255, (48, 24, 24, 1), dtype=np.uint8))
    _, known = judge.look(trained.data.raw.training.inputs["image"])
    assert frechet_distance(of_noise, known) > told.made.distance


@pytest.mark.parametrize(("after", "average"), [(3, None), (6, 0.9)])
def test_a_run_that_was_stopped_goes_on_exactly(tmp_path: Path, after: int, average: float | None) -> None:
    made, data, stop = pair_recipe(average=average), bars(), threading.Event()
    with pytest.raises(Interrupted):
        fit_pair(made, data, folder=tmp_path, watch=StopsAfter(stop, after), stop=stop)
    assert (tmp_path / CHECKPOINT).is_file()
    whole, resumed = fit_pair(made, data), fit_pair(made, data, folder=tmp_path)
    assert torch.equal(weights(whole), weights(resumed))
    losses = [[each.generator_loss for each in pair.run.epochs] for pair in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1])
    with pytest.raises(DataError, match="belongs to another run"):
        fit_pair(pair_recipe(average=0.5), data, folder=tmp_path)


def test_the_saturating_form_learns_otherwise() -> None:
    data = bars(64)
    saturating = msgspec.structs.replace(
        pair_recipe(epochs=1), loss=Chosen(name="adversarial", options={"saturating": True})
    )
    assert not torch.equal(weights(fit_pair(pair_recipe(epochs=1), data)), weights(fit_pair(saturating, data)))


def test_the_file_makes_the_same_pictures(trained: Pair, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(export_generator(trained, tmp_path), providers=["CPUExecutionProvider"])
    noise, classes = torch.randn(5, 8), torch.tensor([0, 1, 0, 1, 1])
    found = session.run(None, {"noise": noise.numpy(), "class": classes.numpy()})[0]
    with torch.no_grad():
        expected = (trained.generator(noise, classes).permute(0, 2, 3, 1) + 1) * 127.5
    assert np.allclose(found, expected.numpy(), atol=0.05)


def test_the_classifier_score_is_that_of_its_formula() -> None:
    sure = np.eye(4).repeat(5, 0)
    assert classifier_score(sure) == pytest.approx(4.0)
    assert classifier_score(np.full((8, 4), 0.25)) == pytest.approx(1.0)
    assert classifier_score(np.array([[1.0, 0.0]] * 9)) == pytest.approx(1.0), "all of one class"
    first = 0.8 * np.log(0.8 / 0.6) + 0.2 * np.log(0.2 / 0.4)
    second = 0.4 * np.log(0.4 / 0.6) + 0.6 * np.log(0.6 / 0.4)
    assert classifier_score(np.array([[0.8, 0.2], [0.4, 0.6]])) == pytest.approx(np.exp((first + second) / 2))


def test_the_frechet_distance_is_that_of_its_formula() -> None:
    one, other = RNG.normal(size=(400, 5)), RNG.normal(1, 2, size=(300, 5)) @ RNG.normal(size=(5, 5))
    root = sqrtm(np.cov(one.T) @ np.cov(other.T)).real
    by_hand = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(np.cov(one.T) + np.cov(other.T) - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(by_hand, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    shifted = one + np.array([3.0, 0, 0, 0, 0])
    assert frechet_distance(one, shifted) == pytest.approx(9.0, rel=1e-6)
    with pytest.raises(DataError, match="two items"):
        frechet_distance(one[:1], other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"privacy": Privacy()}, r"\[privacy\] means nothing"),
        ({"augment": (Chosen(name="flip"),)}, "augment"),
        ({"training": Training(patience=3)}, r"\[training\] patience"),
        ({"loss": Chosen(name="cross-entropy")}, r"\[loss\]"),
        ({"network": Chosen(name="dcgan", options={"widht": 3})}, "no option 'widht'"),
    ],
)
def test_what_means_nothing_to_a_pair_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fit_pair(msgspec.structs.replace(pair_recipe(), **change), bars(40))


def test_only_pictures_are_made() -> None:
    with pytest.raises(DataError, match="the data are table"):
        fit_pair(pair_recipe(), table())


RECIPE = """
name = "bars"
[data]
source = "bars.npz"
[network]
name = "dcgan"
noise = 8
width = 8
[optimiser]
name = "adam"
rate = 2e-3
betas = [0.5, 0.999]
[training]
epochs = 2
batch = 32
"""


def test_from_the_command_line_comes_a_folder_with_samples_and_figures(tmp_path: Path) -> None:
    data = bars(320)
    np.savez(tmp_path / "bars.npz", image=data.inputs["image"][..., 0], labels=data.targets)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    refused = run_in(tmp_path, "train", "recipe.toml", "--weigh")
    assert refused.status == 2
    assert "--weigh is for networks that answer" in refused.err
    ran = run_in(tmp_path, "train", "recipe.toml")
    assert ran.status == 0, ran.err
    assert "Fréchet distance: " in ran.out
    there = {each.name for each in (tmp_path / "bars-model").iterdir()}
    assert {"model.onnx", "run.json", "README.md", "report.html", CHECKPOINT} <= there
    page = (tmp_path / "bars-model" / "report.html").read_text()
    assert page.count('alt="made: ') == 20
    assert not re.search(r"https?:", page)
