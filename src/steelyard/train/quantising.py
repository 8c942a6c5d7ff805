"""Training for 8 bits: weights and what goes into each layer are rounded as they will be, while the network learns on.

B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018 (arXiv 1712.05877), section 3. Rounding has no slope worth following, so the gradient passes it by where a value
was not cut off ("straight-through": Y. Bengio et al., arXiv 1308.3432, 2013). Weights are signed with one scale per
output channel, activations unsigned with one scale for all: what ONNX Runtime and OpenVINO compute fastest.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.func import functional_call

from steelyard.errors import UsageError

LEVELS = 255
"""Steps between the lowest and the highest unsigned number of 8 bits."""
WEIGHT_LEVELS = 127
"""Steps from zero to the highest weight; the lowest is as far away."""
MOMENTUM = 0.05
"""Share of a new batch in the range that an activation is seen in."""
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)
SMALLEST = 1e-8


class In8Bits(nn.Module):  # type: ignore[misc]
    """A convolution or fully connected layer whose weights and input are rounded to 8 bits and back.

    The range of the input, `low` to `high`, follows the batches in training and stays in evaluation.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer makes of the rounded input with rounded weights."""
        if self.training:
            self._look(x.detach())
        weight = rounded_weight(self.layer.weight)
        return functional_call(self.layer, {"weight": weight}, (rounded(x, self.low, self.high),))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _look(self, x: torch.Tensor) -> None:
        low, high = x.min(), x.max()
        share = torch.where(self.low == self.high, 1.0, MOMENTUM)  # nothing was seen before: take it as it is
        self.low.lerp_(low, share)
        self.high.lerp_(high, share)


def rounded(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """s (clamp(round(x / s) + z, 0, 255) − z), with s = (high − low) / 255 and z = round(−low / s).

    The range is widened to hold zero, which 8 bits then hold exactly.
    """
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = ((high - low) / LEVELS).clamp(min=SMALLEST)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, LEVELS)


def rounded_weight(weight: torch.Tensor) -> torch.Tensor:
    """s_c round(w / s_c) for each output channel c, the first axis, with s_c = max |w_c| / 127."""
    scale = (weight.detach().flatten(1).abs().amax(1) / WEIGHT_LEVELS).clamp(min=SMALLEST)
    zero = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)


def for_8_bits(network: nn.Module) -> nn.Module:
    """A copy whose convolutions and fully connected layers are `In8Bits`, to learn on.

    Raises UsageError for a network without any, and for one whose work lies in recurrent layers.
    """
    copied = copy.deepcopy(network)
    if any(isinstance(part, nn.RNNBase) for part in copied.modules()):
        raise UsageError(
            f"{type(network).__name__} is recurrent: no engine computes its layers in 8 bits trained for",
            "leave 'quantise' out of [cheaper]; `steelyard weigh` tries 8-bit weights of recurrent layers anyway",
        )
    if not _replace(copied):
        raise UsageError(
            f"{type(network).__name__} has no convolution and no fully connected layer to be quantised",
            "leave 'quantise' out of [cheaper]",
        )
    return copied


def _replace(network: nn.Module) -> int:
    """How many layers were replaced."""
    count = 0
    for name, part in list(network.named_children()):
        if isinstance(part, KINDS):
            setattr(network, name, In8Bits(part))
            count += 1
        else:
            count += _replace(part)
    return count


def in_float(network: nn.Module) -> tuple[nn.Module, list[In8Bits]]:
    """A copy with its own layers again, whose weights are as they were before rounding; and the layers as they were."""
    copied, found = copy.deepcopy(network), []
    for name, part in list(copied.named_modules()):
        if isinstance(part, In8Bits):
            parent, _, last = name.rpartition(".")
            setattr(copied.get_submodule(parent), last, part.layer)
            found.append(part)
    return copied, found
