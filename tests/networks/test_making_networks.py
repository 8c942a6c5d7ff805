"""Networks by name and by dotted path; what is misspelt or does not fit is the user's mistake, and told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks import ImageShape, InputShape, SequenceShape, TableShape, TextShape, make, options
from steelyard.networks.inputs import drawn
from steelyard.records.base import from_json, to_json

DIGIT = ImageShape(height=28, width=28)
SHAPES: tuple[InputShape, ...] = (
    DIGIT,
    SequenceShape(channels=2, steps=5),
    TextShape(vocabulary=9, length=4, padding=3),
    TableShape(numbers=2, categories=(3,)),
)


class Own(nn.Module):  # type: ignore[misc]
    def __init__(self, outputs: int, slope: float = 1.0) -> None:
        super().__init__()
        if slope < 0:
            raise ValueError("slopes go up")
        self.outputs, self.slope = outputs, slope


class Loose(nn.Module):  # type: ignore[misc]
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


def not_a_module() -> int:
    return 3


def test_a_class_of_ones_own_gets_what_it_asks_for() -> None:
    own = make(f"{__name__}:Own", DIGIT, 7, slope=0.5)
    assert (own.outputs, own.slope) == (7, 0.5)
    assert make(f"{__name__}:Loose", DIGIT, 7, anything=1).options == {"anything": 1}
    assert make("torch.nn:Identity", DIGIT, 7)(3) == 3
    assert dict(options(f"{__name__}:Own")) == {"slope": 1.0}


def test_the_options_of_a_network_can_be_asked_for() -> None:
    assert dict(options("resnet")) == {"depth": 18, "width": 64, "small_images": None}


@pytest.mark.parametrize(
    ("name", "chosen", "told"),
    [
        ("resnext", {}, "there is no network 'resnext'\n  did you mean resnet"),
        ("resnet", {"dept": 18}, "resnet has no option 'dept'\n  did you mean depth"),
        ("resnet", {"depth": 19}, "18, 34, 50, 101, 152 layers, got depth = 19"),
        ("resnet", {"width": "wide"}, "resnet cannot be made with .*width='wide'"),
        ("efficientnet", {"width": 0.0}, "width and depth are above 0"),
        ("lstm", {}, "lstm takes sequences or text, the data are images\n  choose one of: digits-conv2"),
        (f"{__name__}:Own", {"slope": -1}, "ValueError: slopes go up"),
        (f"{__name__}:Missing", {}, "has nothing named 'Missing'"),
        ("there_is_no_such:Net", {}, "there is no module 'there_is_no_such'"),
        (f"{__name__}:not_a_module", {}, "makes a int, expected a torch.nn.Module"),
    ],
)
def test_what_does_not_fit_is_told(name: str, chosen: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make(name, DIGIT, 10, **chosen)


def test_a_module_that_fails_to_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_network.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="broken_network:Net cannot be imported: ZeroDivisionError"):
        make("broken_network:Net", DIGIT, 10)


def test_sizes_that_make_no_sense_are_told() -> None:
    with pytest.raises(UsageError, match="1 or more outputs, got 0"):
        make("resnet", DIGIT, 0)
    with pytest.raises(UsageError, match="an image has 1 or more height, got 0"):
        ImageShape(height=0, width=3)
    with pytest.raises(UsageError, match="padding token is one of 0 … 8, got 9"):
        TextShape(vocabulary=9, length=4, padding=9)
    with pytest.raises(UsageError, match="a row has 1 or more columns"):
        TableShape(numbers=0)
    with pytest.raises(UsageError, match="even and a multiple of heads"):
        make("transformer", SHAPES[1], 2, width=10)
    with pytest.raises(UsageError, match="1 or more layers"):
        make("gru", SHAPES[1], 2, layers=0)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_shapes_are_written_and_read_as_json(shape: InputShape) -> None:
    assert from_json(to_json(shape), InputShape) == shape  # type: ignore[arg-type]


def test_a_shape_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="kind"):
        from_json(b'{"kind": "sounds"}', InputShape)  # type: ignore[arg-type]


def test_made_up_items_have_their_shape() -> None:
    assert drawn(SHAPES[0], 2).shape == (2, 1, 28, 28)
    assert drawn(SHAPES[1], 2).shape == (2, 5, 2)
    assert drawn(SHAPES[1], 2, length=8).shape == (2, 8, 2)
    tokens = drawn(SHAPES[2], 200)
    assert sorted(set(tokens.flatten().tolist())) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert set(drawn(SHAPES[3], 99)[:, 2].tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(drawn(SHAPES[0], 2), drawn(SHAPES[0], 2))


def test_the_table_imports_no_torch() -> None:
    script = "import sys, steelyard.networks, steelyard.networks.schedules\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
