"""Structured pruning: whole channels, neurons, heads and units are taken out, so that what is left is smaller for real.

What a part is worth is told by how much the loss would change without it, to first order: Σ |w ∂L/∂w| over its weights
(P. Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, arXiv 1906.10771). Which channels
of a network hang together, through sums and normalisations, Torch-Pruning finds out (G. Fang et al., "DepGraph", CVPR
2023, arXiv 2301.12900); attention and recurrent layers, whose packed weights it does not know, are cut here.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.losses import Loss
from steelyard.networks.recurrent import Gru, Lstm, Rnn
from steelyard.networks.transformer import Transformer
from steelyard.train.items import Items
from steelyard.train.pruning_packed import prune_recurrent, prune_transformer

MULTIPLE = 4
"""Channels come in multiples of it, which processors compute at once."""
NOT_PRUNED = "train it without 'prune' in [cheaper], or distil a smaller network from it"


def pruned(network: nn.Module, keep: float, batches: Sequence[Items], loss: Loss) -> nn.Module:
    """A copy in which about the share `keep` of the channels, neurons, heads and units of each layer is left.

    What is worth most by these `batches` of the training part stays. The outputs stay as many as they are. The copy,
    which is to learn on, lies in the machine's memory, as the batches do.

    Raises UsageError for a network that cannot be pruned.
    """
    copied = copy.deepcopy(network).cpu().eval()
    _leave_gradients(copied, batches, loss)
    before = _outputs(copied, batches[0])
    try:
        if isinstance(copied, Transformer):
            prune_transformer(copied, keep)
        elif isinstance(copied, Rnn | Lstm | Gru):
            prune_recurrent(copied, keep)
        else:
            _prune_channels(copied, keep, batches[0])
        after = _outputs(copied, batches[0])
    except Exception as error:  # the library, or a network that was cut apart, may raise anything
        raise UsageError(f"{type(network).__name__} cannot be pruned: {error}", NOT_PRUNED) from error
    if after.shape != before.shape or _count(copied) >= _count(network):
        raise UsageError(f"nothing of {type(network).__name__} can be taken out", NOT_PRUNED)
    copied.zero_grad()
    return copied


def _leave_gradients(network: nn.Module, batches: Sequence[Items], loss: Loss) -> None:
    """The loss's gradient over all batches, in `grad`."""
    network.zero_grad()
    for batch in batches:
        loss(network(*batch.inputs), batch.targets).backward()


@torch.no_grad()  # type: ignore[untyped-decorator]
def _outputs(network: nn.Module, batch: Items) -> torch.Tensor:
    return network(*batch.inputs)


def _count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def _prune_channels(network: nn.Module, keep: float, batch: Items) -> None:
    """Of convolutions and fully connected layers that hang together in whatever way."""
    import torch_pruning

    last = _last_layer(network, batch)
    sample = batch.take(torch.arange(min(2, len(batch))))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of parameters that it would cut as it thinks best
        pruner = torch_pruning.pruner.BasePruner(
            network,
            sample.inputs,
            importance=torch_pruning.importance.GroupTaylorImportance(),
            pruning_ratio=1 - keep,
            ignored_layers=[last],
            round_to=MULTIPLE,
        )
        pruner.step()


def _last_layer(network: nn.Module, batch: Items) -> nn.Module:
    """The layer that computes last: its outputs are the network's."""
    called: list[nn.Module] = []
    layers = [part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda layer, *_: called.append(layer)) for layer in layers]
    _outputs(network, batch)
    for hook in hooks:
        hook.remove()
    if not called:
        raise UsageError("it has no convolution and no fully connected layer", NOT_PRUNED)
    return called[-1]
