"""Two processes, under torchrun or on two nodes of Ray, make the steps that one makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from steelyard.records.base import from_json
from steelyard.records.training import Run
from steelyard.train import checkpoint, fit, recipes
from steelyard.train.fitting import CHECKPOINT

RECIPE = """
name = "rows"
[data]
source = "rows.csv"
target = "y"
[network]
name = "mlp"
dropout = 0.0
[training]
epochs = 2
batch = 30
"""
TRAIN = ("-m", "steelyard.cli.main", "train", "recipe.toml")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [f"{n % 7},{n % 11},{'yes' if n % 7 + n % 11 > 8 else 'no'}" for n in range(300)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y", *rows]))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return tmp_path


def run(*command: str) -> str:
    done = subprocess.run([*command], env=os.environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def weights(folder: Path) -> torch.Tensor:
    kept = checkpoint.read(folder / CHECKPOINT)["best"]
    return torch.cat([value.reshape(-1) for value in kept.values()])


@pytest.mark.slow
def test_two_processes_learn_what_one_does(place: Path, request: pytest.FixtureRequest) -> None:
    """Ray alone takes ten seconds to start two nodes and two processes."""
    fit(recipes.read("recipe.toml"), folder=place / "one")
    assert_told_once(run(*TORCHRUN, *TRAIN, "--out", "two"), place / "two")
    assert torch.allclose(weights(place / "one"), weights(place / "two"), atol=1e-4)
    pytest.importorskip("ray", reason="needs the extra ray")
    beside_nodes = (sys.executable, str(Path(__file__).with_name("on_two_nodes.py")))
    assert_told_once(run(*request.getfixturevalue("alone"), *beside_nodes, *TRAIN, "--out", "ray"), place / "ray")
    assert torch.equal(weights(place / "two"), weights(place / "ray"))


def assert_told_once(told: str, folder: Path) -> None:
    """Of two processes, one tells and writes."""
    assert told.count("of the test") == 1
    assert from_json((folder / "run.json").read_bytes(), Run).processes == 2
