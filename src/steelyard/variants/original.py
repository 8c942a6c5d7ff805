"""The model as it was given, in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from steelyard.models.files import resolve_inside
from steelyard.models.onnx_tensors import all_tensors, external_files
from steelyard.records.engine import Array


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """Copies the model at `source` with all its files. Raises ModelError for data outside its folder."""
    del calibration
    for name in (source.name, *_beside(source)):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, target)
    return into / source.name


def _beside(source: Path) -> list[str]:
    """The other files of the model, relative to its folder."""
    if source.suffix == ".xml":
        return [resolve_inside(source.parent, source.with_suffix(".bin").name, f"{source}: the file of weights").name]
    import onnx

    model = onnx.load(str(source), load_external_data=False)
    return external_files(all_tensors(model), source.parent, source.name)
