"""The examples run, with less data and time than a reader would give them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def run(place: Path, name: str, arguments: str = "") -> str:
    program = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import {name}; {name}.main({arguments})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_weigh_mnist_and_decide_again(place: Path) -> None:
    told = run(place, "weigh_mnist", 'limit=500, within="20s"')
    assert told.startswith("met: Run ")
    assert sum(" chosen " in line for line in told.splitlines()) == 1
    assert (place / "mnist-plan" / "report.html").is_file()
    decided = run(place, "decide_again").splitlines()
    assert len(decided) == 5
    replicas = [int(line.split()[1].replace(",", "")) for line in decided[1:]]
    assert replicas == sorted(replicas)
    assert replicas[-1] > replicas[0]


def test_weigh_torch_module(place: Path) -> None:
    pytest.importorskip("torch")
    told = run(place, "weigh_torch_module", 'within="20s"')
    assert told.startswith("met: Run ")
    assert "the drop is at most" in told
    assert (place / "torch-plan" / "plan.json").is_file()


def test_weigh_sklearn(place: Path) -> None:
    pytest.importorskip("skl2onnx")
    told = run(place, "weigh_sklearn", 'within="8s"')
    assert told.startswith("met: Run ")
    assert float(told.split()[-1]) > 0.9
    assert (place / "sklearn-plan" / "plan.json").is_file()


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) < 40
