"""Whether a batch will fit into memory, found out on one item before any time is spent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import torch

from steelyard.errors import UsageError
from steelyard.machines.limits import memory_mb
from steelyard.networks.losses import Loss
from steelyard.train.items import Items

USABLE = 0.8
"""Of the memory that is free."""
COPIES_OF_WEIGHTS = 5
"""The weights, their gradients, two moments of an optimiser, and the best so far."""


def check_room(network: torch.nn.Module, items: Items, batch: int, loss: Loss) -> None:
    """Raises UsageError when so many items at once will not fit, and says how many will."""
    batch = min(batch, len(items))
    weights = COPIES_OF_WEIGHTS * sum(each.numel() * each.element_size() for each in network.parameters())
    free = _free_bytes(next(network.parameters(), torch.empty(0)).device) * USABLE - weights
    each = bytes_of_item(network, items, loss)
    if each * batch > free:
        fits = int(free // each)
        told = f"a batch of {batch} needs about {_gb(each * batch + weights)}, {_gb(free + weights)} are free"
        hint = (
            f"[training] batch = {_rounded(fits)} fits" if fits >= 1 else "choose a smaller network, or smaller items"
        )
        raise UsageError(told, hint)


@contextlib.contextmanager
def room_for(items: int) -> Iterator[None]:
    """Raises UsageError when a step of so many items finds no memory after all: others took it meanwhile."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        fits = f"[training] batch = {_rounded(items // 2)} needs about half of it" if items > 1 else "a smaller network"
        raise UsageError(f"memory ran out in a step of {items} items", fits) from None


def bytes_of_item(network: torch.nn.Module, items: Items, loss: Loss) -> float:
    """What the backward pass needs kept of one item, without the weights."""
    own = {each.data_ptr() for each in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    sample = items.take(torch.arange(min(2, len(items))))
    state = {name: value.clone() for name, value in network.state_dict().items() if "running" in name or "num_" in name}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss(network(*sample.inputs), sample.targets)
    network.load_state_dict(state, strict=False)
    return 2 * sum(kept.values()) / len(sample) + 1


def _free_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(min(psutil.virtual_memory().available, memory_mb() * 10**6))


def _rounded(items: int) -> int:
    """Down to a power of two, as batches commonly are."""
    return 1 << (items.bit_length() - 1)


def _gb(count: float) -> str:
    return f"{max(count, 0) / 1e9:.1f} GB"
