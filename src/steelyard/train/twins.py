"""Other layers with the same weights: hooks may be hung into them, and the network stays as it is."""

from __future__ import annotations

import copy

from torch import nn


def twin(network: nn.Module) -> nn.Module:
    """Shares all parameters and buffers. No layer of it writes over what another gave, for hooks need that again."""
    shared = {id(each): each for each in (*network.parameters(), *network.buffers())}
    made = copy.deepcopy(network, shared)
    for part in made.modules():
        if getattr(part, "inplace", False):
            part.inplace = False
    return made
