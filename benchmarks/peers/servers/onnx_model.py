"""The model that every peer serves: the same file, in ONNX Runtime with one thread: best for small networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnxruntime


class OnnxModel:
    """Answers batches. `item_shape` is that of one item."""

    def __init__(self, file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        told = self._session.get_inputs()[0]
        self._name = told.name
        self.item_shape = tuple(told.shape[1:])

    def __call__(self, batch: Any) -> Any:
        """float32 [n, …] → the first output [n, …]."""
        return self._session.run(None, {self._name: batch})[0]


class Settings:
    """What a server is told on its command line: `MODEL.onnx PORT SETTINGS.json`."""

    def __init__(self, arguments: list[str] = sys.argv) -> None:
        self.model = arguments[1]
        self.port = int(arguments[2])
        told = json.loads(Path(arguments[3]).read_text())
        self.workers: int = told["workers"]
        self.batch: int = told["batch"]
        """Requests that may be answered together; 1: none."""
