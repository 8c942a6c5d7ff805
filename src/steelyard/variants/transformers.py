"""Tell a transformer from other networks: it bears less quantisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ATTENTION = frozenset({"Attention", "MultiHeadAttention", "ScaledDotProductAttention"})
NORMS = frozenset({"LayerNormalization", "MVN"})


class Operation(NamedTuple):
    """One operator of a graph: its type, and the names of the tensors that it reads and makes."""

    kind: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


def is_transformer(operations: Iterable[Operation], inputs: Iterable[str]) -> bool:
    """Whether the graph attends or normalises its layers. `operations` in the order of computation.

    Attention shows as an operator of its own, or as a softmax in a graph that multiplies two computed matrices with
    each other; a classifier's last softmax and its products with weights do not count.
    """
    computed = set(inputs)
    softmax = product = False
    for operation in operations:
        if operation.kind in ATTENTION or operation.kind in NORMS:
            return True
        depends = [name in computed for name in operation.reads]
        if any(depends):
            computed.update(operation.makes)
        softmax |= operation.kind.lower() == "softmax"
        product |= operation.kind == "MatMul" and all(depends)
    return softmax and product
