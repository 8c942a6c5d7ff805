"""The public names: explicit, sorted, reachable; and importing the package costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import steelyard

HEAVY = ("numpy", "onnx", "onnxruntime", "openvino", "nncf", "torch", "sqlalchemy", "jinja2", "scipy", "rich", "PIL")


def test_names_are_sorted_and_all_can_be_reached() -> None:
    assert steelyard.__all__ == sorted(steelyard.__all__, key=lambda name: (name[0].islower(), name))
    assert set(steelyard.__all__) == set(steelyard._HOME)
    for name in steelyard.__all__:
        assert getattr(steelyard, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        steelyard.nonsense  # noqa: B018


@pytest.mark.parametrize("what", ["import steelyard", "import steelyard.train", "from steelyard.cli.main import app"])
def test_importing_loads_nothing_heavy(what: str) -> None:
    script = f"import sys\n{what}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.strip()
    assert loaded in ("[]", "['rich']"), loaded


def test_training_has_its_names() -> None:
    pytest.importorskip("torch")
    import steelyard.train

    for name in steelyard.train.__all__:
        assert callable(getattr(steelyard.train, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        steelyard.train.nonsense  # noqa: B018


def test_deciding_loads_no_engine() -> None:
    engines = ("onnx", "onnxruntime", "openvino", "nncf", "torch")
    script = f"import sys, steelyard.cli.run\nprint([n for n in {engines!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
