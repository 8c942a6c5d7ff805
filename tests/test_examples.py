"""The examples run, with less data and time than a reader would give them."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def program(name: str, arguments: str) -> str:
    return f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import {name}; {name}.main({arguments})"


def run(place: Path, name: str, arguments: str = "") -> str:
    command = [sys.executable, "-c", program(name, arguments)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=500, check=False)
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
    pytest.importorskip("fastapi")
    check_mounted(place)


def check_mounted(place: Path) -> None:
    """A server on a port that was free, from its start to its end."""
    command = [sys.executable, "-c", program("mount_in_fastapi", "port=0")]
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            told = next(line for line in running.stderr if "http://" in line or not line)
            at = told[told.index("http://") :].split()[0]
            for path, expected in (
                ("/", b"/models/v2/models"),
                ("/models/v2/models", b"mnist_cnn"),
                ("/models/live", b"<html"),
            ):
                with urllib.request.urlopen(f"{at}{path}", timeout=60) as answer:  # noqa: S310
                    assert expected in answer.read()
        finally:
            running.terminate()
        assert "Application shutdown complete" in running.stderr.read()


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


def test_keras_mnist(place: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("keras") is None:
        pytest.skip("needs the extra keras")
    monkeypatch.setenv("STEELYARD_DATA", str(mirror))
    told = run(place, "keras_mnist", 'items=1_500, epochs=2, within="6s"').splitlines()
    assert told[-2].startswith("met: Run ")
    assert float(told[-1].split()[-1]) > 0.6
    assert (place / "keras-plan" / "plan.json").is_file()


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) < 40
