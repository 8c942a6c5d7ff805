"""Keras 3 on torch: the same layers, `compile` and `fit`."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import layers
from trainers.job import RATE, Job, Part, Spent, clock, since

FORMAT = "channels_first"
"""Faster here than Keras's own default, which it turns around for torch at every layer."""


def train(job: Job, training: Part, validation: Part, seed: int) -> tuple[keras.Model, Spent]:
    """The trained network, and what was spent on `fit`."""
    keras.utils.set_random_seed(seed)
    keras.config.set_image_data_format(FORMAT)
    network = network_of(job, training)
    network.compile(
        optimizer=keras.optimizers.Adam(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    held = (validation.x, validation.y)
    began = clock()
    network.fit(
        training.x, training.y, batch_size=job.batch, epochs=job.epochs, validation_data=held,
        validation_batch_size=len(validation.y), verbose=0,
    )  # fmt: skip
    return network, since(began)


def network_of(job: Job, training: Part) -> keras.Model:
    """The layers of `steelyard.networks`, and Keras's own fresh weights."""
    shape = keras.Input(training.x.shape[1:])
    if job.network == "mlp":
        return keras.Sequential([shape, *_hidden(), *_hidden(), layers.Dense(2)])
    features = [
        shape,
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
    ]  # fmt: skip
    if job.network == "digits-conv2":
        return keras.Sequential([*features, layers.Flatten(), layers.Dropout(0.5), layers.Dense(10)])
    hidden = [layers.Conv2D(64, 3, activation="relu"), layers.Flatten(), layers.Dense(64, activation="relu")]
    return keras.Sequential([*features, *hidden, layers.Dense(10)])


def _hidden() -> list[keras.Layer]:
    return [layers.Dense(128), layers.LayerNormalization(epsilon=1e-5), layers.ReLU(), layers.Dropout(0.1)]
