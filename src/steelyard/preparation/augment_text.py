"""Texts as numbers of tokens, int64 [items, tokens], with some tokens made unknown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.preparation.augment import chosen
from steelyard.preparation.tokens import UNKNOWN_ID

SPECIAL = 4
"""Tokens below this number are no words, with a tokenizer that was trained here."""


@dataclass(frozen=True)
class TokenDropout:
    """Each token becomes `unknown` with this chance; those below `special` stay.

    Word dropout: Iyyer et al., ACL 2015, https://aclanthology.org/P15-1162
    """

    chance: float = 0.1
    unknown: int = UNKNOWN_ID
    special: int = SPECIAL

    def __post_init__(self) -> None:
        if not 0 <= self.chance < 1:
            raise ValueError(f"chance = {self.chance} lies between 0 and 1")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every item."""
        dropped = chosen(batch.numel(), self.chance, batch, generator).view(batch.shape)
        return batch.masked_fill(dropped & (batch >= self.special), self.unknown), targets
