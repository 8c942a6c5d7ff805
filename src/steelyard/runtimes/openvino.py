"""OpenVINO on the CPU.

Properties: https://docs.openvino.ai/2025/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import failure

# `import openvino` would report itself to its makers over the network and leave an identifier in the home folder.
# Where its telemetry package cannot be imported it falls back to a stub that does nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

# The first call of this looks numpy up anew; two streams that do so at the same moment block each other for good.
openvino.Type.f32.to_dtype()

_CAPABILITIES = {"f32": "FP32", "bf16": "BF16"}


class OpenVinoSession:
    """One model, one inference request per stream. The outputs are copies that belong to the caller."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        core = openvino.Core()
        _require(core, settings.precision)
        compiled = core.compile_model(core.read_model(str(path)), "CPU", _properties(settings))
        self._requests = [compiled.create_infer_request() for _ in range(settings.streams)]

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""
        try:
            return list(self._requests[stream].infer(dict(inputs), share_inputs=True).values())
        except Exception as error:
            raise failure("openvino cannot run the model", error) from error


def open_session(path: Path, settings: SessionSettings) -> OpenVinoSession:
    """The ONNX file or IR (.xml) at `path`, opened."""
    return OpenVinoSession(path, settings)


def _require(core: Any, precision: str) -> None:
    # Asked for a precision that the CPU lacks, OpenVINO silently computes in another one.
    if _CAPABILITIES[precision] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise CandidateFailure("unsupported", f"OpenVINO does not compute in {precision} on this CPU")


def _properties(settings: SessionSettings) -> dict[str, str]:
    threads = settings.threads * settings.streams
    # Pinned threads of two processes share the first core while the second idles, which halves both. Only where one
    # stream of several threads has the machine to itself does pinning pay (1.4 times, measured).
    alone = settings.threads > 1 and threads >= _cores()
    return {
        "INFERENCE_PRECISION_HINT": settings.precision,
        "NUM_STREAMS": str(settings.streams),
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "YES" if alone else "NO",
    }


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
