from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import RUNTIMES, lacking, open_session

ITEMS = 256


def logits(name: str, path: Path, items: Array, settings: SessionSettings) -> Array:
    session = open_session(name, path, settings)
    return np.concatenate([session.run(0, {"x": items[at : at + 16]})[0] for at in range(0, len(items), 16)])


@pytest.fixture(scope="module")
def lstm(models: Path) -> tuple[Path, Array, Array]:
    with np.load(models / "lstm_10class.npz", allow_pickle=False) as stored:
        return models / "lstm_10class.onnx", stored["ev"][:ITEMS], stored["y"][:ITEMS]


@pytest.mark.parametrize("name", [name for name, spec in RUNTIMES.items() if not spec.compiles])
def test_an_lstm_answers_alike_everywhere(name: str, lstm: tuple[Path, Array, Array]) -> None:
    if lacks := lacking(RUNTIMES[name]):
        pytest.skip(f"{name}: {lacks}")
    path, items, labels = lstm
    expected = logits("onnxruntime", path, items, SessionSettings()).argmax(1)
    assert (expected == labels).mean() > 0.95
    got = logits(name, path, items, SessionSettings(threads=2)).argmax(1)
    assert (got == expected).mean() >= 0.99


def test_openvino_computes_in_bfloat16_where_the_cpu_has_it(lstm: tuple[Path, Array, Array]) -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        pytest.skip("this CPU has neither avx512_bf16 nor amx_bf16")
    path, items, _ = lstm
    exact = logits("openvino", path, items, SessionSettings())
    rounded = logits("openvino", path, items, SessionSettings(precision="bf16"))
    assert 1e-4 < np.abs(rounded - exact).max() < 0.5
    assert (rounded.argmax(1) == exact.argmax(1)).mean() >= 0.97
