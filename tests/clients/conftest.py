"""The environment of other makers' clients: the Makefile makes it, and `make test` does before it tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_networks
from command import run_in

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv" / "clients"
PATIENCE_S = 120

Checks = list[dict[str, Any]]
Asking = Callable[..., Checks]


@pytest.fixture(scope="session")
def clients() -> Path:
    """The environment's folder; a test that needs it is skipped where there is none, but never in CI."""
    if (ENVIRONMENT / "bin" / "perf_analyzer").is_file():
        return ENVIRONMENT
    message = "no environment with tritonclient: make .venv/clients.done"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def asking(clients: Path) -> Asking:
    """Runs a script of this folder under tritonclient's Python; what it checked, see `four_clients.run_all`."""

    def run(script: str, *arguments: object) -> Checks:
        done = run_quietly([str(clients / "bin" / "python"), "-m", f"clients.{script}", *map(str, arguments)])
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the bundle `plan`: the model `made_networks.two_inputs` as it is."""
    folder = tmp_path_factory.mktemp("bundle")
    made_networks.two_inputs(folder / "two.onnx")
    a, b = made_networks.normal(300, 8), made_networks.normal(300, 4, seed=1)
    labels = a @ made_networks.normal(8, 6) + b @ made_networks.normal(4, 6, seed=1)
    np.savez(folder / "two.npz", a=a, b=b, labels=labels)
    words = ("--data", "two.npz", "--metric", "cosine", "--output", "logits", "--scenario", "single")
    ran = run_in(folder, "weigh", "two.onnx", *words, "--priority", "quality", "--within", "1s", "--out", "plan")
    assert ran.status == 0, ran.err
    assert json.loads((folder / "plan" / "plan.json").read_text())["chosen"]["variant"] == "original"
    return folder


def run_quietly(command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """With nothing of this environment's Python in that of the clients."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=HERE.parent,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
