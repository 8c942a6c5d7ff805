"""Small networks as ONNX files, made on the spot: what they answer is known without running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
TYPES = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "str": TensorProto.STRING}
Shape = Sequence[int | str]
Ports = Mapping[str, tuple[str, Shape]]


def save(path: Path, nodes: Sequence[Any], inputs: Ports, outputs: Ports, **weights: NDArray[Any]) -> Path:
    """A graph of these nodes; ports are name → (type, shape)."""

    def ports(given: Ports) -> list[Any]:
        return [helper.make_tensor_value_info(name, TYPES[kind], list(shape)) for name, (kind, shape) in given.items()]

    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "g", ports(inputs), ports(outputs), stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def two_inputs(path: Path) -> Path:
    """logits = a A + b B beside their mean: float [n, 1] and [n, 6] from a [n, 8] and b [n, 4]."""
    nodes = [
        helper.make_node("MatMul", ["a", "A"], ["p"]),
        helper.make_node("MatMul", ["b", "B"], ["q"]),
        helper.make_node("Add", ["p", "q"], ["logits"]),
        helper.make_node("ReduceMean", ["logits"], ["mean"], axes=[1], keepdims=1),
    ]
    inputs = {"a": ("float", ("n", 8)), "b": ("float", ("n", 4))}
    outputs = {"mean": ("float", ("n", 1)), "logits": ("float", ("n", 6))}
    return save(path, nodes, inputs, outputs, A=normal(8, 6), B=normal(4, 6, seed=1))


def centred(path: Path, batch: int | str = "n") -> Path:
    """y = x minus its mean over the batch: what a network in training mode does."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["y"]),
    ]
    return save(path, nodes, {"x": ("float", (batch, 4))}, {"y": ("float", (batch, 4))})


def one_at_a_time(path: Path) -> Path:
    """Says that it takes any batch, and was exported for one."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    shape = np.array([1, 4])
    return save(path, nodes, {"x": ("float", ("n", 4))}, {"y": ("float", ("n", 3))}, shape=shape, w=normal(4, 3))


def lstm(path: Path, hidden: int = 6, classes: int = 3) -> Path:
    """Scores [n, 3] from the last state over x [n, time, 2]; filling items up changes the answer."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["", "h"], hidden_size=hidden),
        helper.make_node("Squeeze", ["h", "first"], ["s"]),
        helper.make_node("MatMul", ["s", "out"], ["y"]),
    ]
    weights = {
        "w": normal(1, 4 * hidden, 2),
        "r": normal(1, 4 * hidden, hidden, seed=1),
        "out": normal(hidden, classes),
    }
    inputs, outputs = {"x": ("float", ("n", "time", 2))}, {"y": ("float", ("n", classes))}
    return save(path, nodes, inputs, outputs, first=np.array([0]), **weights)


def reader(path: Path, words: int = 8, classes: int = 3, *, heeds_mask: bool = True) -> Path:
    """Scores [n, 3] from the mean of the embeddings of input_ids [n, t] under attention_mask [n, t]."""
    weights = "m" if heeds_mask else "ones"
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Exp", ["zeros"], ["ones"]) if heeds_mask else helper.make_node("Div", ["m1", "m1"], ["ones"]),
        helper.make_node("Unsqueeze", [weights, "last"], ["u"]),
        helper.make_node("Mul", ["e", "u"], ["eu"]),
        helper.make_node("ReduceSum", ["eu", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["u", "one"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "out"], ["logits"]),
    ]
    if not heeds_mask:
        nodes.insert(2, helper.make_node("Add", ["m", "onef"], ["m1"]))
    inputs = {"input_ids": ("int64", ("n", "t")), "attention_mask": ("int64", ("n", "t"))}
    return save(
        path,
        nodes,
        inputs,
        {"logits": ("float", ("n", classes))},
        table=normal(words, 5),
        out=normal(5, classes, seed=1),
        last=np.array([2]),
        one=np.array([1]),
        zeros=np.zeros(1, np.float32),
        onef=np.ones(1, np.float32),
    )


def columns(path: Path) -> Path:
    """Scores [n, 2] from columns of their own: age and income (float), town (words: oslo or rome)."""
    nodes = [
        helper.make_node("LabelEncoder", ["town"], ["t"], domain="ai.onnx.ml", keys_strings=["oslo", "rome"],
                         values_floats=[-2.0, 2.0], default_float=0.0),
        helper.make_node("Concat", ["age", "income", "t"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Softmax", ["s"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]  # fmt: skip
    inputs = {name: ("str" if name == "town" else "float", ("n", 1)) for name in ("age", "income", "town")}
    outputs = {"label": ("int64", ("n",)), "scores": ("float", ("n", 2))}
    w = np.array([[-0.1, 0.1], [0.3, -0.3], [-1, 1]], np.float32)
    return save(path, nodes, inputs, outputs, w=w)


def dawdler(path: Path) -> Path:
    """y [n, 1] = √x, after as many turns as the largest in `turns` [n, 1] says: some microseconds each, or for ever."""
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Add", ["before", "nothing"], ["after"])],
        "turn",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.zeros(1, np.float32), "nothing")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["turns"], ["most"], keepdims=0),
        helper.make_node("Loop", ["most", "yes", "zero"], ["waited"], body=turn),
        helper.make_node("Sqrt", ["x"], ["root"]),
        helper.make_node("Add", ["root", "waited"], ["y"]),
    ]
    inputs = {"x": ("float", ("n", 1)), "turns": ("int64", ("n", 1))}
    outputs = {"y": ("float", ("n", 1))}
    return save(path, nodes, inputs, outputs, yes=np.array(True), zero=np.zeros(1, np.float32))
