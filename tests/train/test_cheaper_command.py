"""`steelyard train --cheaper`: what it leaves in the folder, that it goes on, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from command import run_here

RECIPE = """
[data]
source = "table.csv"
target = "moved"
[network]
name = "mlp"
width = 32
[optimiser]
name = "adamw"
rate = 0.02
[training]
epochs = 4
batch = 32
[cheaper.distil]
network = { name = "mlp", width = 8 }
epochs = 3
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table whose two columns tell the class, and a recipe."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 2))
    lines = [f"{a:.4f},{b:.4f},{('no', 'yes')[int(a + b > 0)]}" for a, b in rows]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,moved", *lines]))
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


def test_it_leaves_files_that_weighing_finds_and_goes_on(place: Path) -> None:
    done = run_here(place, "train", "small.toml", "--cheaper", "prune,quantise", "--format", "json")
    assert done.status == 0, done.err
    assert set(done.json["cheaper"]) == {"distilled", "pruned", "quantised"}
    assert done.json["cheaper"]["distilled"]["run"]["parameters"] < done.json["run"]["parameters"]
    folder = place / "small-model"
    settings = tomllib.loads((folder / "steelyard.toml").read_text())
    assert settings["variants"] == {name: f"{name}.onnx" for name in ("distilled", "pruned", "quantised")}
    assert set(json.loads((folder / "cheaper.json").read_text())) == set(settings["variants"])
    shown = run_here(folder, "config", "--show", "--format", "json").json
    assert shown["variants"]["value"] == settings["variants"]
    again = run_here(place, "train", "small.toml", "--cheaper", "prune")
    assert again.status == 0, again.err
    assert "epoch" not in again.err, "nothing is trained twice"
    assert "distilled" in again.out
    assert "pruned" in again.out
    assert set(tomllib.loads((folder / "steelyard.toml").read_text())["variants"]) == {"distilled", "pruned"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cheaper", "shrink"), "there is no way 'shrink' to a cheaper network"),
        (("--cheaper", "prune", "--set", "cheaper.prune.keep=1.5"), "keep lies between 0 and 1, got 1.5"),
        (("--set", "cheaper.prune.kep=0.5"), "has an unknown setting [cheaper.prune] kep"),
        (("--cheaper", "prune", "--on", "ray"), "cheaper networks are trained by one process"),
    ],
)
def test_what_will_not_do_is_told_before_anything_is_trained(
    place: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run_here(place, "train", "small.toml", *arguments)
    assert done.status == 2
    assert told in " ".join(done.err.split())
    assert not (place / "small-model").exists()
