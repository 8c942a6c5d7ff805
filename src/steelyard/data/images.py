"""Pictures become model inputs: decoded, turned upright, resized, cropped, scaled, put in the model's layout."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from steelyard.data.convert import (
    as_dtype,
    check_channels,
    check_dtype,
    check_meaning,
    has_arithmetic,
    input_dtype,
    normalised,
)
from steelyard.data.files import Files, Unreadable
from steelyard.data.items import Array, ItemKind, Numbers, Rows
from steelyard.data.match import fits, told_shape
from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What Pillow may decode. It knows more (EPS starts another program), none of which is wanted here."""
MOST_PIXELS = 50_000_000
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}


def decode(data: bytes, preprocess: Preprocess) -> Array:
    """One picture, uint8 [height, width, channels], after resize and crop. Raises Unreadable, saying why."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities in files; what cannot be decoded still raises
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _pixels(image, preprocess)
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except Exception:
        # Decoders meet arbitrary bytes here and raise whatever their parsers stumble over.
        raise Unreadable("cannot be decoded as a picture") from None


def _pixels(image: Image.Image, preprocess: Preprocess) -> Array:
    from PIL import ImageOps

    if image.width * image.height > MOST_PIXELS:
        raise Unreadable(f"more than {MOST_PIXELS // 10**6} million pixels")
    if image.mode.startswith(("I", "F")):
        raise Unreadable("more than 8 bits per channel")
    image = _coloured(ImageOps.exif_transpose(image), "L" if preprocess.colour == "gray" else "RGB")
    image = _cropped(_resized(image, preprocess), preprocess.crop)
    pixels = np.asarray(image)
    if preprocess.colour == "gray":
        return pixels[:, :, None]
    return pixels[:, :, ::-1] if preprocess.colour == "bgr" else pixels


def _coloured(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    from PIL import Image

    if preprocess.resize is None:
        return image
    height, width = _size_after(image, preprocess.resize)
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling[preprocess.interpolation.upper()])


def _size_after(image: Image.Image, resize: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width; of a single number the longer side is rounded down, as torchvision does."""
    if not isinstance(resize, int):
        return resize
    if image.height <= image.width:
        return resize, resize * image.width // image.height
    return resize * image.height // image.width, resize


def _cropped(image: Image.Image, crop: tuple[int, int] | None) -> Image.Image:
    if crop is None:
        return image
    height, width = crop
    if image.height < height or image.width < width:
        raise Unreadable("smaller than the crop")
    top, left = round((image.height - height) / 2), round((image.width - width) / 2)
    return image.crop((left, top, left + width, top + height))


class ImageItems:
    """Items that are pictures. Each is decoded whenever it is read: nothing is kept of the ones not needed."""

    def __init__(
        self, files: Files, names: Sequence[str], inputs: Sequence[TensorInfo], preprocess: Preprocess
    ) -> None:
        self.names = names
        self.count = len(names)
        self._files = files
        self._preprocess = preprocess
        self._input = _only_input(inputs, preprocess)
        self._size = self._first_size()
        self.kinds: Mapping[str, ItemKind] = {self._input.name: self._kind()}

    def read(self, numbers: Numbers) -> Rows:
        """The pictures of these numbers, in this order."""
        pixels = np.zeros((len(numbers), *self._size), np.uint8)
        faults = {}
        for position, number in enumerate(numbers):
            try:
                pixels[position] = self._picture(self.names[number])
            except Unreadable as fault:
                faults[position] = fault.reason
        return Rows({self._input.name: self._converted(pixels)}, faults)

    def _picture(self, name: str) -> Array:
        pixels = decode(self._files.read(name), self._preprocess)
        if pixels.shape != self._size:
            raise DataError(
                f"pictures differ in size: {name} is {told_shape(pixels.shape[:2])}, the first one "
                f"{told_shape(self._size[:2])} (height × width)",
                f"[preprocess]\nresize = [{self._size[0]}, {self._size[1]}]",
            )
        return pixels

    def _first_size(self) -> tuple[int, ...]:
        """Height, width and channels of the first picture that can be decoded."""
        fault = Unreadable("there are none")
        for name in self.names:
            try:
                return decode(self._files.read(name), self._preprocess).shape
            except Unreadable as found:
                fault = Unreadable(f"{found.reason} ({name})")
        raise DataError(
            f"none of the {self.count} pictures in {self._files.where} can be used; the last one: {fault.reason}",
            f"supported are 8-bit {', '.join(FORMATS)}",
        )

    def _kind(self) -> ItemKind:
        height, width, channels = self._size
        nchw = self._preprocess.layout == "nchw"
        shape = (channels, height, width) if nchw else (height, width, channels)
        if not fits(shape, self._input.shape[1:]):
            raise DataError(
                f"pictures become {told_shape(shape)} ({self._preprocess.layout} without n), the model's input "
                f"{self._input.name!r} takes {told_shape(self._input.shape[1:])}",
                fitting_lines(self._input, self._size, self._preprocess.crop),
            )
        return ItemKind(input_dtype(self._input), shape)

    def _converted(self, pixels: Array) -> Array:
        computed = normalised(pixels, self._preprocess, 3) if has_arithmetic(self._preprocess) else pixels
        dtype = input_dtype(self._input)
        if dtype.kind in "iu" and computed is not pixels:
            computed = np.rint(computed)
        if self._preprocess.layout == "nchw":
            computed = computed.transpose(0, 3, 1, 2)
        return as_dtype(computed, dtype, self._input.name)


def _only_input(inputs: Sequence[TensorInfo], preprocess: Preprocess) -> TensorInfo:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        told = ", ".join(f"{info.name} ({told_shape(info.shape)})" for info in inputs)
        raise DataError(
            f"pictures go into one input of 4 axes (n × channels × height × width), this model takes {told}",
            "prepare the arrays yourself: a .npz with one array per input, or package.module:function",
        )
    check_dtype(preprocess, inputs)
    check_meaning(np.dtype(np.uint8), inputs[0], preprocess, "a picture")
    check_channels(preprocess, CHANNELS[preprocess.colour], f'colour = "{preprocess.colour}"')
    return inputs[0]


def fitting_lines(info: TensorInfo, size: tuple[int, ...], crop: tuple[int, int] | None) -> str:
    """The lines of `[preprocess]` that make a picture of `size` (height, width, channels) fit the model's input."""
    nhwc = info.shape[3] in (1, 3) and info.shape[1] not in (1, 3)
    height, width, channels = info.shape[1:] if nhwc else (*info.shape[2:], info.shape[1])
    lines = ["[preprocess]"]
    if (height or size[0], width or size[1]) != size[:2]:
        pair = f"[{height or size[0]}, {width or size[1]}]"
        lines += [f"resize = {pair}", *([f"crop = {pair}"] if crop else [])]
    if channels != size[2] and channels in (1, 3):
        lines.append(f'colour = "{"gray" if channels == 1 else "rgb"}"')
    lines.append(f'layout = "{"nhwc" if nhwc else "nchw"}"')
    return "\n".join(lines)
