"""The classic Keras network for handwritten digits, trained with Keras and weighed; needs the extra `keras`.

Run it with: python examples/keras_mnist.py
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from keras import layers

import steelyard
from steelyard import datasets


def main(items: int = 60_000, epochs: int = 5, within: str = "60s") -> None:
    digits = datasets.load("mnist")
    x, y = digits.inputs["image"].astype("float32") / 255, digits.targets
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")):
        model.add(layer)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:items], y[:items], batch_size=32, epochs=epochs, validation_split=0.1)
    unseen = slice(60_000, 60_000 + items)  # the last 10,000 are the makers' test
    balance = steelyard.weigh(
        model, (x[unseen], y[unseen]), p95="5ms", quality_drop="1%", within=within, out="keras-plan"
    )
    print(f"{balance.plan.status}: {balance.plan.summary}")
    print(f"the Keras model: accuracy {balance.plan.reference.quality.value:.4f}")


if __name__ == "__main__":
    main()
