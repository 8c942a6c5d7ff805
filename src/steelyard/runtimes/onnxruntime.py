"""ONNX Runtime on the CPU (https://onnxruntime.ai/docs/api/python/api_summary.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import onnxruntime

from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import failure

# Where somebody loaded it before `import steelyard` could silence it: what it would still report from now on.
onnxruntime.disable_telemetry_events()


class OnnxRuntimeSession:
    """One model, one stream per Python thread. The outputs are new arrays that belong to the caller."""

    def __init__(self, sessions: Sequence[Any]) -> None:
        """`sessions`: which one each stream runs in; streams may share one."""
        self._sessions = sessions
        self._outputs = [output.name for output in sessions[0].get_outputs()]

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""
        try:
            # Binding inputs and outputs was measured too: for arrays in ordinary memory it gains nothing.
            return cast("Sequence[Array]", self._sessions[stream].run(self._outputs, inputs))
        except Exception as error:
            raise failure("onnxruntime cannot run the model", error) from error


def open_session(path: Path, settings: SessionSettings) -> OnnxRuntimeSession:
    """The ONNX file at `path`, opened."""
    # A session of one thread computes in the thread that calls it, so all streams may share it and its weights.
    # One with more threads has a single pool, in which concurrent runs would wait for each other.
    needed = 1 if settings.threads == 1 else settings.streams
    opened = [open_on(["CPUExecutionProvider"], path, settings.threads) for _ in range(needed)]
    return OnnxRuntimeSession([opened[stream % needed] for stream in range(settings.streams)])


def open_on(providers: Sequence[Any], path: Path, threads: int) -> Any:
    """An InferenceSession that computes what it can on the first provider, the rest on the next."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only
    # Threads that spin while they wait answer a single item 15-35 % sooner than threads that sleep. Spinning ends
    # with the run: between requests the core belongs to whatever else the server does.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=providers)
