"""The parts of cheaper networks, against numbers worked out by hand: the loss, what is taken out, what is rounded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks import SequenceShape, make
from steelyard.networks.losses import CrossEntropy, MeanSquaredError
from steelyard.records.recipe import Chosen
from steelyard.train.distilling import FromTeacher, smaller, taught
from steelyard.train.items import Items
from steelyard.train.pruning import pruned
from steelyard.train.quantising import In8Bits, for_8_bits, in_float, rounded, rounded_weight


def test_distillation_by_hand() -> None:
    # At temperature 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    apart = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    loss = FromTeacher(CrossEntropy(), temperature=2.0, share=0.6, measured=False)
    targets = torch.tensor([[1.0, 0.0, 2 * math.log(3), 0.0]])
    found = float(loss(torch.zeros(1, 2), targets))
    assert found == pytest.approx(0.6 * 4 * apart + 0.4 * math.log(2), abs=1e-6)
    assert found == pytest.approx(0.591208, abs=1e-5)


def test_distillation_of_measured_values_by_hand() -> None:
    loss = FromTeacher(MeanSquaredError(), temperature=2.0, share=0.75, measured=True)
    assert float(loss(torch.tensor([[1.0]]), torch.tensor([[3.0, 2.0]]))) == pytest.approx(0.75 * 1 + 0.25 * 4)


def test_the_teacher_answers_what_the_student_sees() -> None:
    teacher = nn.Linear(1, 3).eval()
    batch = Items((torch.tensor([[1.0], [2.0]]),), torch.tensor([2, 0]))

    def doubled(items: Items, generator: torch.Generator) -> Items:
        return Items((items.inputs[0] * 2,), items.targets)

    seen = taught(teacher, doubled, measured=False)(batch, torch.Generator())
    assert torch.equal(seen.targets[:, :3], torch.tensor([[0.0, 0, 1], [1, 0, 0]]))
    assert torch.equal(seen.targets[:, 3:], teacher(torch.tensor([[2.0], [4.0]])))
    assert not seen.targets.requires_grad


def test_a_smaller_network_is_half_as_wide() -> None:
    assert smaller(Chosen(name="mlp")).options == {"width": 64}
    assert smaller(Chosen(name="lstm", options={"hidden": 50, "layers": 2})).options == {"hidden": 28, "layers": 2}
    assert smaller(Chosen(name="digits-fast")).options == {"widths": (8, 16, 32, 64)}
    assert smaller(Chosen(name="efficientnet")).options == {"width": 0.5}
    with pytest.raises(UsageError, match="digits-conv2 has no width to be halved"):
        smaller(Chosen(name="digits-conv2"))


def idle_heads_and_neurons(network: nn.Module) -> None:
    for layer in network.layers:
        layer.attention.join.weight[:, 16:] = 0  # the last two of four heads
        layer.feed[3].weight[:, ::2] = 0


def idle_units(network: nn.Module) -> None:
    for layers in (network.onward, network.backward):
        for layer in layers:
            layer.weight_hh_l0[:, 8:] = 0
    for half in (8, 24):  # of what both ways make of 16 units each
        network.classify.weight[:, half : half + 8] = 0
        for layers in (network.onward, network.backward):
            layers[1].weight_ih_l0[:, half : half + 8] = 0


SEQUENCE = SequenceShape(steps=7, channels=5)
BOTH_WAYS = {"hidden": 16, "layers": 2, "bidirectional": True}


@pytest.mark.parametrize(
    ("name", "options", "idle"),
    [
        ("transformer", {"width": 32}, idle_heads_and_neurons),
        ("lstm", BOTH_WAYS, idle_units),
        ("gru", BOTH_WAYS, idle_units),
        ("rnn", BOTH_WAYS, idle_units),
    ],
)
def test_what_does_nothing_is_what_is_taken_out(name: str, options: dict[str, Any], idle: Any) -> None:
    torch.manual_seed(0)
    network = make(name, SEQUENCE, 3, **options).eval()
    with torch.no_grad():
        idle(network)
    x = torch.randn(16, 7, 5)
    before = network(x)
    less = pruned(network, 0.5, [Items((x,), torch.randint(0, 3, (16,)))], CrossEntropy())
    counts = [sum(each.numel() for each in one.parameters()) for one in (network, less)]
    assert counts[1] < 0.65 * counts[0]
    assert torch.allclose(less(x), before, atol=1e-5)
    assert torch.equal(network(x), before), "the network itself stays as it is"


def test_channels_are_taken_out_with_all_that_hangs_on_them() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 3),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network[4].weight[:, 1::2] = 0
        network[7].weight.unflatten(1, (8, 9))[:, 4:] = 0
    x = torch.randn(8, 1, 12, 12)
    less = pruned(network, 0.5, [Items((x,), torch.randint(0, 3, (8,)))], CrossEntropy())
    assert [less[n].weight.shape[0] for n in (0, 1, 4)] == [8, 8, 4]
    assert torch.allclose(less(x), network(x), atol=1e-5)


def test_what_cannot_be_pruned_says_so() -> None:
    x = torch.randn(4, 5)
    with pytest.raises(UsageError, match="nothing of Linear can be taken out"):
        pruned(nn.Linear(5, 3), 0.5, [Items((x,), torch.zeros(4, dtype=torch.int64))], CrossEntropy())


def test_rounding_by_hand() -> None:
    low, high = torch.tensor(-0.5), torch.tensor(2.05)  # steps of 0.01, zero is 50
    x = torch.tensor([0.123, -0.508, 3.0, 0.0], requires_grad=True)
    made = rounded(x, low, high)
    assert made.tolist() == pytest.approx([0.12, -0.5, 2.05, 0.0], abs=1e-6)
    made.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 1.0], "straight through, but for what was cut off"
    weight = rounded_weight(torch.tensor([[1.27, 0.003, -0.128], [0.0, 0.0, 0.0]]))
    assert weight.flatten().tolist() == pytest.approx([1.27, 0.0, -0.13, 0.0, 0.0, 0.0], abs=1e-6)


def test_ranges_follow_the_batches_in_training_only() -> None:
    layer = In8Bits(nn.Linear(1, 1)).train()
    layer(torch.tensor([[-1.0], [3.0]]))
    assert (float(layer.low), float(layer.high)) == (-1.0, 3.0)
    layer(torch.tensor([[-2.0], [5.0]]))
    assert (float(layer.low), float(layer.high)) == pytest.approx((-1.05, 3.1))
    layer.eval()(torch.tensor([[-9.0]]))
    assert float(layer.low) == pytest.approx(-1.05)


def test_a_network_for_8_bits_and_back() -> None:
    network = make("transformer", SEQUENCE, 3, width=16)
    eight = for_8_bits(network)
    assert sum(isinstance(part, In8Bits) for part in eight.modules()) == 10
    back, layers = in_float(eight)
    assert len(layers) == 10
    assert back.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), network.parameters(), strict=True))


def test_recurrent_networks_are_not_trained_for_8_bits() -> None:
    with pytest.raises(UsageError, match="Lstm is recurrent"):
        for_8_bits(make("lstm", SEQUENCE, 3))
