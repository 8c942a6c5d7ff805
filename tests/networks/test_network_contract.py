"""Each network keeps the contract, and the contract notices what does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from steelyard.networks import NETWORKS, ImageShape, InputShape, SequenceShape, TableShape, TextShape
from steelyard.testing import check_network

DIGIT = ImageShape(height=28, width=28)
STEPS = SequenceShape(channels=3, steps=6)
WORDS = TextShape(vocabulary=20, length=6)
ROWS = TableShape(numbers=4, categories=(3, 7))

CASES: tuple[tuple[str, InputShape, dict[str, Any]], ...] = (
    ("digits-conv2", DIGIT, {}),
    ("digits-conv3", DIGIT, {}),
    ("digits-fast", DIGIT, {}),
    ("digits-tiny", DIGIT, {}),
    ("resnet", ImageShape(channels=3, height=32, width=48), {"width": 4, "small_images": False}),
    ("efficientnet", ImageShape(channels=3, height=32, width=32), {"width": 0.25, "depth": 0.2}),
    ("fcn", STEPS, {"widths": (4, 6, 5)}),
    ("rnn", STEPS, {"hidden": 8}),
    ("lstm", STEPS, {"hidden": 8}),
    ("gru", WORDS, {"hidden": 8, "layers": 2, "bidirectional": True, "embedding": 5}),
    ("transformer", STEPS, {"width": 16}),
    ("transformer", WORDS, {"width": 16}),
    ("mlp", ROWS, {"width": 16}),
)


@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=[f"{name}-{s.kind}" for name, s, _ in CASES])
def test_keeps_the_contract(name: str, shape: InputShape, options: dict[str, Any]) -> None:
    check_network(name, shape, **options)


def test_every_network_is_checked() -> None:
    assert {name for name, _, _ in CASES} == set(NETWORKS)
    assert {name: spec.name for name, spec in NETWORKS.items()} == {name: name for name in NETWORKS}


class Flat(nn.Module):  # type: ignore[misc]
    """What the broken ones below are made of."""

    def __init__(self, shape: TableShape, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.numbers, outputs)

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        return self.linear(table)


class Wide(Flat):
    def forward(self, table: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.linear(table)] * 2, 1)


class Centred(Flat):
    def forward(self, table: torch.Tensor) -> torch.Tensor:
        return self.linear(table - table.mean(0))


class Idle(Flat):
    def __init__(self, shape: TableShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.unused = nn.Linear(2, 2)


class Forgetful(Flat):
    def __init__(self, shape: TableShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.hidden = [torch.randn(outputs)]

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        return self.linear(table) + self.hidden[0]


class Infinite(Flat):
    def forward(self, table: torch.Tensor) -> torch.Tensor:
        return self.linear(table) if self.training else self.linear(table) / 0


class Unportable(Flat):
    def forward(self, table: torch.Tensor) -> torch.Tensor:
        made = self.linear(table)
        return made if self.training else torch.from_numpy(made.detach().numpy() * len(made.tolist()) / len(made))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (Wide, r"expected torch.float32\[1, 3\], got torch.float32\[1, 6\]"),
        (Centred, "depends on what else is in the batch"),
        (Idle, "no gradient reaches unused.weight, unused.bias"),
        (Forgetful, "weights alone do not make its answers"),
        (Infinite, "answers are not finite"),
        (Unportable, "could not be exported"),
    ],
)
def test_a_network_that_breaks_it_is_told(broken: type, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_network(f"{__name__}:{broken.__name__}", TableShape(numbers=4))


class Averaging(nn.Module):  # type: ignore[misc]
    """Takes padding for words."""

    def __init__(self, shape: TextShape, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(shape.vocabulary, outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table(tokens).mean(1)


def test_padding_that_changes_answers_is_told() -> None:
    with pytest.raises(AssertionError, match="padding behind a text changes the answer"):
        check_network(f"{__name__}:Averaging", WORDS)
