"""Items mixed with each other, and their targets likewise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from steelyard.errors import DataError


@dataclass(frozen=True)
class Mixup:
    """Each item becomes `share * item + (1 - share) * other`, its target likewise.

    `share` is drawn from Beta(alpha, alpha), and is at least a half. Class numbers become one row of `classes`
    probabilities each, which the soft cross-entropy takes. Zhang et al., mixup: Beyond Empirical Risk Minimization,
    ICLR 2018, https://arxiv.org/abs/1710.09412
    """

    classes: int = 0
    """A recipe need not say it. 0: targets are measured values, or probabilities already."""
    alpha: float = 0.2

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ValueError(f"alpha = {self.alpha}, above 0")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every item with another one of the batch.

        Raises DataError for tokens, which cannot be mixed, ValueError for class numbers without `classes`.
        """
        if not batch.is_floating_point():
            raise DataError("mixup adds items up, which means nothing for tokens", "leave it out of [[augment]]")
        if not targets.is_floating_point():
            if not self.classes:
                raise ValueError("mixup of class numbers needs the number of classes")
            targets = one_hot(targets, self.classes).to(batch.dtype)
        share = self._shares(len(batch), generator).to(device=batch.device, dtype=batch.dtype)
        other = torch.randperm(len(batch), generator=generator, device=generator.device).to(batch.device)
        return _mixed(batch, other, share), _mixed(targets, other, share)

    def _shares(self, items: int, generator: torch.Generator) -> Tensor:
        """Beta(alpha, alpha) of two gamma variates, which unlike torch's own distributions take a generator."""
        alpha = torch.full((2, items), self.alpha, device=generator.device)
        first, second = torch._standard_gamma(alpha, generator=generator).clamp_min(1e-30)
        share: Tensor = first / (first + second)
        return torch.maximum(share, 1 - share)


def _mixed(values: Tensor, other: Tensor, share: Tensor) -> Tensor:
    weight = share.view(-1, *[1] * (values.dim() - 1))
    return values * weight + values[other] * (1 - weight)
