"""What every network must keep, checked on made-up items.

Call `check_network(name, shape)` from a test: it returns nothing, and raises AssertionError with a sentence that tells
what is wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.errors import ModelError
from steelyard.models.torch_module import export_module
from steelyard.networks import InputShape, TextShape, make

if TYPE_CHECKING:
    import torch

_ITEMS = 5
_OUTPUTS = 3
_TOLERANCE = 1e-4


def check_network(name: str, shape: InputShape, outputs: int = _OUTPUTS, **options: Any) -> None:
    """Raises AssertionError unless the network keeps its contract, on items of this shape.

    It gives float32 [items, outputs], finite, for any number of items and, where they may vary, any number of steps; in
    evaluation an item's answer does not hang on the others of its batch, nor on the tokens that fill a text up; every
    parameter gets a gradient; a fresh network gives the same answers once it has the weights of another; and exported
    to ONNX it answers as it does here, at batches and lengths that the exporter did not see.

    `name` and `options` as `steelyard.networks.make` takes them.
    """
    import torch

    torch.manual_seed(0)
    network = make(name, shape, outputs, **options)
    _check_gradients(name, network, shape)
    network.eval()
    with torch.no_grad():
        _check_answers(name, network, shape, outputs)
        _check_items_stand_alone(name, network, shape)
        _check_weights_are_all(name, network, make(name, shape, outputs, **options).eval(), shape)
    _check_export(name, network, shape)


def _require(condition: object, message: str) -> None:
    # An assert statement would vanish under `python -O`.
    if not condition:
        raise AssertionError(message)


def _items(shape: InputShape, items: int = _ITEMS, longer: int = 0) -> torch.Tensor:
    from steelyard.networks.inputs import drawn

    usual = shape.length if isinstance(shape, TextShape) else getattr(shape, "steps", 0)
    return drawn(shape, items, usual + longer if shape.varies else None, seed=items)


def _check_gradients(name: str, network: torch.nn.Module, shape: InputShape) -> None:
    import torch

    made = network.train()(_items(shape))
    loss = torch.nn.functional.mse_loss(made, torch.arange(made.numel()).reshape(made.shape).to(made.dtype))
    loss.backward()
    without = [key for key, each in network.named_parameters() if each.requires_grad and each.grad is None]
    _require(not without, f"{name}: no gradient reaches {', '.join(without)}")
    odd = [key for key, each in network.named_parameters() if each.requires_grad and not each.grad.isfinite().all()]
    _require(not odd, f"{name}: the gradients of {', '.join(odd)} are not finite")


def _check_answers(name: str, network: torch.nn.Module, shape: InputShape, outputs: int) -> None:
    for items in (1, 2, _ITEMS):
        for longer in (0, 3) if shape.varies else (0,):
            made = network(_items(shape, items, longer))
            where = f"{name}, {items} items" + (f", {longer} steps more than usual" if longer else "")
            got, wanted = f"{made.dtype}{list(made.shape)}", f"torch.float32{[items, outputs]}"
            _require(got == wanted, f"{where}: expected {wanted}, got {got}")
            _require(made.isfinite().all(), f"{where}: answers are not finite")


def _check_items_stand_alone(name: str, network: torch.nn.Module, shape: InputShape) -> None:
    import torch

    together = network(_items(shape))
    alone = torch.cat([network(item[None]) for item in _items(shape)])
    _require_close(together, alone, f"{name}: an item's answer depends on what else is in the batch")
    again = network(_items(shape))
    _require_close(together, again, f"{name}: asked twice in evaluation it answers differently")
    if isinstance(shape, TextShape):
        filled = torch.nn.functional.pad(_items(shape), (0, 4), value=shape.padding)
        _require_close(together, network(filled), f"{name}: padding behind a text changes the answer")


def _check_weights_are_all(name: str, network: torch.nn.Module, other: torch.nn.Module, shape: InputShape) -> None:
    weights: Mapping[str, Any] = network.state_dict()
    other.load_state_dict(weights)
    _require_close(network(_items(shape)), other(_items(shape)), f"{name}: its weights alone do not make its answers")


def _check_export(name: str, network: torch.nn.Module, shape: InputShape) -> None:
    varying = {shape.input_name: shape.varies} if shape.varies else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_module(
                network,
                _items(shape, 2),
                Path(folder) / "network.onnx",
                input_names=(shape.input_name,),
                dynamic_shapes=varying,
            )
        except ModelError as error:
            raise AssertionError(f"{name}: {error}") from error


def _require_close(got: torch.Tensor, expected: torch.Tensor, message: str) -> None:
    distance = float((got - expected).abs().max())
    allowed = _TOLERANCE * max(1.0, float(expected.abs().max()))
    _require(distance <= allowed, f"{message}, by {distance:.2g}")
