"""Weigh, decide and check from Python, in the words of the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import loop
from steelyard.cluster.ordered import weigh as weigh_as_ordered
from steelyard.errors import DataError, ModelError, UsageError
from steelyard.loop import order
from steelyard.loop.check import Check
from steelyard.loop.weigh import Balance
from steelyard.records.base import digest
from steelyard.records.plan import Plan
from steelyard.search import Event

if TYPE_CHECKING:
    import torch

EXAMPLES = 2
"""Items that a torch module is exported with."""


def weigh(
    model: str | Path | torch.nn.Module,
    data: str | Path | Callable[[], Any] | tuple[Any, Any] | Mapping[str, Any],
    *,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
    **words: Any,
) -> Balance:
    """Find the cheapest way to run `model` that keeps every requirement; the bundle is written to `out`.

    `model` is an ONNX or OpenVINO file, or a torch module (exported and verified first). `data` is what `--data`
    takes, a function without arguments, `(inputs, labels)` as arrays, or a mapping of arrays by name.
    `words` are the command line's settings with underscores: `p95="5ms"`, `quality_drop="1%"`, `rate="500/s"`,
    `machine="m7a.large"`, `within="60s"`, `out="plan"`, `preprocess={"resize": 224}` …

    Raises `InputError` for what cannot be used and `Interrupted` once `stop` is set.
    """
    settled = _settled(words)
    work = Path(str(settled.get("work", order.DEFAULTS["work"])))
    source = _data_source(data, work)
    path = _exported(model, source, work) if _is_module(model) else Path(str(model))
    return weigh_as_ordered(order.job(settled | {"model": str(path), "data": source}), on_event, stop)


def decide(subject: str = "", **words: Any) -> Plan:
    """The plan for new requirements or another price, from the ledger alone.

    `subject` is a name or the beginning of a key; empty: the one weighed last. `words` as in `weigh`.
    """
    settled = _settled(words)
    pricing, warnings = order.pricing(settled)
    place = settled.get("ledger") or Path(str(settled.get("work", order.DEFAULTS["work"]))) / "ledger.db"
    return loop.decide_again(place, order.requirements(settled), pricing, subject=subject, warnings=warnings)


def check(bundle: str | Path, data: str | Path | None = None, work: str | Path = ".steelyard") -> Check:
    """Verify a bundle again: hashes, quality, and speed beside the reference."""
    return loop.check(Path(bundle), data=None if data is None else str(data), work=Path(work))


def _settled(words: Mapping[str, Any]) -> dict[str, Any]:
    """`p95="5ms"` as a latency, a `preprocess` table as its settings; unknown words are refused."""
    settled: dict[str, Any] = {}
    for name, value in words.items():
        if name[:1] == "p" and name[1:].replace("_", ".").replace(".", "", 1).isdigit():
            settled["latency"] = f"p{name[1:].replace('_', '.')}={value}"
        elif name == "preprocess":
            settled |= {f"preprocess.{key}": setting for key, setting in value.items()}
        elif name in order.WORDS:
            settled[name] = value
        else:
            raise UsageError(f"unknown setting '{name}'", f"known: p95 (any percentile), {', '.join(order.WORDS)}")
    return settled


def _is_module(model: object) -> bool:
    """Whether it is a torch module, told without importing torch."""
    return any(f"{kind.__module__}.{kind.__name__}" == "torch.nn.modules.module.Module" for kind in type(model).__mro__)


def _data_source(data: Any, work: Path) -> str:
    """What `--data` would be; arrays are written down first."""
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, Mapping):
        return _written({str(name): np.asarray(array) for name, array in data.items()}, work)
    if isinstance(data, Sequence) and len(data) == 2:
        return _written({"x": np.asarray(data[0]), "labels": np.asarray(data[1])}, work)
    if callable(data) and "<" not in data.__qualname__:
        return f"{data.__module__}:{data.__qualname__}"
    raise DataError(
        f"data is a path, arrays (inputs, labels), a mapping of arrays, or a function; got {type(data).__name__}",
        "a lambda or a nested function cannot be found by a child process: define it in a module",
    )


def _written(arrays: dict[str, np.ndarray[Any, Any]], work: Path) -> str:
    """Arrays as a .npz in the work folder, named by their contents."""
    if any(array.dtype == object for array in arrays.values()):
        raise DataError("an array holds Python objects", "give numbers, or labels as text")
    key = digest(*((n, a.shape, str(a.dtype), _contents(a)) for n, a in arrays.items()))
    place = work / "given" / f"{key}.npz"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(".unfinished.npz")
        np.savez(unfinished, **arrays)  # type: ignore[arg-type]
        unfinished.replace(place)
    return str(place)


def _contents(array: np.ndarray[Any, Any]) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"").hexdigest()


def _exported(model: Any, source: str, work: Path) -> Path:
    """The torch module as ONNX in the work folder, verified against its own answers."""
    import torch

    from steelyard.models.torch_module import export_module

    if not source.endswith(".npz"):
        raise ModelError(
            "a torch module can only be weighed on arrays: its inputs must be known to export it",
            "give data=(inputs, labels), or export it yourself with steelyard.models.torch_module.export_module",
        )
    with np.load(source, allow_pickle=False) as arrays:
        names = [name for name in arrays.files if name not in ("labels", "label", "y", "targets", "class")]
        examples = [torch.from_numpy(np.array(arrays[name][:EXAMPLES])) for name in names]
    examples = [example.float() if example.is_floating_point() else example for example in examples]
    place = work / "exported" / f"{type(model).__name__}.onnx"
    place.parent.mkdir(parents=True, exist_ok=True)
    return export_module(model, examples, place)
