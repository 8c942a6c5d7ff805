"""An ONNX graph as one graph of torch's own operators, in which sizes follow the batch.

The steps of the eager runtime are recorded at three batch sizes. What exporters compute from sizes alone is a plain
number in each recording; a number that differs must lie on a straight line, number = a · batch + b: two recordings
fix the line, the third proves it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as trees

from steelyard.errors import CandidateFailure
from steelyard.runtimes.torch_eager import Step, Walk

_BATCHES = (2, 3, 5)
_LARGEST_SIZES = 16
"""Numbers in a tensor that may be a list of sizes."""


def graph_of(walk: Walk, inputs: Sequence[Any], varying: Sequence[bool]) -> Any:
    """A GraphModule that maps inputs like these to the list of outputs.

    `varying` says which inputs have a first axis that is the batch; the graph takes any batch there, and the other
    sizes of these `inputs` only. Raises CandidateFailure (`unsupported`) where a size follows the batch otherwise.
    """
    if not any(varying):
        return _weights_as_parameters(_recorded(walk, inputs))
    pairs = list(zip(inputs, varying, strict=True))
    recorded = [_recorded(walk, [_resized(x, batch) if varies else x for x, varies in pairs]) for batch in _BATCHES]
    return _weights_as_parameters(_following(recorded, list(varying).index(True)))


def _resized(x: Any, batch: int) -> Any:
    return x[:1].expand(batch, *x.shape[1:]).contiguous()


def _recorded(walk: Walk, inputs: Sequence[Any]) -> Any:
    """The steps, as torch runs them on inputs of just these sizes."""
    sizes, rest = _apart(walk, inputs)

    def compute(*given: Any) -> list[Any]:
        values = _run(rest, _fed(walk, sizes, given))
        return [values[slot] for slot in walk.outputs]

    return make_fx(compute)(*inputs)


def _apart(walk: Walk, inputs: Sequence[Any]) -> tuple[list[Any], list[Step]]:
    """The values before a run with the lists of sizes filled in, and the steps that are left to do."""
    start = walk.start()
    values = _run(walk.steps, _fed(walk, start, inputs))
    of_sizes: set[int] = set()
    rest = []
    for step in walk.steps:
        read = [slot for slot in step.reads if slot and start[slot] is None]
        told_by_sizes = step.node.startswith("Shape") or (read and of_sizes.issuperset(read))
        if told_by_sizes and all(_is_short(values[slot]) for slot in step.writes):
            of_sizes.update(step.writes)
        else:
            rest.append(step)
    return [values[slot] if slot in of_sizes else value for slot, value in enumerate(start)], rest


def _is_short(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() <= 1 and value.numel() <= _LARGEST_SIZES


def _fed(walk: Walk, start: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    values = list(start)
    for slot, given in zip(walk.inputs, inputs, strict=True):
        values[slot] = given
    return values


def _run(steps: Sequence[Step], values: list[Any]) -> list[Any]:
    for step in steps:
        result = step.function(*[values[slot] for slot in step.reads])
        results = result if isinstance(result, tuple) else (result,)
        for slot, value in zip(step.writes, results, strict=False):
            values[slot] = value
    return values


def _following(recorded: Sequence[Any], which: int) -> Any:
    """The first recording, its numbers made to follow the first axis of input `which`."""
    graph = recorded[0].graph
    listed = [list(each.graph.nodes) for each in recorded]
    if len({len(nodes) for nodes in listed}) > 1:
        raise _refused("its operators")
    entrances = [node for node in listed[0] if node.op == "placeholder"]
    with graph.inserting_after(entrances[-1]):
        batch = graph.call_function(torch.ops.aten.sym_size.int, (entrances[which], 0))
    for nodes in zip(*listed, strict=True):
        _follow(graph, batch, nodes)
        if nodes[0].op == "get_attr" and not _same(recorded, nodes):
            raise _refused("a constant")
    recorded[0].recompile()
    return recorded[0]


def _follow(graph: Any, batch: Any, nodes: Sequence[Any]) -> None:
    first = nodes[0]
    if any((node.op, node.target) != (first.op, first.target) for node in nodes):
        raise _refused("its operators")
    flat = [trees.tree_flatten((node.args, node.kwargs))[0] for node in nodes]
    with graph.inserting_before(first):
        numbers = [_number(graph, batch, seen) for seen in zip(*flat, strict=True)]
    first.args, first.kwargs = trees.tree_unflatten(numbers, trees.tree_flatten((first.args, first.kwargs))[1])


def _number(graph: Any, batch: Any, seen: tuple[Any, ...]) -> Any:
    """What stands for a number that was seen at each batch size: itself, or a · batch + b."""
    at_two, at_three, at_five = seen
    if not all(type(each) in (int, float) for each in seen) or at_two == at_three == at_five:
        return at_two
    slope = at_three - at_two
    offset = at_two - 2 * slope
    if type(at_two) is not int or at_five != 5 * slope + offset:
        raise _refused(f"a size, {at_two}, {at_three}, {at_five} for batches of 2, 3, 5,")
    scaled = batch if slope == 1 else graph.call_function(operator.mul, (batch, slope))
    return scaled if offset == 0 else graph.call_function(operator.add, (scaled, offset))


def _same(recorded: Sequence[Any], nodes: Sequence[Any]) -> bool:
    values = [getattr(each, node.target) for each, node in zip(recorded, nodes, strict=True)]
    return all(torch.equal(values[0], value) for value in values[1:])


def _refused(what: str) -> CandidateFailure:
    return CandidateFailure("unsupported", f"{what} depends on the batch in a way that a compiled graph cannot follow")


def _weights_as_parameters(module: Any) -> Any:
    """Recorded constants as parameters and buffers, which the compiler may lay out as it likes best."""
    for name in {node.target for node in module.graph.nodes if node.op == "get_attr"}:
        value = getattr(module, name)
        delattr(module, name)
        if value.is_floating_point():
            module.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(name, value)
    return module
