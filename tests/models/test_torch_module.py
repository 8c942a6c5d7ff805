"""A torch module becomes an ONNX file that gives its answers, or no file at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from steelyard.errors import ModelError
from steelyard.models import torch_cases, torch_module
from steelyard.models.inspect import inspect
from steelyard.models.torch_module import export_module


class Convolutions(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 3)

    def forward(self, image: torch.Tensor) -> Any:
        return self.head(self.body(image).mean((2, 3)))


class Recurrent(nn.Module):  # type: ignore[misc]
    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.cells = kind(5, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, steps: torch.Tensor) -> Any:
        return self.head(self.cells(steps)[0][:, -1])


class Pair(nn.Module):  # type: ignore[misc]
    def forward(self, left: torch.Tensor, *more: torch.Tensor) -> dict[str, Any]:
        return {"sum": left + more[0], "more": (left > 0, [more[1] * 2])}


class AloneIsDifferent(nn.Module):  # type: ignore[misc]
    """A batch of one takes another path: a trace knows only one of the two."""

    def forward(self, x: torch.Tensor) -> Any:
        return x * 2 if x.shape[0] == 1 else x * 3


class OneSizeOnly(nn.Module):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> Any:
        return x.reshape(2, 3) * 2


def rows(path: Path, name: str, value: np.ndarray[Any, Any]) -> Any:
    return onnxruntime.InferenceSession(str(path)).run(None, {name: value})


def test_convolutions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Convolutions()
    module.body[1].eval()
    flags = [part.training for part in module.modules()]
    path = export_module(module, torch.zeros(1, 1, 8, 8), tmp_path / "net.onnx")
    assert path == tmp_path / "net.onnx"
    assert [part.training for part in module.modules()] == flags
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"], "nothing else is left behind"
    info = inspect({"path": str(path)})
    assert [(each.name, each.shape) for each in info.inputs] == [("image", (None, 1, 8, 8))]
    assert [(each.name, each.shape) for each in info.outputs] == [("output", (None, 3))]
    images = torch.randn(7, 1, 8, 8)
    (answers,) = rows(path, "image", images.numpy())
    np.testing.assert_allclose(answers, module.eval()(images).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.RNN])
def test_recurrent_layers_take_any_batch_and_length(kind: Callable[..., nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Recurrent(kind)
    path = export_module(
        module, torch.randn(2, 7, 5), tmp_path / "net.onnx", input_names=["x"], dynamic_shapes={"x": {1: "time"}}
    )
    assert inspect({"path": str(path)}).inputs[0].shape == (None, None, 5)
    steps = torch.randn(4, 11, 5)
    (answers,) = rows(path, "x", steps.numpy())
    np.testing.assert_allclose(answers, module(steps).detach().numpy(), atol=1e-5)
    assert module.training


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    path = export_module(Pair(), tuple(torch.randn(2, 3) for _ in range(3)), tmp_path / "pair.onnx")
    info = inspect({"path": str(path)})
    assert [each.name for each in info.inputs] == ["left", "input_1", "input_2"]
    assert [each.dtype for each in info.outputs] == ["float32", "bool", "float32"]


def test_a_fixed_batch(tmp_path: Path) -> None:
    path = export_module(OneSizeOnly(), torch.randn(2, 3), tmp_path / "one.onnx", dynamic_batch=False)
    assert inspect({"path": str(path)}).fixed_batch == 2


def test_an_export_that_disagrees_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not be exported to ONNX with its answers kept") as caught:
        export_module(AloneIsDifferent(), torch.randn(2, 3), tmp_path / "net.onnx")
    assert "current exporter" in caught.value.message
    assert "older exporter" in caught.value.message
    assert "a batch of" in caught.value.message
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_verified_before_it_replaces_another(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("what was there")
    with pytest.raises(ModelError):
        export_module(AloneIsDifferent(), torch.randn(2, 3), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_text() == "what was there"


def test_every_size_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    compare = torch_cases._compare

    def spy(answers: Any, case: torch_cases.Case) -> None:
        seen.append(case.inputs[0].shape)
        compare(answers, case)

    monkeypatch.setattr(torch_cases, "_compare", spy)
    export_module(nn.ReLU(), torch.randn(2, 8), tmp_path / "net.onnx", dynamic_shapes={"input": {1: "width"}})
    assert seen == [(2, 8), (2, 8), (1, 8), (3, 8), (2, 4)]


def test_too_far_from_the_modules_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = torch_module._by_dynamo

    def sloppy(order: Any, file: Path) -> None:
        with torch.no_grad():
            order.module.weight += 0.01
        honest(order, file)
        with torch.no_grad():
            order.module.weight -= 0.01

    monkeypatch.setattr(torch_module, "_by_dynamo", sloppy)
    monkeypatch.setattr(torch_module, "_by_tracing", sloppy)
    with pytest.raises(ModelError, match=r"from the module's; 0\.0001 is allowed"):
        export_module(nn.Linear(3, 2), torch.ones(2, 3) / 10, tmp_path / "net.onnx")


def test_a_module_that_takes_one_batch_size_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="module itself fails with a batch of 1") as caught:
        export_module(OneSizeOnly(), torch.randn(2, 3), tmp_path / "net.onnx")
    assert "dynamic_batch=False" in caught.value.hint


@pytest.mark.parametrize(
    ("module", "examples", "more", "message"),
    [
        ("no module", torch.ones(1), {}, "expected a torch.nn.Module, got str"),
        (nn.ReLU(), np.ones(3), {}, "expected a tensor or a tuple of tensors"),
        (nn.ReLU(), (np.ones(3),), {}, "expected tensors as example inputs"),
        (nn.ReLU(), (), {}, "at least one example input"),
        (nn.ReLU(), torch.ones(2, dtype=torch.bfloat16), {}, "bfloat16"),
        (nn.ReLU(), torch.ones(2), {"input_names": ["a", "b"]}, "expected 1 different input names"),
        (nn.ReLU(), torch.ones(2), {"dynamic_shapes": {"z": {0: "n"}}}, "no inputs"),
        (nn.ReLU(), torch.ones(2), {"dynamic_shapes": {"input": {3: "n"}}}, "an axis that the example lacks"),
        (nn.Bilinear(2, 2, 1), (torch.ones(2, 2), torch.ones(3, 2)), {}, "disagree on 'batch': 2 and 3"),
        (nn.Linear(3, 2), torch.ones(2, 4), {}, "the module itself fails with the example inputs"),
    ],
)
def test_mistakes_are_told(module: Any, examples: Any, more: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        export_module(module, examples, tmp_path / "net.onnx", **more)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        export_module(nn.ReLU(), torch.ones(1, 2), tmp_path / "nowhere" / "net.onnx")
