"""Where items enter a network as numbers that can be changed a little: at its inputs, or behind its embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Entry:
    """A function of what can be changed: `network(*changed, *fixed)` gives the outputs, [n, k]."""

    network: nn.Module
    changed: Tensors
    """float, a row per item: first what each embedding gave, then the inputs that are numbers."""
    baselines: Tensors
    """The same of an item that says nothing, one row."""
    fixed: Tensors
    """Tokens and lengths, which say what is padding."""

    def take(self, start: int, end: int) -> Entry:
        """The items from one number to another."""
        changed, fixed = (tuple(each[start:end] for each in kept) for kept in (self.changed, self.fixed))
        return Entry(self.network, changed, self.baselines, fixed)


def entry_of(network: nn.Module, inputs: Tensors, quiet: Tensors) -> Entry:
    """Of items with these `inputs`; the baseline is the mean of items with the inputs `quiet`."""
    behind = BehindEmbeddings(network)
    changed, baselines = (
        (*behind.given(each), *(values for values in each if values.is_floating_point())) for each in (inputs, quiet)
    )
    means = tuple(each.mean(0, keepdim=True) for each in baselines)
    return Entry(behind, changed, means, tuple(each for each in inputs if not each.is_floating_point()))


class BehindEmbeddings(nn.Module):  # type: ignore[misc]
    """A network that is handed what its embeddings gave; one without any is called as ever."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.embeddings = [each for each in network.modules() if isinstance(each, nn.Embedding)]

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """First what each embedding gave, then what the network is called with."""
        count = len(self.embeddings)
        hooks = [
            each.register_forward_hook(_gives(value)) for each, value in zip(self.embeddings, tensors, strict=False)
        ]
        try:
            return self.network(*tensors[count:])
        finally:
            for hook in hooks:
                hook.remove()

    def given(self, inputs: Tensors) -> Tensors:
        """What each embedding gives for these inputs."""
        found: dict[nn.Module, torch.Tensor] = {}

        def note(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            found[module] = output.detach()

        hooks = [each.register_forward_hook(note) for each in self.embeddings]
        try:
            with torch.no_grad():
                self.network(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(found[each] for each in self.embeddings)


def _gives(value: torch.Tensor) -> Any:
    return lambda _module, _inputs, _output: value
