"""What is trained: the one way to make any of the networks in the table, or one of your own.

The table is light: torch is imported when a network is made. A network of your own is named by its dotted path,
`package.module:Class`; `steelyard.testing.check_network` tells whether it keeps the contract.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from steelyard.errors import SteelyardError, UsageError
from steelyard.networks.shapes import ImageShape, InputShape, Kind, SequenceShape, TableShape, TextShape
from steelyard.networks.table import NETWORKS, NetworkSpec
from steelyard.records.dotted import NoFunction, found, users_function
from steelyard.records.spelling import did_you_mean

if TYPE_CHECKING:
    import torch

__all__ = [
    "NETWORKS",
    "ImageShape",
    "InputShape",
    "Kind",
    "NetworkSpec",
    "SequenceShape",
    "TableShape",
    "TextShape",
    "check_options",
    "make",
    "options",
]

_GIVEN = ("shape", "outputs")
_Maker = Callable[..., Any]


def make(name: str, shape: InputShape, outputs: int, **chosen: Any) -> torch.nn.Module:
    """A fresh network for items of this shape that gives `outputs` numbers per item: [items, outputs].

    `name` is one of the table, or `package.module:Class` of your own, which is given `shape` and `outputs` if its
    constructor has parameters of these names. Weights are drawn from torch's own generator: seed it before.

    Raises UsageError for an unknown name or option, a value that makes no sense, items of a kind or size that the
    network does not take, and what is no module.
    """
    if outputs < 1:
        raise UsageError(f"a network has 1 or more outputs, got {outputs}", "one per class, or per measured value")
    maker = _maker(name)
    _check_kind(name, shape)
    check_options(name, chosen)
    asked = inspect.signature(maker).parameters
    given = {key: value for key, value in (("shape", shape), ("outputs", outputs)) if key in asked}
    return _made(name, maker, given | chosen)


def options(name: str) -> Mapping[str, Any]:
    """The options that a network has, and what they are when not given (`inspect.Parameter.empty`: they must be).

    Raises UsageError for an unknown name.
    """
    parameters = inspect.signature(_maker(name)).parameters.values()
    loose = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {each.name: each.default for each in parameters if each.name not in _GIVEN and each.kind not in loose}


def _maker(name: str) -> _Maker:
    if name in NETWORKS:
        maker: _Maker = found(NETWORKS[name].maker)
        return maker
    if ":" not in name:
        raise UsageError(f"there is no network {name!r}", did_you_mean(name, NETWORKS))
    try:
        return users_function(name)
    except NoFunction as error:
        raise UsageError(error.message, error.hint) from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} cannot be imported: {_told(error)}", "this is an error in your own code") from error


def _check_kind(name: str, shape: InputShape) -> None:
    if name in NETWORKS and shape.kind not in NETWORKS[name].takes:
        fitting = [spec.name for spec in NETWORKS.values() if shape.kind in spec.takes]
        takes = " or ".join(NETWORKS[name].takes)
        raise UsageError(f"{name} takes {takes}, the data are {shape.kind}", f"choose one of: {', '.join(fitting)}")


def check_options(name: str, chosen: Mapping[str, Any]) -> None:
    """Raises UsageError for an unknown network, or an option that it does not have."""
    kinds = [each.kind for each in inspect.signature(_maker(name)).parameters.values()]
    known = options(name)
    wrong = next((option for option in chosen if option not in known), None)
    if wrong is not None and inspect.Parameter.VAR_KEYWORD not in kinds:
        hint = did_you_mean(wrong, known) if known else "it has no options"
        raise UsageError(f"{name} has no option {wrong!r}", hint)


def _made(name: str, maker: _Maker, arguments: Mapping[str, Any]) -> torch.nn.Module:
    import torch

    try:
        network = maker(**arguments)
    except SteelyardError:
        raise
    except Exception as error:  # a module of the user's own may raise anything
        told = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        message = f"{name} cannot be made with {told}: {_told(error)}"
        raise UsageError(message, "change or leave out an option") from error
    if not isinstance(network, torch.nn.Module):
        raise UsageError(f"{name} makes a {type(network).__name__}, expected a torch.nn.Module")
    return network


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
