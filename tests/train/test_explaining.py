"""What a network looks at: attributions add up, find what matters by construction, and stand in the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from command import run_in
from steelyard.datasets.examples import Examples
from steelyard.records.recipe import Chosen, Recipe
from steelyard.report.looking import looked_at
from steelyard.train.entries import entry_of
from steelyard.train.explained import Explanation
from steelyard.train.explaining import CLOSE, explain
from steelyard.train.fitting import fit
from steelyard.train.trained import Trained
from training_here import pictures, recipe, table

RNG = np.random.default_rng(0)


def sequences() -> Examples:
    """The first channel alone tells the class, in its first four steps."""
    values = RNG.normal(size=(240, 12, 2)).astype(np.float32)
    return Examples("sequences", {"sequence": values}, (values[:, :4, 0].sum(1) > 0).astype(np.int64), ("low", "high"))


def texts() -> Examples:
    """One word of each text tells the class."""
    kinds = np.arange(160) % 2
    rest = ["the", "a", "cat", "dog", "sat", "on", "mat"]
    lines = [" ".join([*RNG.permutation(rest)[:4], ("good", "bad")[kind]]) for kind in kinds]
    return Examples("text", {"text": np.array(lines, object)}, kinds, ("good", "bad"))


def towns() -> Examples:
    """A column of words tells the class, a column of numbers nothing."""
    place = np.arange(400) % 3
    towns = np.array(["oslo", "rome", "bern"], object)[place]
    noise = RNG.normal(size=400).astype(np.float32)
    return Examples("table", {"noise": noise, "town": towns}, (place == 0).astype(np.int64), ("no", "yes"))


def with_steps(made: Recipe, *names: str) -> Recipe:
    return msgspec.structs.replace(made, prepare=tuple(Chosen(name=name) for name in names))


CASES: dict[str, tuple[Recipe, Any]] = {
    "images": (recipe("digits-conv2"), pictures),
    "batch-norm": (msgspec.structs.replace(recipe(), network=Chosen(name="resnet", options={"width": 8})), pictures),
    "table": (recipe(), table),
    "embedded": (with_steps(recipe(epochs=6), "missing", "ordinal", "standard"), towns),
    "one-hot": (with_steps(recipe(epochs=6), "missing", "one-hot", "standard"), towns),
    "sequences": (recipe("gru", epochs=6), sequences),
    "text": (recipe("transformer", epochs=4), texts),
    "values": (recipe(), lambda: Examples("table", {"x": (x := RNG.normal(size=200).astype(np.float32))}, x * 3)),
}


def explained(case: str) -> tuple[Trained, Explanation]:
    made, data = CASES[case]
    trained = fit(made, data())
    return trained, explain(trained, trained.evaluate())


@pytest.mark.parametrize("case", CASES)
def test_what_all_parts_add_is_the_difference_of_the_outputs(case: str) -> None:
    trained, found = explained(case)
    assert found.items
    assert found.gap <= CLOSE
    for item in found.items:
        raw = trained.part("test").take([item.row])
        column = trained.classes.index(item.told) if trained.classes else 0
        reached = float(trained.outputs(raw)[0, column]) - float(item.added.sum())
        # What is left is the output of the baseline: the same for all items with the same answer.
        others = [one for one in found.items if one.told == item.told]
        assert case in ("text", "values") or np.allclose(
            [float(trained.outputs(trained.part("test").take([one.row]))[0, column]) - float(one.added.sum())
             for one in others], reached, atol=0.05 + 0.05 * abs(reached),
        )  # fmt: skip


def test_a_linear_network_is_explained_exactly() -> None:
    linear = torch.nn.Linear(3, 2)
    entry = entry_of(linear, (torch.tensor([[1.0, 2.0, 3.0]]),), (torch.zeros(4, 3),))
    from steelyard.train.explaining import _walked

    added, gaps = _walked(entry, torch.tensor([1]))
    assert torch.allclose(added[0][0], linear.weight[1].detach() * torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)
    assert gaps[0] < 1e-4


@pytest.mark.parametrize("case", ["embedded", "one-hot"])
def test_the_column_that_tells_the_class_weighs_most(case: str) -> None:
    _, found = explained(case)
    weights = dict(zip(found.names, found.weights, strict=True))
    assert weights["town"] > 3 * weights["noise"]


def test_the_steps_and_the_channel_that_tell_the_class_add_most() -> None:
    _, found = explained("sequences")
    added = np.abs([item.added for item in found.items]).mean(0)
    assert added.shape == (12, 2)
    assert added[:4, 0].sum() > 0.5 * added.sum()


def test_the_word_that_tells_the_class_adds_most() -> None:
    _, found = explained("text")
    right = [item for item in found.items if item.is_right]
    assert right
    for item in right:
        words = {name: float(added) for name, added in zip(item.names, item.added, strict=True) if name.isalpha()}
        assert max(words, key=words.__getitem__) == item.truth


def test_grad_cam_is_a_picture_and_the_network_stays_as_it_was() -> None:
    made, data = CASES["batch-norm"]
    trained = fit(made, data())
    before = trained.outputs(trained.part("test"))
    first, again = (explain(trained, trained.evaluate()) for _ in range(2))
    assert first.layer == "stages.7.residual.3"
    assert all(item.seen is not None and item.seen.shape == (20, 20) for item in first.items)
    assert all(np.array_equal(a.added, b.added) for a, b in zip(first.items, again.items, strict=True))
    assert np.array_equal(before, trained.outputs(trained.part("test")))
    assert all(not module._forward_hooks for module in trained.network.modules())


@pytest.mark.parametrize("case", ["images", "table", "sequences", "text"])
def test_every_kind_can_be_shown(case: str) -> None:
    trained, found = explained(case)
    looks = looked_at(found, trained.part("test").inputs)
    shown = {"images": "seen", "table": "bars", "sequences": "strips", "text": "words"}[case]
    assert all(getattr(item, shown) for item in looks.items)
    assert all(bar.share <= 1 for item in looks.items for bar in (*item.bars, *item.words))
    assert bool(looks.columns) == (case == "table")


def test_the_report_shows_it_when_asked(tmp_path: Path) -> None:
    rows = "\n".join(f"{x:.3f},{'yes' if x > 0 else 'no'}" for x in RNG.normal(size=200))
    (tmp_path / "rows.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "r.toml").write_text(
        '[data]\nsource = "rows.csv"\ntarget = "y"\n[network]\nname = "mlp"\n[training]\nepochs = 2\n'
    )
    ran = run_in(tmp_path, "train", "r.toml")
    assert ran.status == 0, ran.err
    assert "What it looks at" not in (tmp_path / "r-model" / "report.html").read_text()
    ran = run_in(tmp_path, "train", "r.toml", "--explain")
    assert ran.status == 0, ran.err
    assert "epoch" not in ran.err, "nothing is learnt anew"
    page = (tmp_path / "r-model" / "report.html").read_text()
    assert "What it looks at" in page
    assert re.search(r"off by at most \d\.?\d*%", page)
