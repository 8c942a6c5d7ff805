"""Steelyard as its users meet it: a command, an exit status, what is printed, and the files it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.assets import mnist_model, mnist_test

COMMAND = [sys.executable, "-m", "steelyard.cli.main"]


@dataclass(frozen=True)
class Ran:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_in(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run `steelyard ARGUMENTS` in a folder; a traceback is never acceptable."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


Run = Callable[..., Ran]


@pytest.fixture
def steelyard(tmp_path: Path) -> Run:
    """Runs the command in a folder of the test's own."""
    return lambda *arguments, **environment: run_in(tmp_path, *arguments, **environment)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped digits as floats, ready for the shipped network: x float32 [10000, 1, 28, 28], y."""
    place = tmp_path_factory.mktemp("digits") / "digits.npz"
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        np.savez(place, x=arrays["x"].astype(np.float32) / 255, y=arrays["y"].astype(np.int64))
    return place


@pytest.fixture(scope="session")
def few_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand of them, for what needs no proof."""
    place = tmp_path_factory.mktemp("few") / "few.npz"
    with np.load(digits, allow_pickle=False) as arrays:
        np.savez(place, x=arrays["x"][:1000], y=arrays["y"][:1000])
    return place


@pytest.fixture(scope="session")
def model() -> str:
    return str(mnist_model())
