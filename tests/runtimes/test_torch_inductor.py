"""A graph that is compiled: it follows the batch, and what cannot be compiled is refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import RUNTIMES, lacking, needs, open_session
from steelyard.testing import tiny_model

torch = pytest.importorskip("torch")

from steelyard.runtimes.torch_eager import TorchSession, Walk  # noqa: E402
from steelyard.runtimes.torch_graph import graph_of  # noqa: E402


def model(path: Path, nodes: Sequence[Any], constants: dict[str, Array], shape: Sequence[Any]) -> Path:
    """`x` of this shape goes in, `y` comes out."""
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return path


def by_sizes(path: Path) -> Path:
    """As exporters write it: x [n, 4, 3] → [n · 2, 6] by computed sizes, plus a table expanded to them."""
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
        helper.make_node("Mul", ["n", "two"], ["twice"]),
        helper.make_node("Concat", ["twice", "six"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["rows"]),
        helper.make_node("Expand", ["table", "wanted"], ["tables"]),
        helper.make_node("Add", ["rows", "tables"], ["y"]),
    ]
    constants = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "six": np.array([6]),
        "table": np.arange(6, dtype=np.float32)[None],
    }
    return model(path, nodes, constants, ["n", 4, 3])


def answers(path: Path, x: Array, recorded_at: int) -> Array:
    """The graph's, recorded from an example of another batch."""
    with torch.no_grad():
        walk = Walk(path)
        graph = graph_of(walk, [torch.from_numpy(x[:1].repeat(recorded_at, axis=0))], [True])
        return np.asarray(graph(torch.from_numpy(x))[0])


def test_sizes_follow_the_batch(tmp_path: Path) -> None:
    path = by_sizes(tmp_path / "m.onnx")
    x = np.random.default_rng(0).random((7, 4, 3), np.float32)
    expected = TorchSession(path, SessionSettings()).run(0, {"x": x})[0]
    assert expected.shape == (14, 6)
    np.testing.assert_array_equal(answers(path, x, recorded_at=1), expected)


def test_a_recurrent_network_follows_the_batch(models: Path) -> None:
    path = models / "lstm_10class.onnx"
    x = np.random.default_rng(1).random((7, 64, 32), np.float32)
    expected = TorchSession(path, SessionSettings()).run(0, {"x": x})[0]
    np.testing.assert_allclose(answers(path, x, recorded_at=2), expected, atol=1e-5)


def test_a_size_that_follows_the_batch_otherwise_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
        helper.make_node("Mul", ["n", "n"], ["square"]),
        helper.make_node("Concat", ["square", "one"], ["wanted"], axis=0),
        helper.make_node("Expand", ["first", "wanted"], ["tables"]),
        helper.make_node("ReduceSum", ["tables"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "first": np.ones((1, 1), np.float32)}
    path = model(tmp_path / "m.onnx", nodes, constants, ["n", 2])
    with pytest.raises(CandidateFailure, match="4, 9, 25 for batches of 2, 3, 5"):
        answers(path, np.ones((3, 2), np.float32), recorded_at=2)


def test_a_size_used_as_a_number_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
        helper.make_node("Cast", ["n"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "weight"], ["y"]),
    ]
    path = model(tmp_path / "m.onnx", nodes, {"zero": np.array([0])}, ["n", 2])
    with pytest.raises(CandidateFailure, match="a constant depends on the batch"):
        answers(path, np.ones((3, 2), np.float32), recorded_at=2)


def test_compiled_for_real_it_answers_any_batch_and_refuses_other_sizes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Takes long: a real compiler makes code for one item and for several; other batches must not need it again."""
    if lacks := lacking(RUNTIMES["torch-inductor"]):
        pytest.skip(f"torch-inductor: {lacks}")
    settings = SessionSettings(streams=2, max_batch=2)
    session = open_session("torch-inductor", tiny_model.write(tmp_path / "m", "onnx"), settings)

    config = import_module("torch._dynamo.config")
    recompiling_fails = config.patch(error_on_recompile=True)  # setattr would leave the setting deleted
    recompiling_fails.__enter__()
    request.addfinalizer(lambda: recompiling_fails.__exit__(None, None, None))

    def serve(stream: int) -> None:
        earlier = []
        for count in (1, 3, 8, 5):
            inputs = tiny_model.items(count, seed=10 * stream + count)
            received = np.frombuffer(inputs["x"].tobytes(), np.float32).reshape(count, tiny_model.FEATURES)
            earlier.append((session.run(stream, {"x": received})[0], tiny_model.answers(inputs)))
        for got, expected in earlier:
            np.testing.assert_allclose(got, expected, atol=1e-5)

    serve(0)  # in this thread, the only one that the setting above reaches
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(serve, range(2)))
    with pytest.raises(CandidateFailure, match="cannot compile or run") as caught:
        session.run(0, {tiny_model.INPUT: np.zeros((2, tiny_model.FEATURES + 1), np.float32)})
    assert "\n" not in caught.value.message


def test_without_a_compiler_it_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no C++ compiler 'no-such-compiler'" in needs.cpp_compiler()
    monkeypatch.setenv("CXX", "python3")
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    assert "Python's headers are missing" in needs.cpp_compiler()
