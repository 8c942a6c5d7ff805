"""The environment of other makers' clients: the Makefile makes it, and `make test` does before it tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import made_bundles

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
    made_bundles.two_inputs(folder)
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
