"""ONNX Runtime's own graph optimisations, made once and kept.

https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html, offline mode. The level is
`extended`: the one above it lays memory out for the very CPU that it runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from steelyard.records.engine import Array


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` as ONNX Runtime rewrites it, with fused operators of its own."""
    del calibration
    target = into / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3  # errors only
    # Weights of 1 kB and more go into a file of their own, for a model beyond 2 GB fits no single one.
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "model.onnx.data")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return target
