"""ONNX operators that are layers of networks, for torch: convolution, pooling, normalisation, activation.

Semantics: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - everyone calls it so

from steelyard.errors import CandidateFailure
from steelyard.runtimes.torch_node import Function, Node
from steelyard.runtimes.torch_recurrent import RECURRENT

_CONVOLUTIONS = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_TRANSPOSED = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _Window:
    """Kernel, strides, dilations and padding, as convolution and pooling share them."""

    def __init__(self, node: Node, kernel: Sequence[int]) -> None:
        rank = len(kernel)
        self.kernel = list(kernel)
        self.strides = node.attribute("strides", [1] * rank)
        self.dilations = node.attribute("dilations", [1] * rank)
        self._auto = node.attribute("auto_pad", "NOTSET")
        pads = node.attribute("pads", [0] * 2 * rank)
        self.pads = [0] * 2 * rank if self._auto == "VALID" else pads
        self.symmetric = not self._auto.startswith("SAME") and self.pads[:rank] == self.pads[rank:]
        self.even = self.pads[:rank]

    def padded(self, x: Any, value: float) -> Any:
        """`x` with the padding that torch's own arguments cannot express."""
        pads = self._same(x.shape[2:]) if self._auto.startswith("SAME") else self.pads
        rank = len(self.kernel)
        pairs = zip(reversed(pads[:rank]), reversed(pads[rank:]), strict=True)
        return F.pad(x, [size for pair in pairs for size in pair], value=value)

    def _same(self, sizes: Sequence[int]) -> list[int]:
        begins, ends = [], []
        windows = zip(sizes, self.kernel, self.strides, self.dilations, strict=True)
        for size, kernel, stride, dilation in windows:
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            begin = total // 2 if self._auto == "SAME_UPPER" else total - total // 2
            begins.append(begin)
            ends.append(total - begin)
        return begins + ends


def _conv(node: Node) -> Function:
    groups = node.attribute("group", 1)
    kernel = node.attribute("kernel_shape", None) or _kernel_of(node)
    window, convolve = _Window(node, kernel), _CONVOLUTIONS[len(kernel)]
    strides, dilations, even = window.strides, window.dilations, window.even
    if window.symmetric:
        return lambda x, weight, bias=None: convolve(x, weight, bias, strides, even, dilations, groups)
    none = [0] * len(kernel)
    return lambda x, weight, bias=None: convolve(window.padded(x, 0.0), weight, bias, strides, none, dilations, groups)


def _kernel_of(node: Node) -> Sequence[int]:
    if node.known[1] is None:
        raise CandidateFailure("unsupported", f"{node.operator} without kernel_shape needs weights that are constant")
    return tuple(node.known[1].shape[2:])


def _conv_transpose(node: Node) -> Function:
    kernel = node.attribute("kernel_shape", None) or _kernel_of(node)
    window, groups = _Window(node, kernel), node.attribute("group", 1)
    if not window.symmetric or "output_shape" in node.attributes:
        raise CandidateFailure("unsupported", "torch has no function for ConvTranspose with uneven padding")
    extra = node.attribute("output_padding", [0] * len(kernel))
    convolve, strides, even, dilations = _TRANSPOSED[len(kernel)], window.strides, window.even, window.dilations
    return lambda x, weight, bias=None: convolve(x, weight, bias, strides, even, extra, groups, dilations)


def _max_pool(node: Node) -> Function:
    window = _Window(node, node.attributes["kernel_shape"])
    pool, ceil = _MAX_POOLS[len(window.kernel)], bool(node.attribute("ceil_mode", 0))
    kernel, strides, dilations, even = window.kernel, window.strides, window.dilations, window.even
    if window.symmetric and all(2 * pad <= size for pad, size in zip(even, kernel, strict=True)):
        return lambda x: pool(x, kernel, strides, even, dilations, ceil)
    return lambda x: pool(window.padded(x, -torch.inf), kernel, strides, 0, dilations, ceil)


def _average_pool(node: Node) -> Function:
    window = _Window(node, node.attributes["kernel_shape"])
    pool, ceil = _AVERAGE_POOLS[len(window.kernel)], bool(node.attribute("ceil_mode", 0))
    count_pad = bool(node.attribute("count_include_pad", 0))
    if set(window.dilations) != {1}:
        raise CandidateFailure("unsupported", "torch has no function for AveragePool with dilations")
    kernel, strides, even = window.kernel, window.strides, window.even
    if window.symmetric:
        return lambda x: pool(x, kernel, strides, even, ceil, count_pad)
    if not count_pad:
        raise CandidateFailure("unsupported", "torch has no function for AveragePool with uneven padding")
    return lambda x: pool(window.padded(x, 0.0), kernel, strides, 0, ceil)


