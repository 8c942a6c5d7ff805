"""Two processes under torchrun make the steps that one makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = """
import os
import sys
import msgspec
import numpy as np
import torch
from steelyard.records.recipe import Chosen
from training_here import recipe, table
from steelyard.train.fitting import fit
made = recipe(epochs=2, batch=30)
made = msgspec.structs.replace(made, network=Chosen(name="mlp", options={"dropout": 0.0}))
trained = fit(made, table())
if os.environ.get("RANK", "0") == "0":
    np.save(sys.argv[1], torch.cat([each.detach().reshape(-1) for each in trained.network.parameters()]).numpy())
    print("processes", trained.run.processes)
"""


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(folder: Path, name: str, *launcher: str) -> str:
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(folder / "script.py"), str(folder / name)],
        env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    run(tmp_path, "one.npy", sys.executable)
    told = run(tmp_path, "two.npy", *TORCHRUN)
    assert "processes 2" in told
    assert np.allclose(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"), atol=1e-4)
