"""An ONNX graph run operator by operator with torch on the CPU: the plain way that users start from.

It computes as an `nn.Module` does in eager mode under `torch.inference_mode`; nothing is fused or compiled. What
depends on constants only is computed once, when the model is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import failure
from steelyard.runtimes.torch_node import Node
from steelyard.runtimes.torch_operators import OPERATORS
from steelyard.runtimes.torch_shapes import DTYPES

_ABSENT = 0
"""The slot of optional inputs that are left out; it always holds None."""

_SEVERAL = ("GRU", "LSTM", "RNN", "Split")
"""Operators whose functions return all outputs; the others return the first."""


class Step(NamedTuple):
    """One operator: which slots it reads and writes, and which are not needed after it."""

    node: str
    function: Callable[..., Any]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    spent: tuple[int, ...]


class TorchSession:
    """One model; streams share its weights. The outputs are arrays that no later run writes to."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        torch.set_num_threads(settings.threads)
        with torch.inference_mode():
            walk = Walk(path)
        self._inputs = list(zip(walk.names, walk.inputs, strict=True))
        self._outputs = walk.outputs
        self._steps = _with_spent(walk.steps, self._outputs)
        self._start = walk.start()

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""
        del stream
        torch.get_num_threads()  # hands the number of threads on to the calling thread, should it be a new one
        values = self._start.copy()
        with torch.inference_mode():
            for name, slot in self._inputs:
                values[slot] = as_tensor(inputs[name])
            self._compute(values)
            return [as_array(values[slot]) for slot in self._outputs]

    def _compute(self, values: list[Any]) -> None:
        node = ""
        try:
            for node, function, reads, writes, spent in self._steps:  # noqa: B007 - told when it fails
                result = function(*[values[slot] for slot in reads])
                if isinstance(result, tuple):
                    for slot, value in zip(writes, result, strict=False):
                        values[slot] = value
                else:
                    values[writes[0]] = result
                for slot in spent:
                    values[slot] = None
        except CandidateFailure:
            raise
        except Exception as error:
            raise failure(f"torch cannot run {node}", error) from error


def open_session(path: Path, settings: SessionSettings) -> TorchSession:
    """The ONNX file at `path`, opened."""
    return TorchSession(path, settings)


class Walk:
    """Turns the nodes, which ONNX keeps in the order of their computation, into steps and constants."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(str(path))
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        self.steps: list[Step] = []
        self.slots: dict[str, int] = {"": _ABSENT}
        self._constants: dict[str, Any] = {each.name: _stored(each) for each in model.graph.initializer}
        self._opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)
        self._needed = {name for node in model.graph.node for name in node.input}
        self._needed |= {value.name for value in model.graph.output}
        fed = [value for value in model.graph.input if value.name not in self._constants]
        self.names = [value.name for value in fed]
        self.shapes = [_shape(value) for value in fed]
        """Of each input; None where a size may vary."""
        self.dtypes = [DTYPES.get(value.type.tensor_type.elem_type) for value in fed]
        self.inputs = [self._slot(name) for name in self.names]
        for node in model.graph.node:
            self._add(node)
        self.outputs = [self._slot(value.name) for value in model.graph.output]

    def start(self) -> list[Any]:
        """The values before a run: constants where there are any, None elsewhere."""
        names = {slot: name for name, slot in self.slots.items()}
        return [self._constants.get(names[slot]) for slot in range(len(names))]

    def _add(self, node: Any) -> None:
        attributes = {each.name: _attribute(each) for each in node.attribute}
        if node.op_type == "Constant":
            self._constants[node.output[0]] = _constant(attributes)
            return
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise CandidateFailure("unsupported", f"torch has no function for the operator {_name(node)}")
        if node.op_type not in _SEVERAL and not self._needed.isdisjoint(node.output[1:]):
            raise CandidateFailure("unsupported", f"torch gives only the first output of {_name(node)}")
        known = tuple(self._constants.get(name) for name in node.input)
        seen = Node(node.op_type, attributes, tuple(node.input), known, len(node.output), self._opset)
        function = OPERATORS[node.op_type](seen)
        if all(name in self._constants for name in node.input if name):
            self._fold(node, function, known)
        else:
            reads = tuple(self._slot(name) for name in node.input)
            writes = tuple(self._slot(name) if name else self._nowhere() for name in node.output)
            self.steps.append(Step(_name(node), function, reads, writes, ()))

    def _fold(self, node: Any, function: Callable[..., Any], known: Sequence[Any]) -> None:
        result = function(*known)
        results = result if isinstance(result, tuple) else (result,)
        self._constants.update(zip(node.output, results, strict=False))

    def _slot(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots))

    def _nowhere(self) -> int:
        return self._slot(f" unused {len(self.slots)}")


def _with_spent(steps: Sequence[Step], outputs: Iterable[int]) -> list[Step]:
    """The steps with the slots that each is the last to need, so that memory is reused as early as in a module."""
    needed = Counter(slot for step in steps for slot in set(step.reads))
    needed.update(outputs)
    finished = []
    for step in steps:
        for slot in set(step.reads):
            needed[slot] -= 1
        touched = {*step.reads, *step.writes} - {_ABSENT}
        finished.append(step._replace(spent=tuple(sorted(slot for slot in touched if not needed[slot]))))
    return finished


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(size.dim_value if size.dim_value > 0 else None for size in value.type.tensor_type.shape.dim)


def _name(node: Any) -> str:
    kind = f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)
    return f"{kind} ({node.name})" if node.name else kind


def as_tensor(array: Array) -> Any:
    """The array's values as a tensor; `unsupported` where torch has none of its kind."""
    # torch has no tensors that must not be written to, and warns when it is given such an array.
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except TypeError as error:
        raise failure(f"torch has no tensors of {array.dtype}", error) from error


def as_array(tensor: Any) -> Array:
    """The tensor's values as an array; `unsupported` where numpy has none of its kind."""
    try:
        answer: Array = tensor.numpy()
    except TypeError as error:
        raise failure(f"numpy has no arrays of {tensor.dtype}", error) from error
    return answer


def _stored(tensor: Any) -> Any:
    return torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())


def _attribute(attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _stored(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _constant(attributes: Mapping[str, Any]) -> Any:
    (kind, value), *_ = attributes.items()
    if kind == "value":
        return value
    if kind in ("value_float", "value_floats"):
        return torch.tensor(value, dtype=torch.float32)
    if kind in ("value_int", "value_ints"):
        return torch.tensor(value, dtype=torch.int64)
    raise CandidateFailure("unsupported", f"torch cannot hold a constant given as {kind}")
