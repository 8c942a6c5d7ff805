"""Weighing from Python: arrays, functions, torch modules; the words of the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import steelyard
from steelyard.assets import mnist_model, mnist_test
from steelyard.errors import DataError, InputError, UsageError


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        return arrays["x"][:600].astype(np.float32) / 255, arrays["y"][:600].astype(np.int64)


@pytest.fixture
def words(tmp_path: Path) -> dict[str, Any]:
    return {"out": tmp_path / "plan", "work": tmp_path / "work", "within": "12s", "quality_drop": "5%"}


def test_arrays_go_in_and_a_plan_with_a_report_comes_out(digits: tuple[Any, Any], words: dict[str, Any]) -> None:
    balance = steelyard.weigh(mnist_model(), digits, p95="5ms", **words)
    assert balance.plan.status == "met"
    assert balance.plan.requirements.latency is not None
    assert balance.plan.requirements.latency.bound_ms == 5
    assert steelyard.read_bundle(balance.bundle).plan.chosen == balance.plan.chosen
    assert "iframe" in balance._repr_html_()
    again = steelyard.decide(p99="8ms", work=words["work"])
    assert again.subject.key == balance.plan.subject.key


class Small(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.layers(x)
        return answers


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_torch_module_is_exported_verified_and_weighed(words: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = Small()
    x = torch.randn(600, 8)
    y = module(x).argmax(1)
    balance = steelyard.weigh(module, (x.numpy(), y.numpy()), **words)
    assert balance.plan.reference.quality.value == 1.0
    assert balance.plan.status == "met"


def test_a_function_is_named_for_the_child(
    tmp_path: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_digits.py").write_text(
        "import numpy as np\nfrom steelyard.assets import mnist_test\n"
        "def load():\n"
        "    with np.load(mnist_test(), allow_pickle=False) as arrays:\n"
        "        return arrays['x'][:400].astype('float32') / 255, arrays['y'][:400].astype('int64')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import my_digits  # type: ignore[import-not-found]

    assert steelyard.weigh(mnist_model(), my_digits.load, **words).plan.status == "met"
    del sys.modules["my_digits"]


def test_a_function_can_be_the_metric_when_other_processes_can_find_it() -> None:
    from steelyard.api import _settled

    assert _settled({"metric": swapped}) == {"metric": f"{__name__}:swapped"}
    with pytest.raises(UsageError, match="module of its own"):
        _settled({"metric": lambda answers, targets: 1.0})


def swapped(answers: Any, targets: Any) -> float:
    return float((answers.argmax(axis=1) == targets).mean())


def test_what_is_not_understood_is_refused(digits: tuple[Any, Any], words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="unknown setting 'speed'"):
        steelyard.weigh(mnist_model(), digits, speed="high", **words)
    with pytest.raises(DataError, match="got int"):
        steelyard.weigh(mnist_model(), 3, **words)
    with pytest.raises(DataError, match="data is a path"):
        steelyard.weigh(mnist_model(), lambda: digits, **words)
    with pytest.raises(DataError, match="Python objects"):
        steelyard.weigh(mnist_model(), {"x": np.array([{}])}, **words)
    with pytest.raises(InputError, match="only be weighed on arrays"):
        steelyard.weigh(Small(), "somewhere.txt", **words)
