"""The operators against the cases that the ONNX standard itself is tested with, and whole networks against modules."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session

torch = pytest.importorskip("torch", reason="torch is not installed")
onnx = pytest.importorskip("onnx")

WIDTHS_TORCH_LACKS = ("uint16", "uint32", "uint64", "bfloat16", "_bf16_", "_string")
TOLERANCE = {np.dtype(np.float16): 5e-3}


def standard_cases() -> Iterator[Any]:
    from onnx.backend.test.case.node import collect_testcases

    from steelyard.runtimes.torch_operators import OPERATORS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow and divide by zero on purpose
        cases = collect_testcases(None)
    for case in cases:
        graph = case.model.graph
        plain = all(value.type.HasField("tensor_type") for value in (*graph.input, *graph.output))
        known = {node.op_type for node in graph.node} <= {*OPERATORS, "Constant"}
        if plain and known and not any(width in case.name for width in WIDTHS_TORCH_LACKS):
            yield case


def as_array(value: Any) -> Array:
    return np.asarray(onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value)


def with_constants(case: Any, feeds: dict[str, Array]) -> tuple[Any, dict[str, Array]]:
    """The case's model with all inputs but the first stored in it, as weights are."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    first, *others = feeds
    model.graph.initializer.extend(onnx.numpy_helper.from_array(feeds[name], name) for name in others)
    del model.graph.input[1:]
    return model, {first: feeds[first]}


def outcome(model: Any, feeds: Mapping[str, Array], expected: list[Any], path: Path) -> str:
    onnx.save(model, str(path))
    try:
        session = open_session("torch", path, SessionSettings())
        got = session.run(0, feeds)
    except CandidateFailure:
        return "unsupported"
    for mine, right in zip(got, (as_array(value) for value in expected), strict=True):
        tolerance = TOLERANCE.get(right.dtype, 1e-4)
        same_kind = mine.shape == right.shape and mine.dtype == right.dtype
        if not same_kind or not np.allclose(mine, right, rtol=10 * tolerance, atol=tolerance, equal_nan=True):
            return "wrong"
    return "right"


def test_answers_the_standards_own_cases_or_says_that_it_cannot(tmp_path: Path) -> None:
    outcomes: dict[str, list[str]] = {"right": [], "unsupported": [], "wrong": []}
    for case in standard_cases():
        names = [value.name for value in case.model.graph.input]
        for inputs, expected in case.data_sets:
            feeds = {name: as_array(value) for name, value in zip(names, inputs, strict=True)}
            runs = [(case.model, feeds)] + ([with_constants(case, feeds)] if len(feeds) > 1 else [])
            for model, given in runs:
                outcomes[outcome(model, given, expected, tmp_path / "case.onnx")].append(case.name)
    assert outcomes["wrong"] == []
    assert len(outcomes["right"]) > 1000
    assert set(outcomes["right"]) >= {
        "test_conv_with_strides_and_asymmetric_padding",
        "test_gather_negative_indices",
        "test_lstm_bidirectional",
        "test_lstm_reverse",
        "test_slice_neg_steps",
    }


def exported(module: Any, arguments: tuple[Any, ...], path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's advice about itself
        program = torch.onnx.export(module.eval(), arguments, dynamo=True, verbose=False, **options)
    program.save(str(path))
    return path


def assert_same(module: Any, path: Path, *batches: tuple[Any, ...]) -> None:
    session = open_session("torch", path, SessionSettings())
    names = [value.name for value in onnx.load(str(path), load_external_data=False).graph.input]
    for arguments in batches:
        with torch.inference_mode():
            expected = module(*arguments).numpy()
        got = session.run(0, {name: value.numpy() for name, value in zip(names, arguments, strict=True)})[0]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


class Recurrent(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.layers = getattr(torch.nn, kind)(12, 16, 2, batch_first=True, **options)
        self.head = torch.nn.Linear(32 if options.get("bidirectional") else 16, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x)[0][:, -1])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True}, {"bias": False}], ids=["plain", "both ways", "no bias"]
)
def test_recurrent_networks_answer_as_their_modules(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the exporter needs onnxscript")
    torch.manual_seed(0)
    module = Recurrent(kind, **options)
    batch = torch.export.Dim("batch", min=1, max=64)
    path = exported(module, (torch.randn(2, 9, 12),), tmp_path / "m.onnx", dynamic_shapes=({0: batch},))
    assert_same(module, path, (torch.randn(1, 9, 12),), (torch.randn(5, 9, 12),))


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A sentence encoder in the manner of MiniLM: embeddings, attention under a mask, mean over the real tokens."""

    def __init__(self, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.words = torch.nn.Embedding(100, width)
        self.places = torch.nn.Embedding(64, width)
        self.norm = torch.nn.LayerNorm(width, eps=1e-12)
        names = ("query", "key", "value", "out", "wide", "narrow", "norm1", "norm2")
        linear = torch.nn.Linear
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleDict(
                dict(
                    zip(
                        names,
                        (
                            *(linear(width, width) for _ in range(4)),
                            linear(width, 4 * width),
                            linear(4 * width, width),
                            torch.nn.LayerNorm(width),
                            torch.nn.LayerNorm(width),
                        ),
                        strict=True,
                    )
                )
            )
            for _ in range(layers)
        )

    def forward(self, tokens: Any, mask: Any) -> Any:
        x = self.norm(self.words(tokens) + self.places(torch.arange(tokens.shape[1])))
        hidden = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e9
        for layer in self.layers:
            split = [
                layer[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value")
            ]
            attended = torch.nn.functional.scaled_dot_product_attention(*split, attn_mask=hidden)
            x = layer["norm1"](x + layer["out"](attended.transpose(1, 2).flatten(2)))
            x = layer["norm2"](x + layer["narrow"](torch.nn.functional.gelu(layer["wide"](x))))
        weights = mask.to(x.dtype)[..., None]
        return torch.nn.functional.normalize((x * weights).sum(1) / weights.sum(1), dim=-1)


def sentences(count: int, length: int) -> tuple[Any, Any]:
    mask = torch.ones(count, length, dtype=torch.int64)
    mask[0, length // 2 :] = 0
    return torch.randint(0, 100, (count, length)), mask


def test_a_sentence_encoder_answers_as_its_module(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the exporter needs onnxscript")
    torch.manual_seed(0)
    module = Encoder()
    axes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("time", min=2, max=64)}
    path = exported(module, sentences(2, 12), tmp_path / "m.onnx", dynamic_shapes=(axes, axes))
    assert_same(module, path, sentences(1, 7), sentences(5, 33))


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("DFT", ["x"], ["y"], name="spectrum")],
        "g",
        [value("x", TensorProto.FLOAT, [1, 8, 1])],
        [value("y", TensorProto.FLOAT, [1, 8, 2])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    with pytest.raises(CandidateFailure, match=r"DFT \(spectrum\)") as caught:
        open_session("torch", path, SessionSettings())
    assert caught.value.kind == "unsupported"
