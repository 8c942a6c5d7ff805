from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from steelyard.data import images
from steelyard.data.files import Unreadable
from steelyard.data.images import decode
from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
Draw = Callable[..., Image.Image]


@pytest.fixture
def draw() -> Draw:
    """`draw(height, width, seed)` → a picture of noise."""

    def noise(height: int = 6, width: int = 6, seed: int = 0) -> Image.Image:
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))

    return noise


@pytest.fixture
def pictures(tmp_path: Path, draw: Draw) -> Path:
    """Two class folders with eight pictures each."""
    root = tmp_path / "pictures"
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for k in range(8):
            draw(seed=10 * number + k).save(root / name / f"{k}.png")
    return root


@pytest.fixture
def rgb() -> TensorInfo:
    """A model input for pictures of 6 × 6."""
    return TensorInfo(name="pixels", dtype="float32", shape=(None, 3, 6, 6))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels_of(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image)


def test_pixels_layout_and_arithmetic(prepared: Prepare, pictures: Path, draw: Draw, rgb: TensorInfo) -> None:
    preprocess = Preprocess(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    outcome = prepared(pictures, rgb, outputs=2, preprocess=preprocess, seed=4)
    originals = [pixels_of(draw(seed=10 * number + k)) for number in range(2) for k in range(8)]
    expected = [(p / 255 - preprocess.mean) / np.array(preprocess.std) for p in originals]
    for item, label in zip(outcome.x, outcome.labels, strict=True):
        distances = [float(abs(item.transpose(1, 2, 0) - other).max()) for other in expected]
        assert min(distances) < 1e-5
        assert label == int(np.argmin(distances)) // 8
    assert outcome.prepared.classes == ("cat", "dog")
    assert outcome.told == ("classes are the 2 folders, sorted by name",)


def test_nhwc_bgr_and_raw_bytes(prepared: Prepare, pictures: Path, draw: Draw) -> None:
    info = TensorInfo(name="pixels", dtype="uint8", shape=(1, 6, 6, 3))
    outcome = prepared(pictures, info, preprocess=Preprocess(layout="nhwc", colour="bgr"))
    originals = [pixels_of(draw(seed=10 * n + k))[:, :, ::-1].tolist() for n in range(2) for k in range(8)]
    assert outcome.x.dtype == np.uint8
    assert all(item in originals for item in outcome.x.tolist())


def test_gray(prepared: Prepare, pictures: Path, draw: Draw, scaled: Preprocess) -> None:
    info = TensorInfo(name="pixels", dtype="float32", shape=(None, 1, 6, 6))
    outcome = prepared(pictures, info, preprocess=Preprocess(scale=1 / 255, colour="gray"))
    originals = [pixels_of(draw(seed=10 * n + k).convert("L")).tolist() for n in range(2) for k in range(8)]
    assert all(np.rint(item[0] * 255).tolist() in originals for item in outcome.x)


def test_the_order_of_classes(prepared: Prepare, pictures: Path, rgb: TensorInfo, scaled: Preprocess) -> None:
    default = prepared(pictures, rgb, preprocess=scaled)
    turned = prepared(pictures, rgb, preprocess=scaled, classes=("dog", "cat"))
    assert turned.x.tolist() == default.x.tolist()
    assert turned.labels.tolist() == (1 - default.labels).tolist()
    only = prepared(pictures, rgb, preprocess=scaled, classes=("bird", "dog"))
    assert set(only.labels) == {1}
    assert only.told == ("8 items left out: the label is not among the classes (cat/0.png, cat/1.png, cat/2.png, …)",)


def test_folders_named_by_numbers_are_told(
    prepared: Prepare, tmp_path: Path, draw: Draw, rgb: TensorInfo, scaled: Preprocess
) -> None:
    for number in (1, 2, 10):
        (tmp_path / "n" / str(number)).mkdir(parents=True)
        for k in range(3):
            draw(seed=10 * number + k).save(tmp_path / "n" / str(number) / f"{k}.png")
    outcome = prepared(tmp_path / "n", rgb, preprocess=scaled)
    assert outcome.prepared.classes == ("1", "10", "2")
    assert "by name, not by number: 1, 10, 2" in outcome.told[0]


def test_what_cannot_be_used_is_counted(
    prepared: Prepare, pictures: Path, draw: Draw, rgb: TensorInfo, scaled: Preprocess
) -> None:
    whole = encoded(draw(60, 60), "JPEG")
    (pictures / "cat" / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (pictures / "cat" / "b.jpg").write_bytes(b"hello")
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(pictures / "cat" / "deep.png")
    (pictures / "cat" / ".hidden.png").write_bytes(b"hello")
    (pictures / "cat" / "notes.txt").write_text("hello")
    (pictures / "dog" / "link.png").symlink_to(pictures / "cat" / "0.png")
    (pictures / "dog" / "more").symlink_to(pictures / "cat")
    (pictures / "bird").symlink_to(pictures / "cat")
    (pictures / ".git").mkdir()
    outcome = prepared(pictures, rgb, preprocess=scaled)
    assert outcome.told == (
        "classes are the 2 folders, sorted by name",
        "links ignored: 2",
        "files that are no pictures ignored: 1",
        "2 items left out: cannot be decoded as a picture (cat/a.jpg, cat/b.jpg)",
        "1 item left out: more than 8 bits per channel (cat/deep.png)",
    )
    record = outcome.prepared
    assert record.items_calibrate + record.items_select + record.items_confirm == 16


def test_pictures_in_folders_of_a_class_folder(
    prepared: Prepare, pictures: Path, draw: Draw, rgb: TensorInfo, scaled: Preprocess
) -> None:
    (pictures / "cat" / "more").mkdir()
    draw(seed=99).save(pictures / "cat" / "more" / "x.png")
    outcome = prepared(pictures, rgb, preprocess=scaled)
    assert len(outcome.x) + len(outcome.calibration["pixels"]) == 17


def test_none_can_be_decoded(prepared: Prepare, tmp_path: Path, rgb: TensorInfo, scaled: Preprocess) -> None:
    (tmp_path / "p" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="no pictures in the folders"):
        prepared(tmp_path / "p", rgb, preprocess=scaled)
    (tmp_path / "p" / "cat" / "a.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"none of the 1 pictures .* cannot be decoded as a picture \(cat/a.png\)"):
        prepared(tmp_path / "p", rgb, preprocess=scaled)


def test_sizes_that_do_not_fit_give_the_lines(
    prepared: Prepare, pictures: Path, draw: Draw, rgb: TensorInfo, scaled: Preprocess
) -> None:
    def hint(shape: tuple[int | None, ...], preprocess: Preprocess) -> str:
        with pytest.raises(DataError, match=r"pictures become .*, the model's input 'pixels' takes") as caught:
            prepared(pictures, TensorInfo(name="pixels", dtype="float32", shape=shape), preprocess=preprocess)
        return caught.value.hint

    assert hint((None, 3, 4, 5), scaled) == '[preprocess]\nresize = [4, 5]\nlayout = "nchw"'
    assert hint((None, 6, 6, 3), scaled) == '[preprocess]\nlayout = "nhwc"'
    assert hint((None, 1, 4, 4), scaled) == '[preprocess]\nresize = [4, 4]\ncolour = "gray"\nlayout = "nchw"'
    cropped = Preprocess(scale=1 / 255, crop=(3, 3))
    assert hint((None, 3, 4, 4), cropped) == '[preprocess]\nresize = [4, 4]\ncrop = [4, 4]\nlayout = "nchw"'
    fitting = Preprocess(scale=1 / 255, resize=(4, 5))
    info = TensorInfo(name="pixels", dtype="float32", shape=(None, 3, 4, 5))
    assert prepared(pictures, info, preprocess=fitting).x.shape[1:] == (3, 4, 5)


def test_pictures_of_different_sizes(
    prepared: Prepare, pictures: Path, draw: Draw, rgb: TensorInfo, scaled: Preprocess
) -> None:
    draw(7, 9).save(pictures / "dog" / "z.png")
    anything = TensorInfo(name="pixels", dtype="float32", shape=(None, 3, None, None))
    with pytest.raises(DataError, match=r"pictures differ in size: dog/z.png is 7 × 9, the first one 6 × 6") as caught:
        prepared(pictures, anything, preprocess=scaled)
    assert caught.value.hint == "[preprocess]\nresize = [6, 6]"
    assert prepared(pictures, anything, preprocess=Preprocess(scale=1 / 255, resize=(8, 8))).x.shape[2:] == (8, 8)


def test_models_that_do_not_take_pictures(prepared: Prepare, pictures: Path, scaled: Preprocess) -> None:
    flat = TensorInfo(name="pixels", dtype="float32", shape=(None, 108))
    for wanted in (flat, [flat, flat]):
        with pytest.raises(DataError, match="pictures go into one input of 4 axes"):
            prepared(pictures, wanted, preprocess=scaled)


def test_settings_that_do_not_fit_pictures(prepared: Prepare, pictures: Path, rgb: TensorInfo) -> None:
    with pytest.raises(DataError, match="a picture holds uint8 values") as caught:
        prepared(pictures, rgb)
    assert "scale = 0.00392157" in caught.value.hint
    assert prepared(pictures, rgb, preprocess=Preprocess(dtype="float32")).x.max() > 200
    with pytest.raises(DataError, match="std has 2 numbers"):
        prepared(pictures, rgb, preprocess=Preprocess(std=(1, 2)))
    with pytest.raises(DataError, match="these are pictures"):
        prepared(pictures, rgb, calibration="cal")


def test_integer_models_get_rounded_values(prepared: Prepare, pictures: Path, draw: Draw) -> None:
    info = TensorInfo(name="pixels", dtype="int8", shape=(None, 3, 6, 6))
    outcome = prepared(pictures, info, preprocess=Preprocess(mean=(128.4,)))
    originals = [np.rint(pixels_of(draw(seed=10 * n + k)) - 128.4).tolist() for n in range(2) for k in range(8)]
    assert all(item.transpose(1, 2, 0).tolist() in originals for item in outcome.x)


def test_exif_orientation_is_respected(draw: Draw) -> None:
    image = draw(4, 7)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    assert decode(encoded(image, exif=exif), Preprocess()).tolist() == np.rot90(pixels_of(image), 3).tolist()


@pytest.mark.parametrize(("size", "expected"), [((40, 60), (20, 30)), ((61, 40), (30, 20)), ((50, 50), (20, 20))])
def test_one_number_is_the_shorter_side(draw: Draw, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert decode(encoded(draw(*size)), Preprocess(resize=20)).shape[:2] == expected


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_interpolation(draw: Draw, interpolation: Any) -> None:
    image = draw(12, 12)
    found = decode(encoded(image), Preprocess(resize=(5, 7), interpolation=interpolation))
    assert found.tolist() == pixels_of(image.resize((7, 5), Image.Resampling[interpolation.upper()])).tolist()


def test_crop_is_central(draw: Draw) -> None:
    image = draw(9, 10)
    assert decode(encoded(image), Preprocess(crop=(3, 4))).tolist() == pixels_of(image)[3:6, 3:7].tolist()
    with pytest.raises(Unreadable, match="smaller than the crop"):
        decode(encoded(image), Preprocess(crop=(10, 10)))


def test_modes(draw: Draw) -> None:
    image = draw()
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        assert decode(encoded(image.convert(mode), kind), Preprocess()).shape == (6, 6, 3)
    transparent = image.convert("P")
    assert decode(encoded(transparent, transparency=bytes(range(256))), Preprocess()).shape == (6, 6, 3)


def test_kinds_of_files_that_are_not_wanted() -> None:
    """Pillow could decode these; every decoder that is offered to strangers' files is one that can be attacked."""
    with pytest.raises(Unreadable, match="cannot be decoded"):
        decode(encoded(Image.new("RGB", (6, 6)), "PCX"), Preprocess())


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    side = math.isqrt(images.MOST_PIXELS) + 1
    huge = encoded(Image.new("1", (side, side)))
    assert len(huge) < 100_000
    with pytest.raises(Unreadable, match="more than 50 million pixels"):
        decode(huge, Preprocess())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Unreadable, match="more than 50 million pixels"):
        decode(huge, Preprocess())
