"""Averaged weights follow the weights, and step aside again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.ema import WeightAverage


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))


def set_to(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        module[0].weight.fill_(value)
        module[1].running_mean.fill_(value)
        module[1].num_batches_tracked.fill_(int(value))


def averaged(average: WeightAverage, module: nn.Module) -> tuple[float, float, int]:
    with average.applied(module):
        return module[0].weight.item(), module[1].running_mean.item(), module[1].num_batches_tracked.item()


def test_follows_by_its_decay() -> None:
    module = network()
    set_to(module, 0)
    average = WeightAverage(module, decay=0.1)
    set_to(module, 10)
    average.update(module)
    assert averaged(average, module) == pytest.approx((9, 9, 10))
    average.update(module)
    assert averaged(average, module) == pytest.approx((9.9, 9.9, 10))


def test_forgets_its_beginning_sooner() -> None:
    module = network()
    set_to(module, 0)
    average = WeightAverage(module, decay=0.999)
    set_to(module, 11)
    average.update(module)  # d = 2 / 11
    assert averaged(average, module)[0] == pytest.approx(9)


def test_the_network_gets_its_own_weights_back() -> None:
    module = network()
    set_to(module, 1)
    average = WeightAverage(module)
    set_to(module, 3)
    seen = []

    def fail() -> None:
        seen.append(module[0].weight.item())
        raise RuntimeError

    with pytest.raises(RuntimeError), average.applied(module):
        fail()
    assert seen == [1]
    assert module[0].weight.item() == 3


def test_goes_on_where_it_was() -> None:
    module = network()
    average = WeightAverage(module)
    for value in (1, 2, 3):
        set_to(module, value)
        average.update(module)
    resumed = WeightAverage(network())
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    set_to(module, 4)
    average.update(module)
    resumed.update(module)
    assert averaged(average, module) == averaged(resumed, module)
    assert resumed.steps == 4


def test_what_makes_no_sense_is_told() -> None:
    with pytest.raises(UsageError, match="lies between 0 and 1, got 1"):
        WeightAverage(network(), decay=1.0)
    with pytest.raises(UsageError, match="another network"):
        WeightAverage(network()).load_state_dict(WeightAverage(nn.Linear(1, 1)).state_dict())
