"""Lightning's Trainer, with all that costs time and is not training switched off."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as lightning
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from trainers.job import RATE, Job, Part, Spent, clock, since
from trainers.torch_network import network_of, tensors_of


class Module(lightning.LightningModule):  # type: ignore[misc]
    """As Lightning's documentation has it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Any, _number: int) -> torch.Tensor:
        """The loss."""
        x, y = batch
        return functional.cross_entropy(self.network(x), y)

    def validation_step(self, batch: Any, _number: int) -> None:
        """The accuracy."""
        x, y = batch
        self.log("accuracy", (self.network(x).argmax(1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The same Adam as everyone's."""
        return torch.optim.Adam(self.parameters(), lr=RATE, fused=True)


def train(job: Job, training: Part, validation: Part, seed: int) -> tuple[torch.nn.Module, Spent]:
    """The trained network, and what was spent on `Trainer.fit`."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    lightning.seed_everything(seed, verbose=False)
    network = network_of(job)
    trainer = lightning.Trainer(
        max_epochs=job.epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    loaders = _loader(training, job.batch, True), _loader(validation, len(validation.y), False)
    began = clock()
    trainer.fit(Module(network), *loaders)
    return network.eval(), since(began)


def _loader(part: Part, batch: int, shuffle: bool) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*tensors_of(part)), batch_size=batch, shuffle=shuffle)
