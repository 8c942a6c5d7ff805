"""What a user can get wrong, and what a machine can do to a run: each is told with what to do, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

import rights
from command import COMMAND, Ran, run_here
from made_examples import columns
from steelyard.errors import DataError, UsageError
from steelyard.records.recipe import Chosen
from steelyard.train import checkpoint
from steelyard.train.fitting import CHECKPOINT, fit
from training_here import pictures, recipe, table

RECIPE = """
name = "rows"
[data]
source = "rows.csv"
target = "y"
[network]
name = "mlp"
width = 16
[training]
epochs = 60
batch = 16
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = [f"{n % 7},{n % 11},{'yes' if n % 7 + n % 11 > 8 else 'no'}" for n in range(300)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y", *rows]))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def train(place: Path, *more: str) -> Ran:
    return run_here(place, "train", "recipe.toml", *more)


def folders(place: Path, *sizes: tuple[int, int]) -> Path:
    """Ten pictures of two classes, the last ones of these sizes."""
    for number, size in enumerate([(20, 20)] * (10 - len(sizes)) + list(sizes)):
        folder = place / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 1), dtype=np.uint8)
        Image.fromarray(pixels[..., 0]).save(folder / f"{number}.png")
    (place / "recipe.toml").write_text(
        'name = "p"\n[data]\nsource = "pictures"\ncolour = "gray"\n[network]\nname = "digits-conv2"\n'
        "[training]\nepochs = 1\n"
    )
    return place / "pictures"


def test_pictures_of_different_sizes_are_told_with_the_line_that_mends_it(place: Path) -> None:
    folders(place, (24, 20))
    ran = train(place)
    assert ran.status == 2
    assert "pictures differ in size: b/9.png is 24 × 20" in ran.err
    assert "resize = [20, 20]" in ran.err
    assert train(place, "--set", "data.resize=[20, 20]").status == 0


def test_a_corrupt_picture_is_named_and_may_be_left_out(place: Path) -> None:
    file = folders(place) / "a" / "0.png"
    file.write_bytes(file.read_bytes()[:60])
    ran = train(place)
    assert ran.status == 2
    assert "a/0.png (cannot be decoded" in ran.err
    assert 'unreadable = "drop"' in ran.err


def test_a_class_without_items_is_told(place: Path) -> None:
    (folders(place).parent / "pictures" / "c").mkdir()
    ran = train(place)
    assert ran.status == 2
    assert "the class 'c' has no items" in ran.err


@pytest.mark.parametrize(("rows", "told"), [(1, "at least 2 are needed"), (7, "one for each part")])
def test_a_single_item_and_a_few_are_told(place: Path, rows: int, told: str) -> None:
    lines = (place / "rows.csv").read_text().splitlines()
    (place / "rows.csv").write_text("\n".join([*lines[: rows + 1]]))
    ran = train(place)
    assert ran.status == 2
    assert told in ran.err, ran.err


def test_pictures_too_small_for_the_network_are_told() -> None:
    small = pictures().with_inputs({"image": np.zeros((120, 4, 4, 1), np.uint8)})
    with pytest.raises((DataError, UsageError), match="4 × 4"):
        fit(recipe("digits-conv2"), small)


def test_measured_values_do_not_fit_cross_entropy() -> None:
    measured = columns(targets=np.linspace(0, 1, 60).astype("f4"), x=np.arange(60.0))
    wrong = msgspec.structs.replace(recipe(), loss=Chosen(name="cross-entropy"))
    with pytest.raises(DataError, match="takes class numbers") as caught:
        fit(wrong, measured)
    assert "mean-squared-error" in caught.value.hint


class Hungry(torch.nn.Module):  # type: ignore[misc]
    """More than two items at a time take more memory than any machine has."""

    def __init__(self, shape: object, outputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight if len(x) <= 2 else torch.empty(10**15)


def test_memory_that_runs_out_in_a_step_is_told_with_a_smaller_batch() -> None:
    with pytest.raises(UsageError, match="memory ran out in a step of 32 items") as caught:
        fit(recipe(f"{__name__}:Hungry"), table())
    assert "batch = 16" in caught.value.hint


def test_values_that_are_no_numbers_are_blamed_on_the_data() -> None:
    data = table()
    data.inputs["a"][7] = np.nan
    standard = msgspec.structs.replace(recipe(), prepare=(Chosen(name="standard"),))
    with pytest.raises(DataError, match=r"'a' has 1 items with missing or infinite values") as caught:
        fit(standard, data)
    assert "add the step `missing`" in caught.value.hint


def test_labels_beyond_the_classes_are_told() -> None:
    with pytest.raises(DataError, match=r"class numbers lie outside of 0 to 1"):
        fit(recipe(), columns(targets=np.arange(60) % 3, x=np.arange(60.0)))


def test_a_run_is_not_gone_on_with_when_its_data_have_changed(place: Path) -> None:
    assert train(place, "--set", "training.epochs=1").status == 0
    (place / "rows.csv").write_text((place / "rows.csv").read_text().replace("0,0,no", "0,0,yes", 1))
    ran = train(place, "--set", "training.epochs=1")
    assert ran.status == 2
    assert "the recipe or the data have changed since" in ran.err
    assert "--fresh" in ran.err


def test_ctrl_c_ends_after_a_step_and_the_same_command_goes_on(place: Path) -> None:
    command = [*COMMAND, "train", "recipe.toml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any(line.startswith("epoch 2:") for line in running.stderr)
        running.send_signal(signal.SIGINT)
        err = running.stderr.read()
        assert running.wait(timeout=60) == 130
    assert "what was learnt is kept" in err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    made = checkpoint.read(place / "rows-model" / CHECKPOINT)["course"]["epoch"]
    assert 2 <= made < 60
    again = train(place)
    assert again.status == 0
    assert f"epoch {made}:" not in again.err
    assert f"epoch {made + 1}:" in again.err
    assert "epoch 60:" in again.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which one checkpoint has room, but not the next one beside it; where it may be made."""
    with rights.small_disk(tmp_path / "small", "24k") as place:
        yield place


def test_a_full_disk_ends_a_run_and_with_more_room_it_goes_on(place: Path, small_disk: Path) -> None:
    command = ("--out", str(small_disk), "--set", "training.epochs=2")
    ran = train(place, *command)
    assert ran.status == 2, ran.err
    assert "checkpoint.safetensors cannot be written: No space left on device" in ran.err
    assert "make room" in ran.err
    assert checkpoint.read(small_disk / CHECKPOINT)["course"]["epoch"] == 1, "the one before is there, and whole"
    resized(small_disk, "40k")
    ran = train(place, *command)
    assert ran.status == 2, ran.err
    assert "epoch 2:" in ran.err
    assert f"{small_disk} cannot be written: No space left on device" in ran.err
    resized(small_disk, "20m")
    ran = train(place, *command)
    assert ran.status == 0, ran.err
    assert "epoch" not in ran.err, "nothing is learnt anew"


def resized(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
