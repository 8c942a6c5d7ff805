"""Made-up weighings with known truth, for the tests of the decision and of the search."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine
from steelyard.records.measurement import Evidence, Failure, FailureKind, Paired, Probe, Quality, ServiceTime, Speed
from steelyard.records.plan import SubjectInfo
from steelyard.records.weighing import Weighing

ITEMS_SELECT, ITEMS_CONFIRM = 1000, 1500
MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000)


def candidate(variant: str, runtime: str = "engine", **fields: int) -> Candidate:
    settings = {"threads": 2, "streams": 1, "max_batch": 8} | fields
    return Candidate(variant=variant, runtime=runtime, **settings)  # type: ignore[arg-type]


REFERENCE = candidate("original", max_batch=1)


def service(ms: float, per_item_ms: float, batches: Sequence[int] = (1, 2, 4, 8), spread: float = 0.1) -> Speed:
    """Batch times `ms + batch * per_item_ms`, spread evenly around by a tenth."""
    times = []
    for batch in batches:
        middle = ms + batch * per_item_ms
        quantiles = tuple(middle * (1 - spread / 2 + spread * i / 20) for i in range(21))
        times.append(ServiceTime(batch=batch, quantiles_ms=quantiles, runs=100))
    return Speed(service=tuple(times), reference_ratio=1.0)


def quality(start: int, items: int, right: float = 0.9, worse: float = 0.0, better: float = 0.0) -> Quality:
    """Accuracy: the reference is right on `right`; `worse` and `better` are the shares of changed answers."""
    lost, won = round(items * worse), round(items * better)
    both = round(items * right) - lost
    return Quality(
        metric="accuracy",
        start=start,
        items=items,
        value=(both + won) / items,
        reference=(both + lost) / items,
        paired=Paired(both=both, only_reference=lost, only_candidate=won, neither=items - both - lost - won),
        identical=not worse and not better,
    )


def evidence(
    of: Candidate,
    speed: Speed | None,
    worse: float = 0.0,
    better: float = 0.0,
    *,
    memory_mb: float = 100,
    confirmed: bool = True,
    confirm_items: int = ITEMS_CONFIRM,
    right: float = 0.9,
) -> Evidence:
    return Evidence(
        candidate_id=of.id,
        probe=Probe(build_s=1, load_s=0.1, memory_mb=memory_mb),
        speed=speed,
        selected=quality(0, ITEMS_SELECT, right, worse, better),
        confirmed=quality(ITEMS_SELECT, confirm_items, right, worse, better) if confirmed else None,
    )


def failed(of: Candidate, kind: FailureKind, message: str) -> Evidence:
    failure = Failure(kind=kind, message=message)
    return Evidence(candidate_id=of.id, probe=Probe(build_s=0, load_s=0, memory_mb=0, failure=failure))


def weighing(candidates: Sequence[Candidate], confirm: int = ITEMS_CONFIRM) -> Weighing:
    subject = SubjectInfo(
        name="made-up",
        key="k" * 32,
        metric="accuracy",
        model="model.onnx",
        model_sha256="0" * 64,
        data="data.npz",
        data_sha256="1" * 64,
        items_select=ITEMS_SELECT,
        items_confirm=confirm,
        items_calibrate=100,
    )
    return Weighing(subject=subject, machine=MACHINE, candidates=tuple(candidates))
