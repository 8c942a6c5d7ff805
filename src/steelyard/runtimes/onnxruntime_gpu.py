"""ONNX Runtime on NVIDIA's GPUs, by its CUDA and its TensorRT execution providers.

Options: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html and
…/TensorRT-ExecutionProvider.html. What a provider cannot compute falls to the next one, the CPU last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime

from steelyard.errors import CandidateFailure
from steelyard.records.engine import SessionSettings
from steelyard.runtimes.onnxruntime import OnnxRuntimeSession, open_on

Options = tuple[str, Mapping[str, str]]


def open_cuda(path: Path, settings: SessionSettings) -> OnnxRuntimeSession:
    """The ONNX file at `path`, opened on the first GPU."""
    return _opened(path, settings, [cuda_options(settings)])


def open_tensorrt(path: Path, settings: SessionSettings) -> OnnxRuntimeSession:
    """The ONNX file at `path`, compiled by TensorRT for the first GPU; takes from seconds to minutes."""
    return _opened(path, settings, [tensorrt_options(path, settings), cuda_options(settings)])


def _opened(path: Path, settings: SessionSettings, providers: Sequence[Options]) -> OnnxRuntimeSession:
    if settings.precision == "f32":
        # TensorRT and cuDNN round to TF32 by themselves; this is read when their libraries are loaded.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries, where they came as Python packages
    # A session has one queue of work on the GPU: streams that shall overlap need one each.
    sessions = [open_on([*providers, "CPUExecutionProvider"], path, settings.threads) for _ in range(settings.streams)]
    require_provider(sessions[0].get_providers(), providers[0][0])
    return OnnxRuntimeSession(sessions)


def require_provider(got: Sequence[str], wanted: str) -> None:
    """Raises CandidateFailure when ONNX Runtime, as it does without a word, fell back to another provider."""
    if wanted not in got:
        raise CandidateFailure(
            "unsupported",
            f"{wanted} could not be loaded, ONNX Runtime fell back to {', '.join(got)}",
            "install the versions of CUDA, cuDNN and TensorRT that this onnxruntime-gpu was built for",
        )


def cuda_options(settings: SessionSettings) -> Options:
    """Convolutions chosen by rule: an exhaustive search would begin anew with every new batch size."""
    tf32 = "1" if settings.precision == "tf32" else "0"
    return "CUDAExecutionProvider", {"use_tf32": tf32, "cudnn_conv_algo_search": "HEURISTIC"}


def tensorrt_options(path: Path, settings: SessionSettings) -> Options:
    """Half precision when asked for; one engine for all batch sizes, where only the batch varies."""
    half = "True" if settings.precision == "f16" else "False"
    return "TensorrtExecutionProvider", {"trt_fp16_enable": half} | _profile(path, settings.max_batch)


def _profile(path: Path, max_batch: int) -> dict[str, str]:
    """The range of shapes, as `name:1x3x224x224`; without it TensorRT would build anew for each larger batch."""
    graph = onnx.load(str(path), load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in graph.input
        if value.name not in stored
    }
    if any(0 in shape[1:] for shape in shapes.values()) or all(shape and shape[0] for shape in shapes.values()):
        return {}
    ends = {"min": 1, "opt": max_batch, "max": max_batch}
    return {f"trt_profile_{end}_shapes": _written(shapes, batch) for end, batch in ends.items()}


def _written(shapes: Mapping[str, Sequence[int]], batch: int) -> str:
    return ",".join(f"{name}:{'x'.join(str(size or batch) for size in shape)}" for name, shape in shapes.items())
