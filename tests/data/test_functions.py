from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.errors import DataError
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]

MODULE = """
import numpy as np

rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")

class Tensor:
    def detach(self): ...

def both(): return rows, np.arange(20)
def listed(): return rows, [str(n % 2) for n in range(20)]
def inputs_only(): return rows
def no_labels(): return rows, None
def named(): return {"x": rows, "y": np.arange(20)}
def two(): return {"b": rows, "a": -rows}, np.arange(20)
def nothing(): return None
def three(): return rows, rows, rows
def lists(): return rows.tolist()
def tensor(): return Tensor(), np.arange(20)
def tensors(): return {"x": Tensor()}
def objects(): return np.array([{}], dtype=object)
def bad_labels(): return rows, 3
def raises():
    return {}["missing"]
def inner(): return np.zeros((2, 3)).reshape(7)
def exits(): raise SystemExit("no data today")
number = 3
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the user's own modules; the tests stand in it, as users do."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mydata.py").write_text(MODULE)
    (tmp_path / "own" / "mybroken.py").write_text("x = 1\ny = (\n")
    (tmp_path / "own" / "myimport.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "own" / "myfault.py").write_text("def f(): pass\nvalue = 1 / 0\n")
    monkeypatch.chdir(tmp_path / "own")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("mydata", "mybroken", "myimport", "myfault"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["both", "named"])
def test_inputs_and_labels(prepared: Prepare, features: TensorInfo, twenty: Any, name: str) -> None:
    outcome = prepared(f"mydata:{name}", features, outputs=20)
    rows = sys.modules["mydata"].rows
    assert outcome.x.tolist() == rows[outcome.labels].tolist()
    assert outcome.prepared.source == f"mydata:{name}"


def test_a_list_of_words(prepared: Prepare, features: TensorInfo) -> None:
    outcome = prepared("mydata:listed", features, classes=("1", "0"))
    rows = sys.modules["mydata"].rows.tolist()
    assert outcome.labels.tolist() == [1 - rows.index(row) % 2 for row in outcome.x.tolist()]


@pytest.mark.parametrize("name", ["inputs_only", "no_labels"])
def test_inputs_only(prepared: Prepare, features: TensorInfo, name: str) -> None:
    assert prepared(f"mydata:{name}", features).labels is None


def test_several_inputs(prepared: Prepare) -> None:
    info = [TensorInfo(name=name, dtype="float32", shape=(None, 4)) for name in ("a", "b")]
    outcome = prepared("mydata:two", info)
    assert (outcome.judging["a"] == -outcome.judging["b"]).all()
    with pytest.raises(DataError, match="returned one array, the model takes 2 inputs") as caught:
        prepared("mydata:both", info)
    assert "a dict with the arrays a, b" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("nothing", "returned None", "return inputs, or"),
        ("three", r"a tuple of 3 \(ndarray, ndarray, ndarray\)", "return inputs, or"),
        ("lists", "returned a builtins.list", "return inputs, or"),
        ("tensor", r"returned a mydata\.Tensor", "x.detach().cpu().numpy()"),
        ("tensors", "returned a dict of {x: Tensor}", "x.detach().cpu().numpy()"),
        ("objects", "an array of Python objects", "np.stack"),
        ("bad_labels", "a builtins.int for the labels", "labels a numpy array"),
        ("raises", r"raised KeyError: 'missing' \(.*mydata.py, line 23: return {}\[.missing.\]\)", "your own code"),
        ("inner", r"raised ValueError: cannot reshape .*mydata.py, line 24", "your own code"),
        ("exits", "raised SystemExit: no data today", "your own code"),
        ("number", "has a int named 'number', expected a function", ""),
        ("none", "has nothing named 'none', expected a function", ""),
    ],
)
def test_what_goes_wrong(prepared: Prepare, features: TensorInfo, name: str, message: str, hint: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        prepared(f"mydata:{name}", features)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mynowhere:f", "there is no module 'mynowhere'"),
        ("mydata.inner:f", "there is no module 'mydata.inner'|raised ModuleNotFoundError"),
        ("mybroken:f", r"raised SyntaxError: .*mybroken.py, line 2"),
        ("myimport:f", r"raised ModuleNotFoundError: No module named 'nowhere_to_be_found' \(.*myimport.py, line 1"),
        ("myfault:f", r"raised ZeroDivisionError: division by zero \(.*myfault.py, line 2: value = 1 / 0\)"),
    ],
)
def test_modules_that_cannot_be_imported(prepared: Prepare, features: TensorInfo, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        prepared(source, features)
    assert ("PYTHONPATH" in caught.value.hint) == ("there is no module" in caught.value.message)
