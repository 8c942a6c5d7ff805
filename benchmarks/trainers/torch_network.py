"""The network of a job as a torch module, which all trainers but Keras train."""

from __future__ import annotations

import os

import torch
from trainers.job import Job, Part, parts

from steelyard.networks import ImageShape, TableShape, make

CAREFUL = bool(os.environ.get("CAREFUL"))


def network_of(job: Job) -> torch.nn.Module:
    """With fresh weights of torch's own generator."""
    x = parts(job)[0].x
    if x.ndim == 4:
        network = make(job.network, ImageShape(channels=1, height=x.shape[2], width=x.shape[3]), 10)
        return network.to(memory_format=torch.channels_last) if CAREFUL else network
    return make(job.network, TableShape(numbers=x.shape[1]), 2)


def tensors_of(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
    """Items and class numbers."""
    x = torch.from_numpy(part.x)
    return x.contiguous(memory_format=torch.channels_last) if CAREFUL and x.ndim == 4 else x, torch.from_numpy(part.y)
