"""The networks are those of their papers: as many parameters as published, and the answers of torch's own layers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from steelyard.errors import UsageError
from steelyard.networks import ImageShape, InputShape, SequenceShape, TableShape, TextShape, make
from steelyard.networks.efficientnet import PUBLISHED, EfficientNet, InvertedBottleneck, round_channels, scaled
from steelyard.networks.recurrent import Lstm
from steelyard.networks.transformer import Attention, Transformer, positions

IMAGENET = ImageShape(channels=3, height=224, width=224)
CIFAR = ImageShape(channels=3, height=32, width=32)
DIGIT = ImageShape(height=28, width=28)
STEPS = SequenceShape(channels=3, steps=7)
LENGTHS = torch.tensor([7, 4, 1])


def parameters(name: str, shape: InputShape, outputs: int, **options: Any) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in make(name, shape, outputs, **options).parameters())


@pytest.mark.parametrize(
    ("depth", "published"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (152, 60_192_808)]
)
def test_resnet_has_the_published_parameters(depth: int, published: int) -> None:
    assert parameters("resnet", IMAGENET, 1000, depth=depth) == published


def test_resnet_for_small_pictures_has_the_stem_for_cifar() -> None:
    assert parameters("resnet", CIFAR, 10) == 11_173_962
    assert parameters("resnet", CIFAR, 10, small_images=False) > 11_173_962
    with torch.device("meta"):
        small, large = make("resnet", CIFAR, 10), make("resnet", IMAGENET, 10)
    assert small.stem(torch.empty(1, 3, 32, 32, device="meta")).shape[2:] == (32, 32)
    assert large.stem(torch.empty(1, 3, 224, 224, device="meta")).shape[2:] == (56, 56)


@pytest.mark.parametrize("depth", [18, 50])
def test_the_last_stage_of_a_resnet_sees_a_thirty_second_of_the_side(depth: int) -> None:
    with torch.device("meta"):
        network = make("resnet", IMAGENET, 10, depth=depth)
        x = torch.empty(2, 3, 224, 224)
        assert network.stages(network.stem(x)).shape == (2, 512 if depth == 18 else 2048, 7, 7)


def test_a_fresh_residual_block_passes_its_input_on() -> None:
    x = torch.rand(2, 64, 5, 5)
    block = make("resnet", CIFAR, 10).stages[0]
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("name", "published"), [("b0", 5_288_548), ("b1", 7_794_184), ("b4", 19_341_616)])
def test_efficientnet_has_the_published_parameters(name: str, published: int) -> None:
    scale = PUBLISHED[name]
    assert parameters("efficientnet", IMAGENET, 1000, width=scale.width, depth=scale.depth) == published


@pytest.mark.parametrize(("width", "depth", "published"), [(1.0, 1.0, 4_652_008), (1.4, 1.8, 13_006_568)])
def test_efficientnet_lite_has_the_published_parameters(width: float, depth: float, published: int) -> None:
    assert parameters("efficientnet", IMAGENET, 1000, width=width, depth=depth, lite=True) == published


def test_compound_scaling_doubles_the_operations_with_each_step() -> None:
    one = scaled(1)
    assert (one.depth, one.width, one.resolution) == (1.2, 1.1, 258)
    assert one.depth * one.width**2 * (one.resolution / 224) ** 2 == pytest.approx(2, rel=0.05)
    assert scaled(0) == PUBLISHED["b0"]


def test_channels_are_rounded_to_eights_that_take_away_no_more_than_a_tenth() -> None:
    assert [round_channels(32, width) for width in (1.0, 1.1, 0.35)] == [32, 32, 16]
    assert round_channels(24, 1.1) == 24
    assert round_channels(16, 0.1) == 8


def test_deeper_blocks_are_passed_by_more_often_and_only_in_training() -> None:
    torch.manual_seed(0)
    network = EfficientNet(CIFAR, 3, width=0.25, depth=0.2, stochastic_depth=0.5)
    blocks = [each for each in network.modules() if isinstance(each, InvertedBottleneck)]
    assert [block.drop for block in blocks] == pytest.approx([0.5 * n / 7 for n in range(7)])
    block = next(each for each in blocks if each.adds)
    block.drop = 0.75
    x = torch.randn(400, block.channels, 2, 2)
    made = block.train()(x)
    passed = (made == x).flatten(1).all(1)
    assert passed.float().mean().item() == pytest.approx(0.75, abs=0.1)
    assert torch.allclose(made[~passed], (x + block.layers(x) / (1 - 0.75))[~passed], atol=1e-4)
    assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_the_classic_networks_for_digits_have_the_published_parameters() -> None:
    assert parameters("digits-conv2", DIGIT, 10) == 34_826
    assert parameters("digits-conv3", DIGIT, 10) == 93_322


def test_the_networks_of_our_own_have_the_parameters_that_are_told() -> None:
    assert parameters("digits-fast", DIGIT, 10) == 98_938
    assert parameters("digits-tiny", DIGIT, 10) == 9_280


def test_pictures_that_are_too_small_are_told() -> None:
    with pytest.raises(UsageError, match="12 × 28 are too small"):
        make("digits-conv3", ImageShape(height=12, width=28), 10)
    with pytest.raises(UsageError, match="take at least 23 × 23 pixels"):
        make("digits-fast", ImageShape(height=28, width=22), 10)


@pytest.mark.parametrize(("name", "least"), [("digits-conv2", 10), ("digits-conv3", 18), ("digits-fast", 23)])
def test_the_smallest_pictures_that_are_told_are_taken(name: str, least: int) -> None:
    shape = ImageShape(height=least, width=least)
    assert make(name, shape, 10)(torch.zeros(2, 1, least, least)).shape == (2, 10)
    with pytest.raises(UsageError, match=f"at least {least} × {least}"):
        make(name, ImageShape(height=least - 1, width=least), 10)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_answer_as_torch_does_on_packed_items(bidirectional: bool) -> None:
    torch.manual_seed(0)
    network = Lstm(STEPS, 2, hidden=5, layers=2, bidirectional=bidirectional)
    theirs = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=bidirectional)
    for layer in range(2):
        for direction, suffix in ((network.onward, ""), (network.backward, "_reverse"))[: 1 + bidirectional]:
            for name, weight in direction[layer].named_parameters():
                getattr(theirs, name.replace("l0", f"l{layer}{suffix}")).data = weight.data
    x = torch.randn(3, 7, 3)
    _, (state, _) = theirs(pack_padded_sequence(x, LENGTHS, batch_first=True))
    last = torch.cat([state[2], state[3]], 1) if bidirectional else state[1]
    assert torch.allclose(network(x, LENGTHS), network.classify(last), atol=1e-6)
    assert torch.allclose(network(x[:1]), network(x[:1], LENGTHS[:1]), atol=1e-6)


@pytest.mark.parametrize("name", ["fcn", "rnn", "lstm", "gru", "transformer"])
def test_what_fills_sequences_up_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    options = {"bidirectional": True, "layers": 2} if name in ("rnn", "lstm", "gru") else {}
    network = make(name, STEPS, 2, **options).eval()
    x = torch.randn(3, 7, 3)
    other = x.clone()
    for item, length in enumerate(LENGTHS):
        other[item, length:] = 9.0
    assert torch.allclose(network(x, LENGTHS), network(other, LENGTHS), atol=1e-5)
    alone = torch.cat([network(item[None, :length]) for item, length in zip(x, LENGTHS, strict=True)])
    assert torch.allclose(network(x, LENGTHS), alone, atol=1e-5)


def test_convolutions_along_time_find_a_pattern_wherever_it_is() -> None:
    network = make("fcn", SequenceShape(channels=1, steps=40), 2, widths=(3, 4, 5)).eval()
    early, late = torch.zeros(1, 40, 1), torch.zeros(1, 40, 1)
    early[0, 10:13, 0] = late[0, 25:28, 0] = torch.tensor([1.0, -2.0, 3.0])
    assert torch.allclose(network(early), network(late), atol=1e-6)
    assert not torch.allclose(network(early), network(early.flip(1)), atol=1e-6)
    assert [tuple(each.weight.shape) for each in network.modules() if isinstance(each, nn.Conv1d)] == [
        (3, 1, 7), (4, 3, 5), (5, 4, 3),
    ]  # fmt: skip


def test_the_transformer_answers_as_torchs_own_encoder() -> None:
    torch.manual_seed(0)
    network = Transformer(STEPS, 2, width=16, layers=2, heads=4, hidden=32).eval()
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False).eval()
    renamed = {
        "self_attn.in_proj_": "attention.project.", "self_attn.out_proj.": "attention.join.",
        "linear1.": "feed.0.", "linear2.": "feed.3.", "norm1.": "attention_norm.", "norm2.": "feed_norm.",
    }  # fmt: skip
    weights = {}
    for name in theirs.state_dict():
        ours = name
        for old, new in renamed.items():
            ours = ours.replace(old, new)
        weights[name] = network.state_dict()[ours]
    theirs.load_state_dict(weights)
    x = torch.randn(3, 7, 3)
    filled = torch.arange(7) >= LENGTHS[:, None]
    with torch.no_grad():
        seen = theirs(network.embed(x) + positions(7, 16), src_key_padding_mask=filled)
        mean = torch.stack([item[:length].mean(0) for item, length in zip(seen, LENGTHS, strict=True)])
        assert torch.allclose(network(x, LENGTHS), network.classify(mean), atol=1e-5)


def test_attention_weighs_values_by_how_well_keys_fit() -> None:
    attention = Attention(2, 1)
    # Queries and keys are the input, values its double, and nothing is projected behind.
    attention.project.weight.data = torch.cat([torch.eye(2), torch.eye(2), 2 * torch.eye(2)])
    attention.project.bias.data.zero_()
    attention.join.weight.data, attention.join.bias.data = torch.eye(2), torch.zeros(2)
    made = attention(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), None)
    fits = math.exp(1 / math.sqrt(2))
    share = fits / (fits + 1)
    assert torch.allclose(made, 2 * torch.tensor([[[share, 1 - share], [1 - share, share]]]))


def test_positions_are_sines_and_cosines() -> None:
    made = positions(50, 4)
    assert made[3].tolist() == pytest.approx([math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)], abs=1e-6)
    assert torch.equal(positions(20, 4), made[:20])


def test_a_text_of_padding_alone_has_a_finite_answer() -> None:
    for name in ("gru", "transformer"):
        made = make(name, TextShape(vocabulary=5, length=4), 2).eval()(torch.zeros(1, 4, dtype=torch.int64))
        assert bool(made.isfinite().all())


def test_a_table_embeds_its_categories() -> None:
    shape = TableShape(numbers=2, categories=(3, 120))
    network = make("mlp", shape, 2, width=8, layers=1).eval()
    assert [tuple(each.weight.shape) for each in network.embeddings] == [(3, 2), (120, 50)]
    row = torch.tensor([[0.5, -1.0, 2.0, 119.0]])
    beyond = torch.tensor([[0.5, -1.0, 7.0, 119.0]])
    other = torch.tensor([[0.5, -1.0, 1.0, 119.0]])
    assert torch.equal(network(row), network(beyond))
    assert not torch.equal(network(row), network(other))
    only_categories = make("mlp", TableShape(numbers=0, categories=(4,)), 1, layers=0)
    assert only_categories(torch.tensor([[3.0]])).shape == (1, 1)
