"""Made-up items of a shape: to export a network with, and to look at what it does."""

from __future__ import annotations

import torch

from steelyard.networks.shapes import ImageShape, InputShape, SequenceShape, TableShape, TextShape


def drawn(shape: InputShape, items: int, length: int | None = None, seed: int = 0) -> torch.Tensor:
    """A batch of made-up items: numbers normally distributed, tokens (none of them padding) and categories evenly.

    `length`: steps or tokens of each item, where they may vary; None: as the shape says.
    """
    generator = torch.Generator().manual_seed(seed)
    match shape:
        case ImageShape():
            return torch.randn(items, shape.channels, shape.height, shape.width, generator=generator)
        case SequenceShape():
            return torch.randn(items, length or shape.steps, shape.channels, generator=generator)
        case TextShape():
            return _tokens(shape, (items, length or shape.length), generator)
        case TableShape():
            return _rows(shape, items, generator)


def _tokens(shape: TextShape, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    others = [token for token in range(shape.vocabulary) if token != shape.padding] or [shape.padding]
    return torch.tensor(others)[torch.randint(len(others), size, generator=generator)]


def _rows(shape: TableShape, items: int, generator: torch.Generator) -> torch.Tensor:
    numbers = torch.randn(items, shape.numbers, generator=generator)
    codes = [torch.randint(count, (items, 1), generator=generator).float() for count in shape.categories]
    return torch.cat([numbers, *codes], 1)
