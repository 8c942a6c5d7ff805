"""Learning rates go up and down as they should, and weights are averaged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.schedules import SCHEDULES, make, set_rate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.853553, 0.5, 0.146447, 0]),
    ],
)
def test_shapes(name: str, expected: list[float]) -> None:
    made = make(name)
    assert [made(done) for done in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx(expected, abs=1e-6)


def test_one_cycle_goes_up_and_down_once() -> None:
    made = make("one-cycle", warm_up=0.25)
    assert [made(done) for done in (0, 0.125, 0.25, 0.625, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert make("one-cycle")(0.3) == 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_comes_before(name: str) -> None:
    made, plain = make(name, warm_up=0.2), make(name, warm_up=0.0)
    assert [made(done) for done in (0.05, 0.1)] == pytest.approx([0.25, 0.5])
    assert made(0.6) == pytest.approx(plain(0.5))


def test_the_lowest_is_kept_and_the_ends_are_the_ends() -> None:
    made = make("linear", lowest=0.1)
    assert [made(done) for done in (-1, 0, 0.95, 1, 2)] == [1, 1, 0.1, 0.1, 0.1]


def test_groups_keep_their_own_rates() -> None:
    one, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([{"params": [one], "lr": 0.1}, {"params": [other], "lr": 0.4}])
    set_rate(optimiser, 0.5)
    set_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.025, 0.1])
    resumed = torch.optim.SGD([{"params": [one], "lr": 9.0}, {"params": [other], "lr": 9.0}])
    resumed.load_state_dict(optimiser.state_dict())
    set_rate(resumed, 1.0)
    assert [group["lr"] for group in resumed.param_groups] == pytest.approx([0.1, 0.4])


def test_what_makes_no_sense_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean one-cycle"):
        make("onecycle")
    with pytest.raises(UsageError, match="no option 'warmup'") as error:
        make("linear", warmup=0.1)
    assert "warm_up" in error.value.hint
    with pytest.raises(UsageError, match="shares from 0 to 1, got 1 and 0"):
        make("linear", warm_up=1.0)
