"""An exponential moving average of a network's weights, which is often better than the weights themselves.

B. Polyak, A. Juditsky, SIAM Journal on Control and Optimization 30, 1992; with a decay, as in C. Szegedy et al., CVPR
2016 (arXiv 1512.00567).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from steelyard.errors import UsageError


class WeightAverage:
    """Follows a network: average ← d · average + (1 − d) · weights, with d = min(decay, (1 + steps) / (10 + steps)).

    Decaying less at the beginning lets it forget the first, random weights. The statistics of batch normalisation are
    averaged like weights; whole numbers are taken over.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UsageError(f"the decay of averaged weights lies between 0 and 1, got {decay:g}", "0.999 is common")
        self.decay = decay
        self.steps = 0
        self._average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def update(self, module: nn.Module) -> None:
        """Takes in the weights as they are now: once after each step of the optimiser."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        now = module.state_dict()
        averaged = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._average[name] for name in averaged], [now[name] for name in averaged], 1 - decay)
        for name in now.keys() - averaged:
            self._average[name].copy_(now[name])

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Inside the block the network has the averaged weights; afterwards its own again."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self._average)
        try:
            yield
        finally:
            module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on: `steps`, and `average`, tensors by the network's names."""
        return {"steps": self.steps, "average": dict(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave. Raises UsageError when it belongs to another network."""
        if state["average"].keys() != self._average.keys():
            raise UsageError("the averaged weights belong to another network", "resume with the recipe they came from")
        self.steps = int(state["steps"])
        for name, value in state["average"].items():
            self._average[name].copy_(value)
