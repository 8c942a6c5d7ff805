"""Optimisers by name, with the parameters of a network sorted into groups.

Weight decay is for matrices and kernels only: biases, and the scales and shifts of normalisations, are left alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.muon import Muon
from steelyard.records.spelling import did_you_mean

Maker = Callable[..., Any]


def sgd(
    module: nn.Module, rate: float = 0.1, weight_decay: float = 0.0, momentum: float = 0.9, nesterov: bool = True
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov's momentum: I. Sutskever et al., ICML 2013."""
    return torch.optim.SGD(
        _groups(module, weight_decay), rate, momentum, nesterov=nesterov and momentum > 0, fused=_fuses(module)
    )


def adam(
    module: nn.Module, rate: float = 1e-3, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Adam: D. Kingma, J. Ba, ICLR 2015 (arXiv 1412.6980); weight decay is part of the gradient."""
    return torch.optim.Adam(_groups(module, weight_decay), rate, tuple(betas), fused=_fuses(module))


def adamw(
    module: nn.Module, rate: float = 1e-3, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Adam with weight decay beside the gradient: I. Loshchilov, F. Hutter, ICLR 2019 (arXiv 1711.05101)."""
    return torch.optim.AdamW(_groups(module, weight_decay), rate, tuple(betas), fused=_fuses(module))


def muon(
    module: nn.Module,
    rate: float = 0.02,
    weight_decay: float = 0.01,
    momentum: float = 0.95,
    rate_of_others: float = 3e-3,
    betas: tuple[float, float] = (0.9, 0.95),
) -> torch.optim.Optimizer:
    """Muon for hidden matrices and kernels, AdamW with a rate of its own for all others: see `muon.py`.

    Not hidden are the first and the last layer, embeddings, and whatever has one axis.
    """
    hidden = {id(each) for each in hidden_matrices(module)}
    groups = []
    for group in _groups(module, weight_decay):
        matrices = [each for each in group["params"] if id(each) in hidden]
        others = [each for each in group["params"] if id(each) not in hidden]
        groups.append(group | {"params": others, "lr": rate_of_others})
        groups.append(group | {"params": matrices, "matrices": True})
    return Muon([group for group in groups if group["params"]], rate, momentum, betas)


OPTIMISERS: Mapping[str, Maker] = {"adam": adam, "adamw": adamw, "muon": muon, "sgd": sgd}


def make(name: str, module: nn.Module, **options: Any) -> torch.optim.Optimizer:
    """The optimiser of this name for the parameters of a network; `rate` and others by name, see their functions.

    Raises UsageError for an unknown name or option, or a value that the optimiser refuses.
    """
    if name not in OPTIMISERS:
        raise UsageError(f"there is no optimiser {name!r}", did_you_mean(name, OPTIMISERS))
    known = [each for each in inspect.signature(OPTIMISERS[name]).parameters if each != "module"]
    for option in options:
        if option not in known:
            raise UsageError(f"the optimiser {name} has no option {option!r}", did_you_mean(option, known))
    try:
        return OPTIMISERS[name](module, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the optimiser {name} cannot be made with {options}: {error}") from error


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights with two axes or more between the first and the last layer that has any, without embeddings."""
    embeddings = {id(each.weight) for each in module.modules() if isinstance(each, nn.Embedding)}
    matrices = [each for each in module.parameters() if each.ndim >= 2 and each.requires_grad]
    return [each for each in matrices[1:-1] if id(each) not in embeddings]


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    learnt = [each for each in module.parameters() if each.requires_grad]
    matrices = [each for each in learnt if each.ndim >= 2]
    others = [each for each in learnt if each.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _fuses(module: nn.Module) -> bool:
    """One pass over all parameters instead of several per parameter, where torch has it."""
    return all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in module.parameters())
