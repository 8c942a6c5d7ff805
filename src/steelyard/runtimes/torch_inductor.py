"""An ONNX graph compiled by torch.compile with inductor, which generates and compiles C++ for it.

https://docs.pytorch.org/docs/stable/torch.compiler.html. Compiling takes seconds to minutes and happens when the
model is opened; it needs a C++ compiler and Python's headers.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_PREFIX = "steelyard-inductor-"


def _remove_what_killed_processes_left() -> None:
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process = place.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if place.stat().st_uid == os.getuid() and not psutil.pid_exists(int(process)):
                shutil.rmtree(place, ignore_errors=True)


_remove_what_killed_processes_left()


# Generated code is loaded from this folder: it must be one that nobody else can have put something into.
_CACHE = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["TORCHINDUCTOR_CACHE_DIR"] = _CACHE

import torch  # noqa: E402
import torch._functorch.config  # noqa: E402
import torch._inductor.config  # noqa: E402

from steelyard.errors import CandidateFailure  # noqa: E402
from steelyard.records.engine import Array, SessionSettings  # noqa: E402
from steelyard.runtimes import failure  # noqa: E402
from steelyard.runtimes.torch_eager import Walk, as_array, as_tensor  # noqa: E402
from steelyard.runtimes.torch_graph import graph_of  # noqa: E402

MOST_SHAPES = 8
"""Each combination of sizes beside the batch is compiled anew."""
_SMALL = 2


class InductorSession:
    """One model, compiled once for any batch. The outputs are arrays that no later run writes to."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        _settle(settings.threads)
        with torch.no_grad():
            self._walk = Walk(path)
        self._varying = [bool(shape) and shape[0] is None for shape in self._walk.shapes]
        self._compiled: dict[tuple[Any, ...], Any] = {}
        self._turn = threading.Lock()
        if all(None not in shape[1:] for shape in self._walk.shapes):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own modules warn about each other
                self._warm_up(settings.max_batch)

    def _warm_up(self, max_batch: int) -> None:
        """Compile for one item, for a few and for many, which inductor treats differently."""
        for batch in (1, _SMALL, max_batch) if any(self._varying) else (1,):
            sizes = [(size or batch for size in shape) for shape in self._walk.shapes]
            dtypes = self._walk.dtypes
            self._run([torch.zeros(tuple(shape), dtype=dtype) for shape, dtype in zip(sizes, dtypes, strict=True)])

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""
        del stream
        return [as_array(output) for output in self._run([as_tensor(inputs[name]) for name in self._walk.names])]

    def _run(self, inputs: list[Any]) -> list[Any]:
        torch.get_num_threads()  # hands the number of threads on to the calling thread, should it be a new one
        with torch.no_grad():
            try:
                return list(self._of_shape(inputs)(*inputs))
            except CandidateFailure:
                raise
            except Exception as error:
                told = getattr(error, "inner_exception", error)
                raise failure("torch-inductor cannot compile or run the model", told) from error

    def _of_shape(self, inputs: Sequence[Any]) -> Any:
        """What was compiled for these sizes, the batch aside."""
        key = tuple(x.shape[1:] if varies else x.shape for x, varies in zip(inputs, self._varying, strict=True))
        if key not in self._compiled:
            with self._turn:
                if key not in self._compiled:
                    self._compiled[key] = self._compile(inputs)
        return self._compiled[key]

    def _compile(self, inputs: Sequence[Any]) -> Any:
        if len(self._compiled) == MOST_SHAPES:
            raise CandidateFailure(
                "unsupported", f"inputs of more than {MOST_SHAPES} different sizes: each would be compiled anew"
            )
        graph = graph_of(self._walk, inputs, self._varying)
        compiled = torch.compile(graph, fullgraph=True, options={"freezing": True})
        if not any(self._varying):
            return compiled
        examples = [torch.cat([x[:1]] * _SMALL) if v else x for x, v in zip(inputs, self._varying, strict=True)]
        for example, varies in zip(examples, self._varying, strict=True):
            if varies:
                torch._dynamo.maybe_mark_dynamic(example, 0)
        compiled(*examples)
        return compiled


def open_session(path: Path, settings: SessionSettings) -> InductorSession:
    """The ONNX file at `path`, compiled."""
    return InductorSession(path, settings)


def _settle(threads: int) -> None:
    """The number of threads is compiled in; no helper processes, and no caches that others could write to."""
    torch.set_num_threads(threads)
    torch._inductor.config.compile_threads = 1
    torch._inductor.config.fx_graph_cache = False  # pickles
    torch._inductor.config.cpp_cache_precompile_headers = False  # kept at a place that anybody can guess
    torch._functorch.config.enable_autograd_cache = False
