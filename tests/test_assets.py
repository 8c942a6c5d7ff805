"""The files that ship with Steelyard are what their descriptions say."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from steelyard.assets import mnist_model, mnist_test

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_mnist.py"
PATH_OF_A_MACHINE = re.compile(rb"/(?:root|home|Users|usr|tmp|work|opt|var)/|[A-Za-z]:\\|site-packages|\.py\b")


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["x", "y"]
        return arrays["x"], arrays["y"]


def test_digits_have_the_shapes_and_types_told(digits: tuple[Any, Any]) -> None:
    x, y = digits
    assert (x.dtype, x.shape) == (np.uint8, (10_000, 1, 28, 28))
    assert (y.dtype, y.shape) == (np.uint8, (10_000,))
    assert (x.min(), x.max()) == (0, 255)
    assert set(y.tolist()) == set(range(10))


def test_digits_are_the_test_images_and_no_others(digits: tuple[Any, Any], mirror: Path) -> None:
    x, y = digits
    images = gzip.decompress((mirror / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((mirror / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    assert x.tobytes() == images[16:]
    assert y.tobytes() == labels[8:]


def test_network_is_right_on_985_of_1000_digits(digits: tuple[Any, Any]) -> None:
    x, y = digits
    session = onnxruntime.InferenceSession(mnist_model(), providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"image": x / np.float32(255)})[0]
    accuracy = float((logits.argmax(1) == y).mean())
    assert accuracy >= 0.985
    assert f"accuracy of {accuracy:.2%}" in mnist_model().with_name("ATTRIBUTION.md").read_text(encoding="utf-8")


def test_network_takes_any_number_of_items(digits: tuple[Any, Any]) -> None:
    session = onnxruntime.InferenceSession(mnist_model(), providers=["CPUExecutionProvider"])
    pixels = digits[0][:7] / np.float32(255)
    together = session.run(None, {"image": pixels})[0]
    singly = np.concatenate([session.run(None, {"image": pixels[i : i + 1]})[0] for i in range(7)])
    np.testing.assert_allclose(together, singly, rtol=1e-4, atol=1e-4)


def test_network_has_the_names_and_shapes_told() -> None:
    session = onnxruntime.InferenceSession(mnist_model(), providers=["CPUExecutionProvider"])
    given, returned = session.get_inputs(), session.get_outputs()
    assert [(i.name, i.type, i.shape) for i in given] == [("image", "tensor(float)", ["n", 1, 28, 28])]
    assert [(o.name, o.type, o.shape) for o in returned] == [("logits", "tensor(float)", ["n", 10])]


def test_network_is_small_and_tells_nothing_of_the_machine_it_was_made_on() -> None:
    raw = mnist_model().read_bytes()
    assert len(raw) < 500_000
    model = onnx.load_model_from_string(raw)
    for weight in model.graph.initializer:
        weight.ClearField("raw_data")  # random bytes may look like anything
    assert PATH_OF_A_MACHINE.search(model.SerializeToString()) is None
    parts = (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer)
    assert not any(part.doc_string or part.metadata_props for part in parts)


def test_attribution_names_makers_and_licences_but_no_path() -> None:
    text = mnist_model().with_name("ATTRIBUTION.md").read_text(encoding="utf-8")
    for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "Apache License 2.0"):
        assert word in text
    assert PATH_OF_A_MACHINE.search(text.replace("scripts/train_mnist.py", "").encode()) is None


def test_training_says_what_is_wrong_with_a_file_that_is_not_idx(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01" + bytes(12)))
    told = subprocess.run(
        [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert "expected the magic number 2051, got 2049" in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "out").exists()
