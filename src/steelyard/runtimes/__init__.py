"""What executes a model: the table of runtimes, and the one way to open a model with any of them.

The table is light: a runtime's own module, and with it the engine, is imported when a model is opened.
A runtime of your own needs a `RuntimeSpec` in this table and an opener; `steelyard.testing.check_runtime` tells whether
it keeps the contract. Child processes read the table anew, so an entry made at run time is not seen by them.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import cast

from steelyard.errors import CandidateFailure, SteelyardError, UsageError
from steelyard.records.dotted import found
from steelyard.records.engine import RuntimeSpec, Session, SessionSettings
from steelyard.records.model import ModelFormat

_GPU_INSTALL = "pip uninstall onnxruntime; pip install onnxruntime-gpu"
"""Both hold the same module: installed beside each other one hides the other."""

RUNTIMES: dict[str, RuntimeSpec] = {
    "onnxruntime": RuntimeSpec(
        name="onnxruntime",
        opener="steelyard.runtimes.onnxruntime:open_session",
        package="onnxruntime",
        also=("onnxruntime-gpu",),
        reads=("onnx",),
        precisions=("f32",),
        classical=True,
    ),
    "openvino": RuntimeSpec(
        name="openvino",
        opener="steelyard.runtimes.openvino:open_session",
        package="openvino",
        reads=("onnx", "openvino"),
        precisions=("f32", "bf16"),
    ),
    "torch": RuntimeSpec(
        name="torch",
        opener="steelyard.runtimes.torch_eager:open_session",
        package="torch",
        reads=("onnx",),
        precisions=("f32",),
        extra="train",
    ),
    "torch-inductor": RuntimeSpec(
        name="torch-inductor",
        opener="steelyard.runtimes.torch_inductor:open_session",
        package="torch",
        reads=("onnx",),
        precisions=("f32",),
        extra="train",
        compiles=True,
        needs="steelyard.runtimes.needs:cpp_compiler",
    ),
    "onnxruntime-cuda": RuntimeSpec(
        name="onnxruntime-cuda",
        opener="steelyard.runtimes.onnxruntime_gpu:open_cuda",
        package="onnxruntime-gpu",
        reads=("onnx",),
        precisions=("f32", "tf32", "f16"),
        device="gpu",
        install=_GPU_INSTALL,
        needs="steelyard.runtimes.needs:cuda_provider",
    ),
    "onnxruntime-tensorrt": RuntimeSpec(
        name="onnxruntime-tensorrt",
        opener="steelyard.runtimes.onnxruntime_gpu:open_tensorrt",
        package="onnxruntime-gpu",
        reads=("onnx",),
        precisions=("f32", "tf32", "f16"),
        device="gpu",
        install=_GPU_INSTALL,
        compiles=True,
        needs="steelyard.runtimes.needs:tensorrt_provider",
    ),
}

_FORMATS: dict[str, ModelFormat] = {".onnx": "onnx", ".xml": "openvino"}


def installed_version(spec: RuntimeSpec) -> str | None:
    """The version of the runtime's package here, or None when it is not installed."""
    return _version_of(distribution(spec))


def distribution(spec: RuntimeSpec) -> str:
    """The distribution that brings the runtime here: the first that is installed, otherwise its own package."""
    return next((name for name in (spec.package, *spec.also) if _version_of(name)), spec.package)


def how_to_install(spec: RuntimeSpec) -> str:
    """The command that installs it."""
    wanted = f"'steelyard[{spec.extra}]'" if spec.extra else spec.package
    return spec.install or f"pip install {wanted}"


def lacking(spec: RuntimeSpec) -> str:
    """Why the runtime cannot be used on this machine, in one sentence; empty: it can."""
    if installed_version(spec) is None:
        return f"it is not installed: {how_to_install(spec)}"
    return _lacking(spec.needs) if spec.needs else ""


@cache
def _lacking(needs: str) -> str:
    return str(found(needs)())


def open_session(name: str, path: Path, settings: SessionSettings) -> Session:
    """The model at `path`, opened by the runtime `name` of the table.

    Raises UsageError for an unknown name or settings that make no sense, CandidateFailure (`unsupported`) when the
    runtime is not installed, cannot compute in this precision here, or cannot open the model.
    """
    if name not in RUNTIMES:
        raise UsageError(f"there is no runtime {name!r}", f"choose one of: {', '.join(sorted(RUNTIMES))}")
    return open_with(RUNTIMES[name], path, settings)


def open_with(spec: RuntimeSpec, path: Path, settings: SessionSettings) -> Session:
    """As `open_session`, for a runtime that need not be in the table."""
    _check(spec, path, settings)
    try:
        return cast("Session", found(spec.opener)(path, settings))
    except SteelyardError:
        raise
    except Exception as error:
        raise failure(f"{spec.name} cannot open {path.name}", error) from error


def failure(what: str, error: Exception) -> CandidateFailure:
    """What an engine's own exception means for a candidate: `memory` or `unsupported`, told in one line."""
    kind = "memory" if isinstance(error, MemoryError) else "unsupported"
    return CandidateFailure(kind, f"{what}: {_reason(error)}")


def _check(spec: RuntimeSpec, path: Path, settings: SessionSettings) -> None:
    if settings.threads < 1 or settings.streams < 1:
        raise UsageError(
            f"expected at least 1 thread and 1 stream, got {settings.threads} threads and {settings.streams} streams"
        )
    if installed_version(spec) is None:
        raise CandidateFailure("unsupported", f"the runtime {spec.name} is not installed", how_to_install(spec))
    if lacks := lacking(spec):
        raise CandidateFailure("unsupported", f"{spec.name} cannot be used on this machine: {lacks}")
    if settings.precision not in spec.precisions:
        known = ", ".join(spec.precisions)
        raise CandidateFailure("unsupported", f"{spec.name} computes in {known}, not in {settings.precision}")
    # Without a suffix that they know the engines try their readers of a dozen formats on the file.
    if _FORMATS.get(path.suffix) not in spec.reads:
        raise CandidateFailure("unsupported", f"{spec.name} reads {' and '.join(spec.reads)}, not {path.name}")
    if not path.is_file():
        raise CandidateFailure("unsupported", f"there is no model file {path}")


@cache
def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


_PREAMBLE = (
    "Exception from",
    "Check 'false' failed at",
    "FrontEnd API failed",
    "Model wasn't fully converted",
    "Summary:",
)


def _reason(error: Exception) -> str:
    """What an engine says in one line; OpenVINO first names the places in its own source that the error came by."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(_PREAMBLE)]
    return told[0][:400] if told else type(error).__name__
