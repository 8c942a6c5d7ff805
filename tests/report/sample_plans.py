"""Plans as the decision would make them, for the tests of the report: figures in the size of EfficientNet-Lite0."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from steelyard.decision.worth import cost_of
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import FailureKind, ServiceTime
from steelyard.records.plan import (
    SCHEMA,
    Chosen,
    Cost,
    Energy,
    Figures,
    Gain,
    LatencyFigures,
    Outcome,
    Plan,
    QualityFigures,
    Relaxation,
    SearchFigures,
    SubjectInfo,
    Verdict,
    Weighed,
)
from steelyard.records.requirements import Latency, Requirements

BOUND_MS = 20.0
FLOOR_DROP = 0.01
RATE = 1000.0
REFERENCE_QUALITY = 0.856
PRICE = Price(per_hour=0.096, currency="USD", machine="c7a.large", source="--price 0.096USD/h")
NO_PRICE = Price()
HOSTILE = '</script><img src=x onerror="window.pwned=1"><!--<script>window.pwned=1</script>{{ 7*7 }}'


class Row(NamedTuple):
    """What tells one sample candidate from the others."""

    candidate: Candidate
    outcome: Outcome
    quality: float
    item_ms: float
    """Service time of one item on one stream."""
    memory_mb: float
    reason: str


TABLE = """
int8-nncf    openvino    bf16 1 2 8 | chosen       | 0.8552 |  3.1 | 148 | Cheapest that keeps every requirement.
int8-nncf    openvino    bf16 2 1 1 | front        | 0.8552 |  2.0 | 141 | 61% dearer, p95 is 3.3 ms shorter.
int8-static  onnxruntime f32  2 1 1 | front        | 0.8578 |  2.6 |  96 | Twice as dear, quality 0.26 points higher.
original     openvino    bf16 1 2 8 | front        | 0.8560 |  5.4 | 190 | 74% dearer, the quality of the original.
int8-static  onnxruntime f32  1 2 4 | dominated    | 0.8530 |  4.4 |  98 | int8-nncf is 30% cheaper and as good.
original     openvino    f32  2 1 1 | dominated    | 0.8560 |  5.2 | 180 | bf16 is 58% cheaper with equal answers.
original     onnxruntime f32  2 1 1 | dominated    | 0.8560 |  5.6 | 102 | int8-nncf is 78% cheaper and as good.
original     onnxruntime f32  1 2 1 | dominated    | 0.8560 | 10.1 | 104 | The same in openvino is cheaper.
int8-dynamic onnxruntime f32  2 1 1 | fails        | 0.8310 |  4.1 |  88 | Quality drops by up to 3.1 points; 1 allowed.
int8-static  openvino    bf16 1 2 1 | fails        | 0.4020 |  2.2 |  91 | Agrees with the original on 42% of the items.
original     torch       f32  2 1 1 | fails        | 0.8560 | 37.5 | 420 | p95 is 113 ms at any rate; 20 ms allowed.
pruned       openvino    bf16 1 2 8 | undecided    | 0.8490 |  2.8 | 120 | 500 items do not settle it; 1 900 would.
original     tflite      f32  2 1 1 | failed       | nan    | nan  | nan | Operator HardSwish is not supported.
original     torch       bf16 2 1 1 | not measured | nan    | nan  | nan | Three times slower at first look.
"""


def _row(line: str) -> Row:
    run, outcome, quality, item_ms, memory_mb, reason = (part.strip() for part in line.split("|"))
    variant, runtime, precision, threads, streams, max_batch = run.split()
    return Row(
        candidate=Candidate(
            variant=variant,
            runtime=runtime,
            precision=precision,
            threads=int(threads),
            streams=int(streams),
            max_batch=int(max_batch),
        ),
        outcome=msgspec.convert(outcome, Outcome),
        quality=float(quality),
        item_ms=float(item_ms),
        memory_mb=float(memory_mb),
        reason=reason,
    )


ROWS = tuple(_row(line) for line in TABLE.strip().splitlines())
REFERENCE = ROWS[6]


def met_plan(price: Price = PRICE) -> Plan:
    """Requirements met, fourteen candidates, every outcome present."""
    weighed = tuple(_weighed(row, price) for row in ROWS)
    chosen, reference = _figures(ROWS[0], price), _figures(REFERENCE, price)
    before, after = reference.cost.per_million, chosen.cost.per_million
    assert before is not None
    assert after is not None
    return Plan(
        schema=SCHEMA,
        steelyard="0.1.0",
        created="2026-11-24T13:40:12Z",
        status="met",
        summary="Run int8-nncf in openvino on two streams of one thread: 4.5× cheaper than the model as given, "
        "quality at most 0.71 points lower.",
        subject=_subject(),
        requirements=_requirements(),
        machine=Machine(
            cpu="AMD EPYC 9R14",
            arch="x86_64",
            cores=2,
            memory_mb=7800,
            features=("avx2", "avx512_bf16", "avx512_vnni"),
            system="Linux 6.1, glibc 2.36",
        ),
        price=price,
        chosen=chosen.candidate,
        quality=chosen.quality,
        latency=chosen.latency,
        capacity_per_replica=chosen.capacity_per_replica,
        replicas=chosen.replicas,
        cost=chosen.cost,
        reference=reference,
        gain=Gain(speed=chosen.capacity_per_replica / reference.capacity_per_replica, cost=before / after),
        candidates=weighed,
        front=tuple(entry.id for entry in weighed if entry.verdict in ("chosen", "front")),
        search=SearchFigures(seconds=312.0, measured=41, resumed=6, ruled_out=2, complete=True),
        warnings=("The machine was disturbed during 3% of the runs; they were left out.",),
        artefacts={"int8-nncf": {"int8-nncf/model.xml": "ab" * 32, "int8-nncf/model.bin": "cd" * 32}},
        ladder=("original.openvino.bf16.t1s2b8", chosen.candidate.id),
    )


def infeasible_plan() -> Plan:
    """The latency bound is too short for everything."""
    plan = _without_choice(met_plan())
    nearest = plan.candidates[1]
    return msgspec.structs.replace(
        plan,
        status="infeasible",
        summary="No candidate answers 95% of the requests within 1.5 ms; the nearest needs 2.41 ms.",
        requirements=msgspec.structs.replace(plan.requirements, latency=Latency(percentile=95.0, bound_ms=1.5)),
        nearest=nearest.id,
        binding=("--p95 1.5ms",),
        relaxations=(
            Relaxation(requirement="--p95 1.5ms", instead="--p95 2.41ms", candidate=nearest.id),
            Relaxation(requirement="--max-drop 1%", instead="--max-drop 3.6%", candidate=plan.candidates[8].id),
        ),
    )


def undecided_plan() -> Plan:
    """Too few items to say whether the quality holds."""
    plan = _without_choice(met_plan())
    return msgspec.structs.replace(
        plan,
        status="undecided",
        summary="500 items do not settle whether the quality holds; about 1,900 would.",
        nearest=plan.candidates[11].id,
        binding=("--max-drop 1%",),
    )


def unpriced_plan() -> Plan:
    """No price was given, no rate, no latency bound: cost counts in machine hours."""
    plan = met_plan(NO_PRICE)
    weighed = tuple(_without_rate(entry) for entry in plan.candidates)
    chosen = weighed[0].figures
    assert chosen is not None
    return msgspec.structs.replace(
        plan,
        requirements=Requirements(quality_drop=FLOOR_DROP),
        candidates=weighed,
        replicas=None,
        cost=chosen.cost,
        warnings=(),
        artefacts={},
        ladder=(),
    )


def single_plan() -> Plan:
    """The reference is the only candidate, and is chosen."""
    plan = met_plan()
    figures = _figures(REFERENCE, PRICE)
    entry = Weighed(id=figures.candidate.id, verdict="chosen", reason="The only candidate.", figures=figures)
    return msgspec.structs.replace(
        plan,
        summary="Run the model as it is: nothing else was tried.",
        chosen=figures.candidate,
        quality=figures.quality,
        latency=figures.latency,
        capacity_per_replica=figures.capacity_per_replica,
        replicas=figures.replicas,
        cost=figures.cost,
        gain=Gain(speed=1.0, cost=1.0),
        candidates=(entry,),
        front=(entry.id,),
        artefacts={},
        ladder=(entry.id,),
    )


def hostile_plan() -> Plan:
    """Names and reasons that try to break out of the page: every string but hashes, outcomes and the like."""
    plain = msgspec.to_builtins(met_plan())
    return msgspec.convert(_poisoned(plain), Plan)


KEPT = {"schema", "created", "kind", "status", "verdict", "unit", "source", "scenario", "priority", "failure"}


def _poisoned(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _poisoned(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_poisoned(each, key) for each in value]
    return value + HOSTILE if isinstance(value, str) and key not in KEPT else value


def _subject() -> SubjectInfo:
    return SubjectInfo(
        name="efficientnet_lite0.onnx",
        key="0f" * 16,
        metric="accuracy",
        model="efficientnet_lite0.onnx",
        model_sha256="3b" * 32,
        data="imagenette.zip, manifest.csv",
        data_sha256="9e" * 32,
        items_select=500,
        items_confirm=500,
        items_calibrate=100,
        told=("3 of 1,103 pictures were duplicates and left out.", "0 pictures could not be read."),
    )


def _requirements() -> Requirements:
    return Requirements(
        latency=Latency(percentile=95.0, bound_ms=BOUND_MS),
        quality_drop=FLOOR_DROP,
        rate_per_s=RATE,
        scenario="server",
        memory_mb=512.0,
        headroom=0.2,
    )


def _without_choice(plan: Plan) -> Plan:
    outcome: Outcome = "fails"
    weighed = tuple(
        msgspec.structs.replace(entry, verdict=outcome) if entry.verdict in ("chosen", "front", "dominated") else entry
        for entry in plan.candidates
    )
    return msgspec.structs.replace(
        plan,
        chosen=None,
        quality=None,
        latency=None,
        capacity_per_replica=None,
        replicas=None,
        cost=None,
        gain=None,
        candidates=weighed,
        front=(),
        artefacts={},
        ladder=(),
    )


def _without_rate(entry: Weighed) -> Weighed:
    if entry.figures is None:
        return entry
    cost = Cost(per_million=entry.figures.cost.per_million, per_month=None, currency=entry.figures.cost.currency)
    return msgspec.structs.replace(entry, figures=msgspec.structs.replace(entry.figures, cost=cost, replicas=None))


def _weighed(row: Row, price: Price) -> Weighed:
    failure: FailureKind | None = "unsupported" if row.outcome == "failed" else None
    figures = None if math.isnan(row.quality) else _figures(row, price)
    return Weighed(
        id=_candidate(row, price).id, verdict=row.outcome, reason=row.reason, failure=failure, figures=figures
    )


def _candidate(row: Row, price: Price) -> Chosen:
    plain = msgspec.to_builtins(row.candidate)
    return Chosen(**plain | {"id": row.candidate.id, "machine": price.machine})


def _figures(row: Row, price: Price) -> Figures:
    capacity = 0.82 * row.candidate.streams * 1000 / row.item_ms * (1.25 if row.candidate.max_batch > 1 else 1.0)
    replicas = math.ceil(RATE * 1.2 / capacity)
    quantiles = _spread(row.item_ms * 1.02, 3.4, 101)
    return Figures(
        candidate=_candidate(row, price),
        quality=_quality(row),
        latency=LatencyFigures(
            p50=quantiles[50], p95=quantiles[95], p99=quantiles[99], rate_per_s=capacity, quantiles=quantiles
        ),
        capacity_per_replica=capacity,
        replicas=replicas,
        cost=cost_of(capacity, Requirements(rate_per_s=RATE, headroom=0.2), price),
        energy=Energy(
            wh_per_million=40e6 / capacity / 3600,
            watts=40.0,
            idle_watts=11.5,
            source="estimate: made up",
            estimated=True,
        ),
        memory_mb=row.memory_mb,
        load_s=0.41,
        service=_service(row),
    )


def _quality(row: Row) -> QualityFigures:
    drop = REFERENCE_QUALITY - row.quality
    width = 0.0 if drop == 0 else 0.0063
    verdict: Verdict = "undecided" if row.outcome == "undecided" else "pass" if drop + width <= FLOOR_DROP else "fail"
    return QualityFigures(
        metric="accuracy",
        value=row.quality,
        reference=REFERENCE_QUALITY,
        drop=drop,
        bound=drop + width,
        value_bound=row.quality - width,
        verdict=verdict,
        confidence=0.95,
        items=500,
        confirmed=row.outcome == "chosen",
        items_needed=1900 if verdict == "undecided" else None,
    )


def _service(row: Row) -> tuple[ServiceTime, ...]:
    batches = [2**power for power in range(row.candidate.max_batch.bit_length())]
    return tuple(
        ServiceTime(
            batch=batch, quantiles_ms=_spread(row.item_ms * (0.25 + 0.75 * batch), 1.3, 21), runs=200, disturbed=6
        )
        for batch in batches
    )


def _spread(smallest: float, ratio: float, points: int) -> tuple[float, ...]:
    """Evenly spaced quantiles that start at `smallest`, reach `ratio` times it at 99% and have a long last step."""
    last = points - 1
    body = tuple(smallest * (1 + (ratio - 1) * (step / last) ** 4) for step in range(last))
    return (*body, body[-1] * 1.6)
