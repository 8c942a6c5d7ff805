"""The networks by name. Light: a network's own module, and with it torch, is imported when it is made."""

from __future__ import annotations

from steelyard.networks.shapes import Kind
from steelyard.records.base import Record


class NetworkSpec(Record):
    """One line in the table of networks."""

    name: str
    maker: str
    """Dotted path of a class or function that returns a `torch.nn.Module`. Of what it is made for, it is given what it
    asks for by name: `shape` (the InputShape) and `outputs` (how many numbers per item); options by name."""
    takes: tuple[Kind, ...]
    """The kinds of items that it takes."""
    summary: str


_EVERY = (
    NetworkSpec(
        name="digits-conv2",
        maker="steelyard.networks.digits_conv:DigitsConv2",
        takes=("images",),
        summary="two convolutional layers for small pictures, as in the Keras example",
    ),
    NetworkSpec(
        name="digits-conv3",
        maker="steelyard.networks.digits_conv:DigitsConv3",
        takes=("images",),
        summary="three convolutional layers and one hidden layer for small pictures",
    ),
    NetworkSpec(
        name="digits-fast",
        maker="steelyard.networks.digits_fast:DigitsFast",
        takes=("images",),
        summary="small pictures, made to be trained in seconds on a processor",
    ),
    NetworkSpec(
        name="digits-tiny",
        maker="steelyard.networks.digits_tiny:digits_tiny",
        takes=("images",),
        summary="small pictures with fewer than 10,000 parameters",
    ),
    NetworkSpec(
        name="efficientnet",
        maker="steelyard.networks.efficientnet:EfficientNet",
        takes=("images",),
        summary="EfficientNet, scaled in width and depth; its Lite form",
    ),
    NetworkSpec(
        name="fcn",
        maker="steelyard.networks.fcn:Fcn",
        takes=("sequences",),
        summary="three convolutions along time",
    ),
    NetworkSpec(
        name="gru",
        maker="steelyard.networks.recurrent:Gru",
        takes=("sequences", "text"),
        summary="gated recurrent units",
    ),
    NetworkSpec(
        name="lstm",
        maker="steelyard.networks.recurrent:Lstm",
        takes=("sequences", "text"),
        summary="long short-term memory",
    ),
    NetworkSpec(
        name="mlp",
        maker="steelyard.networks.mlp:Mlp",
        takes=("table",),
        summary="fully connected layers for tables, embeddings for categories",
    ),
    NetworkSpec(
        name="resnet",
        maker="steelyard.networks.resnet:ResNet",
        takes=("images",),
        summary="ResNet of 18 to 152 layers, with a stem for large or for small pictures",
    ),
    NetworkSpec(
        name="rnn",
        maker="steelyard.networks.recurrent:Rnn",
        takes=("sequences", "text"),
        summary="plain recurrent units",
    ),
    NetworkSpec(
        name="transformer",
        maker="steelyard.networks.transformer:Transformer",
        takes=("sequences", "text"),
        summary="Transformer encoder",
    ),
)

NETWORKS: dict[str, NetworkSpec] = {spec.name: spec for spec in _EVERY}
