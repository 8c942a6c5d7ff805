"""Muon: steps for matrices whose directions all count the same.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon, 2024.
The momentum of a matrix is replaced by the nearest matrix with orthogonal rows or columns, which is found by a few
steps of a Newton–Schulz iteration: products only, no decomposition. Kernels of convolutions count as matrices of
[outputs, everything else]. What is no hidden matrix is left to AdamW (I. Loshchilov, F. Hutter, ICLR 2019,
arXiv 1711.05101), in groups of the same optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that is applied to the singular values; five times it brings all of them to between 0.7 and 1.2."""


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Groups with `matrices=True` are stepped by Muon (all their parameters have two axes or more), others by AdamW.

    `momentum` and Nesterov's look ahead belong to the former, `betas` and `eps` to the latter, `lr` and
    `weight_decay` (decoupled, times the rate) to both. Gradients are dense.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        usual = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(list(groups), usual | {"matrices": False, "steps": 0})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step along the gradients that there are; returns what the closure does, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            if parameters:
                group["steps"] += 1
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                (self._step_matrices if group["matrices"] else self._step_others)(group, parameters)
        return loss

    def _step_matrices(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        momentum = group["momentum"]
        for parameter in parameters:
            gathered = self._kept(parameter, "momentum").lerp_(parameter.grad, 1 - momentum)
            matrix = parameter.grad.lerp(gathered, momentum).flatten(1)
            # The step is as large per output as that of a square matrix.
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            parameter.add_(orthogonal(matrix).view_as(parameter), alpha=-group["lr"] * scale)

    def _step_others(self, group: dict[str, Any], parameters: list[torch.Tensor]) -> None:
        slow, slower = group["betas"]
        gradients = [each.grad for each in parameters]
        means = [self._kept(each, "mean") for each in parameters]
        squares = [self._kept(each, "square") for each in parameters]
        torch._foreach_lerp_(means, gradients, 1 - slow)
        torch._foreach_mul_(squares, slower)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - slower)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - slower ** group["steps"]) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, means, roots, -group["lr"] / (1 - slow ** group["steps"]))

    def _kept(self, parameter: torch.Tensor, name: str) -> torch.Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """[rows, columns] → about U Vᵀ of its singular value decomposition: singular values between 0.7 and 1.2."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
