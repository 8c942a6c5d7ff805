"""Fixtures of the tests that run the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command import Run, run_in
from steelyard.assets import mnist_model, mnist_test


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