def _global_average(x: Any) -> Any:
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _global_max(x: Any) -> Any:
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


def _gemm(node: Node) -> Function:
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    flip_a, flip_b = node.attribute("transA", 0), node.attribute("transB", 0)
    c = node.known[2] if node.has_input(2) else None
    if alpha == beta == 1 and not flip_a and (not node.has_input(2) or (c is not None and c.dim() == 1)):
        return lambda a, b, c=None: F.linear(a, b if flip_b else b.t(), c)

    def gemm(a: Any, b: Any, c: Any = None) -> Any:
        product = alpha * ((a.t() if flip_a else a) @ (b.t() if flip_b else b))
        return product if c is None else product + beta * c

    return gemm


def _batch_norm(node: Node) -> Function:
    epsilon = node.attribute("epsilon", 1e-5)
    if node.attribute("training_mode", 0):
        raise CandidateFailure("unsupported", "BatchNormalization in training mode is not inference")
    return lambda x, scale, bias, mean, var: F.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)


def _layer_norm(node: Node) -> Function:
    axis, epsilon = node.attribute("axis", -1), node.attribute("epsilon", 1e-5)
    return lambda x, scale, bias=None: F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def _instance_norm(node: Node) -> Function:
    epsilon = node.attribute("epsilon", 1e-5)
    return lambda x, scale, bias: F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def _softmax(function: Function) -> Callable[[Node], Function]:
    def build(node: Node) -> Function:
        if node.opset >= 13:
            axis = node.attribute("axis", -1)
            return lambda x: function(x, axis)
        # Before opset 13 all axes from this one on were one axis.
        first = node.attribute("axis", 1)
        return lambda x: function(x.flatten(first), -1).view(x.shape)

    return build


def _leaky_relu(node: Node) -> Function:
    slope = node.attribute("alpha", 0.01)
    return lambda x: F.leaky_relu(x, slope)


def _elu(node: Node) -> Function:
    alpha = node.attribute("alpha", 1.0)
    return lambda x: F.elu(x, alpha)


def _hard_sigmoid(node: Node) -> Function:
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    return lambda x: torch.clamp(x * alpha + beta, 0.0, 1.0)


def _gelu(node: Node) -> Function:
    approximate = node.attribute("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


def _resize(node: Node) -> Function:
    nearest = _is_nearest(node)

    def resize(x: Any, _region: Any = None, scales: Any = None, sizes: Any = None) -> Any:
        wanted = _sizes_by(scales, x.shape) if sizes is None else sizes.tolist()
        if x.dim() != 4 or wanted[:2] != list(x.shape[:2]) or 1 in wanted[2:]:
            raise CandidateFailure("unsupported", f"torch has no function for Resize from {list(x.shape)} to {wanted}")
        return F.interpolate(x, wanted[2:], mode="nearest" if nearest else "bilinear")

    return resize


def _is_nearest(node: Node) -> bool:
    mode = node.attribute("mode", "nearest")
    place = node.attribute("coordinate_transformation_mode", "half_pixel")
    nearest = (mode, place, node.attribute("nearest_mode", "")) == ("nearest", "asymmetric", "floor")
    linear = (mode, place) in (("linear", "half_pixel"), ("linear", "pytorch_half_pixel"))
    odd = any(node.attribute(name, 0) for name in ("antialias", "axes", "exclude_outside"))
    if odd or not (nearest or linear) or node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise CandidateFailure("unsupported", f"torch has no function for Resize by {mode}, {place} as this node asks")
    return nearest


def _sizes_by(scales: Any, shape: Sequence[int]) -> list[int]:
    exact = [size * scale for size, scale in zip(shape, scales.tolist(), strict=True)]
    # Where a size is rounded, ONNX keeps to the scale and torch to the sizes.
    if any(abs(size - round(size)) > 1e-3 for size in exact):
        raise CandidateFailure("unsupported", f"torch has no function for Resize to the fractional sizes {exact}")
    return [round(size) for size in exact]


LAYERS: dict[str, Callable[[Node], Function]] = {
    **RECURRENT,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Elu": _elu,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _node: _global_average,
    "GlobalMaxPool": lambda _node: _global_max,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _node: F.hardswish,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax(torch.log_softmax),
    "MaxPool": _max_pool,
    "Mish": lambda _node: F.mish,
    "PRelu": lambda _node: lambda x, slope: torch.where(x < 0, x * slope, x),
    "Relu": lambda _node: torch.relu,
    "Resize": _resize,
    "Sigmoid": lambda _node: torch.sigmoid,
    "Softmax": _softmax(torch.softmax),
    "Softplus": lambda _node: F.softplus,
    "Tanh": lambda _node: torch.tanh,
}
