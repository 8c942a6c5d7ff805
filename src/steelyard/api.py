"""Weigh, decide, check and serve from Python, in the words of the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard import loop
from steelyard.cluster.ordered import weigh as weigh_as_ordered
from steelyard.errors import UsageError
from steelyard.given import written_down
from steelyard.loop import order
from steelyard.loop.check import Check
from steelyard.loop.weigh import Balance
from steelyard.records.plan import Plan
from steelyard.search import Event

if TYPE_CHECKING:
    import keras
    import torch
    from pandas import DataFrame
    from sklearn.base import BaseEstimator

    from steelyard.protocol.embedded import Embedded


def weigh(
    model: str | Path | torch.nn.Module | keras.Model | BaseEstimator,
    data: str | Path | Callable[[], Any] | tuple[Any, Any] | Mapping[str, Any] | DataFrame,
    *,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
    **words: Any,
) -> Balance:
    """Find the cheapest way to run `model` that keeps every requirement; the bundle is written to `out`.

    `model` is an ONNX or OpenVINO file; or a torch module, a Keras 3 model, a fitted scikit-learn classifier, regressor
    or pipeline, which are exported and verified first. `data` is what `--data` takes, a function without arguments,
    `(inputs, labels)` as arrays, a mapping of arrays by name, or a DataFrame.
    `words` are the command line's settings with underscores: `p95="5ms"`, `quality_drop="1%"`, `rate="500/s"`,
    `machine="m7a.large"`, `within="60s"`, `out="plan"`, `preprocess={"resize": 224}`, `metric="f1"` or a function …

    Raises `InputError` for what cannot be used and `Interrupted` once `stop` is set.
    """
    settled = _settled(words)
    work = Path(str(settled.get("work", order.DEFAULTS["work"])))
    given = written_down(model, data, settled, work)
    job = order.job(settled | given.words | {"model": given.model, "data": given.data})
    return weigh_as_ordered(msgspec.structs.replace(job, warnings=(*job.warnings, *given.told)), on_event, stop)


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


def asgi(
    bundles: str | Path | Mapping[str, str | Path],
    *,
    token_file: str | Path | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    max_body: str = "64MB",
    switch: bool = True,
    only: str = "",
    isolate: bool = False,
    queue: int = 10_000,
    shadow: str = "0%",
    hang: str = "30s",
) -> Embedded:
    """Bundles as an ASGI application: what `steelyard serve` answers over HTTP, for your own server to run or mount.

    `bundles` is a folder, whose model is called after its file, or folders by name. The models open with the
    application's lifespan and close with it, once everybody is answered; an application that mounts this one opens them
    by its own: `FastAPI(lifespan=models.lifespan)`. Run it in one process: another would open all models again.

    Clients may call it by the names of this machine alone, or also by those in `hosts` (`["*"]`: by any); if
    STEELYARD_TOKEN is set or `token_file` given, they need the token, and the name does not matter. `origins` are pages
    that may call it from a browser. The rest as in `steelyard serve`.

    Raises `BundleError` for what is no bundle and `UsageError` for a setting that will not do, at once; what else keeps
    a bundle from being served is told when the lifespan begins.
    """
    from steelyard.loop.embedding import embedded
    from steelyard.loop.serving import Served
    from steelyard.records.stated import megabytes, seconds, share

    settings = Served(
        token_file=None if token_file is None else Path(token_file),
        hosts=tuple(hosts),
        origins=tuple(origins),
        most_body=int(megabytes(max_body, "max_body") * 10**6),
        switch=switch,
        only=only,
        isolate=isolate,
        most_waiting=queue,
        shadow=share(shadow, "shadow"),
        hang_s=seconds(hang, "hang"),
    )
    return embedded(bundles, settings)


def _path_of(function: Callable[..., Any]) -> str:
    """Where other processes find a function."""
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        raise UsageError(
            f"other processes cannot find the function {function.__qualname__}",
            "define it in a module of its own, not in the script that runs, in a cell or in another function",
        )
    return f"{function.__module__}:{function.__qualname__}"


def _settled(words: Mapping[str, Any]) -> dict[str, Any]:
    """`p95="5ms"` as a latency, a `preprocess` table as its settings; unknown words are refused."""
    settled: dict[str, Any] = {}
    for name, value in words.items():
        if name[:1] == "p" and name[1:].replace("_", ".").replace(".", "", 1).isdigit():
            settled["latency"] = f"p{name[1:].replace('_', '.')}={value}"
        elif name == "preprocess":
            settled |= {f"preprocess.{key}": setting for key, setting in value.items()}
        elif name == "metric" and callable(value):
            settled[name] = _path_of(value)
        elif name in order.WORDS:
            settled[name] = value
        else:
            raise UsageError(f"unknown setting '{name}'", f"known: p95 (any percentile), {', '.join(order.WORDS)}")
    return settled
