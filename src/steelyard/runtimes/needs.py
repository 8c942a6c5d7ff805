"""What runtimes need beside their package. Each function says in one sentence what this machine lacks, or nothing."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def cpp_compiler() -> str:
    """For torch.compile, which generates C++ that includes Python's headers."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler '{compiler}': install one (Debian: apt install g++), or name it in CXX"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are missing: install them (Debian: apt install python3-dev)"
    return ""


def cuda_provider() -> str:
    """For ONNX Runtime's CUDA execution provider."""
    return _gpu_provider("CUDAExecutionProvider")


def tensorrt_provider() -> str:
    """For ONNX Runtime's TensorRT execution provider."""
    return _gpu_provider("TensorrtExecutionProvider")


def _gpu_provider(name: str) -> str:
    if not sees_gpu():
        return "there is no NVIDIA GPU, or its driver is missing"
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if name not in available:
        return (
            f"the onnxruntime that Python imports has no {name}, only {', '.join(available)}: "
            "pip uninstall onnxruntime, then install onnxruntime-gpu again"
        )
    return ""


def sees_gpu(root: Path = Path("/")) -> bool:
    """Whether a driver shows an NVIDIA GPU to this process (on Linux, or in Windows' subsystem for it)."""
    return any((root / "dev").glob("nvidia[0-9]*")) or (root / "dev/dxg").exists()
