"""Read a model by OpenVINO, write one as its IR; without telling its makers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# NNCF and OpenVINO would report each use to their makers over the network and leave an identifier in the home
# folder. Where the telemetry package cannot be imported they fall back to stubs that do nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import nncf  # noqa: E402
import openvino  # noqa: E402

__all__ = ["nncf", "openvino", "read", "write"]


def read(source: Path) -> Any:
    """The model at `source`, ONNX or IR."""
    return openvino.Core().read_model(str(source))


def write(model: Any, into: Path) -> Path:
    """Writes the model into the folder; what is in float keeps its 32 bits. Returns its main file."""
    target = into / "model.xml"
    openvino.save_model(model, str(target), compress_to_fp16=False)
    return target
