"""A loop as one writes it who knows torch: nothing but what training needs."""

from __future__ import annotations

import torch
from torch.nn import functional
from trainers.job import RATE, Job, Part, Spent, clock, since
from trainers.torch_network import network_of, tensors_of


def train(job: Job, training: Part, validation: Part, seed: int) -> tuple[torch.nn.Module, Spent]:
    """The trained network, and what was spent on the loop."""
    torch.manual_seed(seed)
    network = network_of(job)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    x, y = tensors_of(training)
    held, labels = tensors_of(validation)
    began = clock()
    for _ in range(job.epochs):
        network.train()
        total = 0.0
        order = torch.randperm(len(y))
        for start in range(0, len(y), job.batch):
            rows = order[start : start + job.batch]
            loss = functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        network.eval()
        with torch.inference_mode():
            (network(held).argmax(1) == labels).float().mean().item()
    return network, since(began)
