"""`steelyard train` as a user runs it: from a recipe to a folder that can be weighed; wrong input is told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import Ran, run_here, run_in

RECIPE = """
name = "rows"
[data]
source = "rows.csv"
target = "y"
group = "who"
[network]
name = "mlp"
[optimiser]
name = "adamw"
rate = 0.02
[training]
epochs = 4
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(0)
    a, b, who = rng.normal(5, 2, 500), rng.normal(-1, 3, 500), rng.integers(0, 20, 500)
    rows = [f"{x:.3f},{y:.3f},{'yes' if x + y > 4 else 'no'},p{w}" for x, y, w in zip(a, b, who, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,y,who", *rows]) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def ran(place: Path) -> Ran:
    return run_here(place, "train", "recipe.toml", "--mlflow", "mlruns")


def test_it_tells_how_right_the_network_is_with_limits(ran: Ran) -> None:
    assert ran.status == 0, ran.err
    assert re.search(r"accuracy +0\.\d+  \(0\.\d+ to [01]\.\d+\)", ran.out)
    assert "epoch 4:" in ran.err
    assert "logged to MLflow" in ran.err


def test_all_that_belongs_to_it_lies_in_its_folder(place: Path, ran: Ran) -> None:
    folder = place / "rows-model"
    there = {each.name for each in folder.iterdir()}
    assert {"model.onnx", "README.md", "report.html", "run.json", "evaluation.json", "preparation.json"} <= there
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["classes"] == ["no", "yes"]
    assert evaluation["groups"]
    card = (folder / "README.md").read_text()
    assert f"{evaluation['accuracy']['value']:.4f}" in card
    page = (folder / "report.html").read_text()
    assert "What is taken for what" in page
    assert not re.search(r"https?:", page)


def test_the_folder_can_be_weighed(place: Path, ran: Ran) -> None:
    weighed = run_in(place / "rows-model", "weigh", "--p95", "20ms", "--within", "4s", "--quality-drop", "20%")
    assert weighed.status in (0, 3), weighed.err
    assert (place / "rows-model" / "steelyard-plan" / "plan.json").exists()


def test_the_same_command_again_learns_nothing_anew(place: Path, ran: Ran) -> None:
    again = run_here(place, "train", "recipe.toml", "--format", "json")
    assert again.status == 0, again.err
    assert "epoch" not in again.err
    assert len(again.json["run"]["epochs"]) == 4
    assert again.json["evaluation"] == json.loads((place / "rows-model" / "evaluation.json").read_text())


def test_other_settings_in_the_same_folder_are_refused_unless_it_begins_anew(place: Path, ran: Ran) -> None:
    refused = run_here(place, "train", "recipe.toml", "--set", "training.batch=16")
    assert refused.status == 2
    assert "--fresh" in refused.err
    copy = shutil.copytree(place / "rows-model", place / "other")
    fresh = run_here(place, "train", "recipe.toml", "--set", "training.batch=16", "--out", str(copy), "--fresh")
    assert fresh.status == 0, fresh.err
    assert "epoch 1:" in fresh.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.toml",), "there is no recipe missing.toml"),
        (("recipe.toml", "--set", "training.epoch=3"), "did you mean epochs"),
        (("recipe.toml", "--set", "epochs"), "--set takes KEY=VALUE"),
        (("recipe.toml", "--set", "network.name=mpl"), "did you mean mlp"),
        (("recipe.toml", "--set", "network.name=resnet"), "resnet takes images, the data are table"),
        (("recipe.toml", "--set", "data.target=z"), "'z'"),
        (("recipe.toml", "--set", "data.source=none.csv"), "there is no file or folder none.csv"),
        (("recipe.toml", "--set", "balance.name=odd"), "[balance] name is one of"),
        (("recipe.toml", "--set", "loss.name=mean-squared-error"), "use the loss cross-entropy"),
        (("recipe.toml", "--on", "slurm"), "--on names the Ray cluster"),
        (("recipe.toml", "--mlflow", "auto"), "MLFLOW_TRACKING_URI, which is not set"),
    ],
)
def test_what_is_wrong_is_told(place: Path, arguments: tuple[str, ...], told: str) -> None:
    ran = run_here(place, "train", *arguments, "--out", "never")
    assert ran.status == 2, ran.out
    assert told in re.sub(r"\s+", " ", ran.err)
    assert not (place / "never" / "model.onnx").exists()


def test_without_a_recipe_it_tells_what_there_is(place: Path) -> None:
    there = run_here(place, "train", "--format", "json").json
    assert "digits-conv2" in there["recipes"]
    assert "mnist" in there["data"]
    assert "resnet" in there["networks"]


def test_a_shipped_recipe_can_be_printed_to_begin_from(place: Path) -> None:
    shown = run_here(place, "train", "digits-conv2", "--show")
    assert shown.out.startswith("#")
    assert 'name = "mnist"' in shown.out
