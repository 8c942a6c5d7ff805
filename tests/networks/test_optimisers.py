"""Optimisers find the minimum of known problems, and go on exactly where they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.muon import Muon, orthogonal
from steelyard.networks.optimisers import OPTIMISERS, hidden_matrices, make

RATES = {"sgd": 0.05, "adam": 0.01, "adamw": 0.01, "muon": 0.02}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """What another network answers: it can be learnt without a rest."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 4, generator=generator)
    return x, torch.stack([(x[:, 0] * x[:, 1]).tanh(), x.sum(1).sin()], 1)


def train(module: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> float:
    x, y = problem()
    loss = torch.tensor(0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(module(x), y)
        loss.backward()
        optimiser.step()
    return float(loss.item())


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_learns_what_can_be_learnt(name: str) -> None:
    module = network()
    before = train(module, make(name, module, rate=1e-9), 1)
    module = network()
    after = train(module, make(name, module, rate=RATES[name]), 150)
    assert after < 0.1 * before


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_goes_on_exactly_where_it_was(name: str) -> None:
    module = network()
    optimiser = make(name, module, rate=RATES[name])
    train(module, optimiser, 5)
    twin = copy.deepcopy(module)
    resumed = make(name, twin, rate=RATES[name])
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    train(module, optimiser, 5)
    train(twin, resumed, 5)
    for one, other in zip(module.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_weight_decay_pulls_matrices_and_leaves_biases_alone(name: str) -> None:
    module = network()
    before = [each.detach().clone() for each in module.parameters()]
    optimiser = make(name, module, rate=0.01, weight_decay=0.5)
    for each in module.parameters():
        each.grad = torch.zeros_like(each)
    optimiser.step()
    for old, new in zip(before, module.parameters(), strict=True):
        if old.ndim == 1:
            assert torch.equal(old, new)
        else:
            assert new.norm().item() < old.norm().item()


def test_an_orthogonal_step_keeps_directions_and_levels_their_sizes() -> None:
    torch.manual_seed(0)
    for rows, columns in ((6, 20), (20, 6), (9, 9)):
        matrix = torch.randn(rows, columns)
        made = orthogonal(matrix)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        levelled = torch.linalg.svdvals(made)
        assert float(levelled.min()) > 0.3
        assert float(levelled.max()) < 1.25
        # The same singular vectors: between them the result is diagonal.
        between = left.T @ made @ right.T
        assert float((between - torch.diag(between.diagonal())).abs().max()) < 1e-3
        assert torch.allclose(orthogonal(matrix * 1000), made, atol=1e-3)


def test_an_orthogonal_step_of_nothing_is_nothing() -> None:
    assert not orthogonal(torch.zeros(3, 4)).any()


def test_a_step_of_muon_is_as_large_whatever_the_gradient() -> None:
    moved = []
    for size in (1.0, 1e-4):
        weight = nn.Parameter(torch.zeros(8, 2, 2, 2))
        optimiser = Muon([{"params": [weight], "matrices": True}], lr=0.1)
        weight.grad = size * torch.randn(8, 2, 2, 2, generator=torch.Generator().manual_seed(3))
        optimiser.step()
        moved.append(weight.detach().clone())
    assert torch.allclose(moved[0], moved[1], atol=1e-4)
    assert float(torch.linalg.matrix_norm(moved[0].flatten(1), 2)) == pytest.approx(0.1, rel=0.3)


def test_a_tall_matrix_is_stepped_as_far_per_output_as_a_square_one() -> None:
    weight = nn.Parameter(torch.zeros(8, 2))
    optimiser = Muon([{"params": [weight], "matrices": True}], lr=0.1)
    weight.grad = torch.randn(8, 2, generator=torch.Generator().manual_seed(3))
    optimiser.step()
    assert torch.linalg.matrix_norm(weight.detach(), 2).item() == pytest.approx(0.1 * 2, rel=0.3)


def test_muon_looks_ahead_along_its_momentum() -> None:
    weight = nn.Parameter(torch.zeros(3, 3))
    optimiser = Muon([{"params": [weight], "matrices": True}], lr=0.1, momentum=0.75)
    first, second = torch.eye(3), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for gradient in (first, second):
        weight.grad = gradient
        before = weight.detach().clone()
        optimiser.step()
    gathered = 0.75 * 0.25 * first + 0.25 * second
    assert torch.allclose(weight - before, -0.1 * orthogonal(0.75 * gathered + 0.25 * second), atol=1e-6)


def test_what_is_no_matrix_is_stepped_as_by_adamw() -> None:
    ours, theirs = network(), network()
    one = Muon([{"params": list(ours.parameters())}], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    other = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    train(ours, one, 20)
    train(theirs, other, 20)
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, its, atol=1e-6)


def test_only_hidden_matrices_are_muons() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Embedding(9, 4), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 5), nn.Linear(5, 2)
    )
    assert [id(each) for each in hidden_matrices(module)] == [id(module[2].weight), id(module[4].weight)]
    optimiser = make("muon", module, rate=0.5, rate_of_others=0.25)
    assert sorted((group["matrices"], group["lr"], len(group["params"])) for group in optimiser.param_groups) == [
        (False, 0.25, 3),
        (False, 0.25, 6),
        (True, 0.5, 2),
    ]


def test_parameters_that_are_not_learnt_are_left_out() -> None:
    module = network()
    module[0].weight.requires_grad = False
    optimiser = make("sgd", module)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 5


def test_a_closure_is_called_with_gradients_on() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimiser = Muon([{"params": [weight]}], lr=0.1)

    def closure() -> float:
        loss = (weight**2).sum()
        loss.backward()
        return float(loss.item())

    assert optimiser.step(closure) == 2.0
    assert weight[0].item() == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("adamv", {}, "did you mean adam"),
        ("sgd", {"momentun": 0.9}, "did you mean momentum"),
        ("adam", {"rate": -1.0}, "Invalid learning rate"),
    ],
)
def test_optimisers_that_cannot_be_made_are_told(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make(name, network(), **options)
