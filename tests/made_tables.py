"""Made-up tables of exhaustive searches, with effects of variants, runtimes and divisions that are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from racing.table import Answered, Row, Table, packed

from made_up import MACHINE
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Failure, ServiceTime
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.subject import Outlook, Split

BATCHES = (1, 2, 4, 8, 16, 32)
SPLIT = Split(select=400, confirm=1200)
SERVER = Requirements(quality_drop=0.02, scenario="server", latency=Latency(percentile=95, bound_ms=50))


class Variant(NamedTuple):
    name: str
    speed: float
    worse: float
    """Share of items that it answers wrongly where the reference is right."""
    expected: float
    build_s: float = 3.0
    keeps: float = 0.85


VARIANTS = (
    Variant("original", 1.0, 0.0, 1.0, 0.2, 0.99),
    Variant("bf16", 1.6, 0.001, 1.5, 0.2, 0.95),
    Variant("int8-a", 2.4, 0.002, 2.0),
    Variant("int8-b", 3.0, 0.08, 2.0),
    Variant("int8-c", 2.2, 0.003, 2.0),
    Variant("mixed", 2.0, 0.0, 1.5, 40.0),
    Variant("int4", 0.9, 0.05, 1.0, 8.0, 0.6),
)
RUNTIMES = {"quick": (1.0, 0.8), "other": (1.1, 1.0), "plain": (0.3, 2.5)}
"""Speed, seconds to open."""
DIVISIONS = ((2, 1, 1), (1, 2, 1), (1, 1, 2))


def made_table(seed: int = 0, requirements: Requirements = SERVER, item_ms: float = 4.0) -> Table:
    """63 candidates, one of them the best by design: `int8-a` in `other` on two streams, or nearly."""
    rng = np.random.default_rng(seed)
    truth = rng.random(SPLIT.total) < 0.9
    rows: list[Row] = []
    answered: dict[str, Answered] = {}
    reference = Candidate(variant="original", runtime="quick", threads=2, max_batch=1)
    rows.append(_row(reference, VARIANTS[0], rng, item_ms))
    for variant in VARIANTS:
        for runtime in RUNTIMES:
            for threads, streams, instances in DIVISIONS:
                candidate = Candidate(
                    variant=variant.name,
                    runtime=runtime,
                    threads=threads,
                    streams=streams,
                    instances=instances,
                    max_batch=32,
                )
                rows.append(_row(candidate, variant, rng, item_ms))
            changed = rng.random(SPLIT.total) < variant.worse
            answered[candidate.numerics] = Answered(
                right=packed(truth & ~changed), item_s=item_ms / 1e3 / variant.speed / RUNTIMES[runtime][0]
            )
    return Table(
        name=f"made-{seed}",
        machine=MACHINE,
        requirements=requirements,
        split=SPLIT,
        rows=tuple(rows),
        answered=answered,
        steps_s={v.name: v.build_s * float(rng.uniform(0.5, 2)) for v in VARIANTS},
    )


def _row(candidate: Candidate, variant: Variant, rng: np.random.Generator, item_ms: float) -> Row:
    speed, open_s = RUNTIMES[candidate.runtime]
    if candidate.variant == "int4" and candidate.runtime == "plain":
        failure = Failure(kind="unsupported", message="the runtime cannot do it")
        expected = Outlook(speed=variant.expected * speed, keeps=variant.keeps, build_s=variant.build_s, open_s=open_s)
        return Row(candidate=candidate, outlook=expected, steps=(variant.name,), look_s=open_s, failure=failure)
    gained = {1: 1.0, 2: 0.85}[candidate.threads] * (0.93 if candidate.instances > 1 else 1.0)
    ms = item_ms / variant.speed / speed / gained / float(np.exp(rng.normal(0, 0.05)))
    alone = ms / (candidate.threads if candidate.threads > 1 else 1)
    service = tuple(
        ServiceTime(
            batch=batch,
            quantiles_ms=tuple(alone * (0.4 + 0.6 * batch) * (0.95 + 0.1 * i / 20) for i in range(21)),
            runs=60,
        )
        for batch in BATCHES
        if batch <= candidate.max_batch
    )
    return Row(
        candidate=candidate,
        outlook=Outlook(speed=variant.expected * speed, keeps=variant.keeps, build_s=variant.build_s, open_s=open_s),
        steps=(variant.name,),
        look_s=open_s * float(rng.uniform(0.8, 1.5)),
        load_s=open_s * 0.7,
        memory_mb=100,
        service=service,
        speed_s=0.4 * len(service) + float(sum(min(max(s.median_ms * 0.06, 0.1), 1.2) for s in service)),
    )
