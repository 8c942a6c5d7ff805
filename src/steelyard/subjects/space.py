"""What can be tried of a model on a machine: every variant in every runtime, with the cores divided in several ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from steelyard.records.candidate import Candidate
from steelyard.records.engine import RuntimeSpec, VariantSpec
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo
from steelyard.runtimes import RUNTIMES, lacking
from steelyard.subjects.origins import Origin, origins
from steelyard.variants import applies

LARGEST_BATCH = {"cpu": 32, "gpu": 128}
CLASSICAL = frozenset(
    [
        "ArrayFeatureExtractor",
        "Binarizer",
        "CastMap",
        "CategoryMapper",
        "DictVectorizer",
        "FeatureVectorizer",
        "Imputer",
        "LabelEncoder",
        "LinearClassifier",
        "LinearRegressor",
        "Normalizer",
        "OneHotEncoder",
        "SVMClassifier",
        "SVMRegressor",
        "Scaler",
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
        "ZipMap",
    ]
)
"""Operators of ONNX's domain ai.onnx.ml, https://onnx.ai/onnx/operators/index.html#ai-onnx-ml."""
MOST_PROCESSES = 8
"""More processes cost memory for nothing: each may well have several cores."""


class Split(NamedTuple):
    """How the cores of a machine are divided: threads per stream, streams per process, processes."""

    threads: int
    streams: int
    instances: int = 1


GPU_SPLITS = (Split(1, 1), Split(1, 2), Split(1, 4))
"""On a GPU streams overlap the copying of one batch with the computing of another; the cores have little to do."""


def space(
    info: ModelInfo, machine: Machine, patient: bool = True, others: Mapping[str, ModelInfo] | None = None
) -> Iterator[Candidate]:
    """All candidates but the reference, in the order of the variants: what changes the answers least comes first.

    `others`: models that were given as variants, by name.

    Runtimes that compile for a long time come last, and only to a `patient` search.
    """
    made_of = list(origins(info, others or {}))
    quick = [runtime for runtime in RUNTIMES.values() if not runtime.compiles]
    yield from _of_runtimes(made_of, info.fixed_batch, machine, quick)
    if patient:
        slow = [runtime for runtime in RUNTIMES.values() if runtime.compiles]
        yield from _of_runtimes(made_of, info.fixed_batch, machine, slow)


def _of_runtimes(
    made_of: Sequence[Origin], fixed_batch: int | None, machine: Machine, among: Sequence[RuntimeSpec]
) -> Iterator[Candidate]:
    for name, variant, source in made_of:
        if source.format not in variant.reads or not applies(variant, source):
            continue
        for runtime in _runtimes(variant, source, among):
            for precision in _precisions(variant, runtime, machine):
                for split in splits(runtime, machine.cores):
                    yield Candidate(
                        variant=name,
                        runtime=runtime.name,
                        precision=precision,
                        threads=split.threads,
                        streams=split.streams,
                        instances=split.instances,
                        max_batch=fixed_batch or LARGEST_BATCH[runtime.device],
                    )


def _runtimes(variant: VariantSpec, info: ModelInfo, among: Sequence[RuntimeSpec]) -> list[RuntimeSpec]:
    written = variant.writes or info.format
    classical = not CLASSICAL.isdisjoint(info.operators)
    named = [RUNTIMES[name] for name in variant.runtimes if RUNTIMES[name] in among]
    able = [runtime for runtime in named if written in runtime.reads and (runtime.classical or not classical)]
    return [runtime for runtime in able if not lacking(runtime)]


def _precisions(variant: VariantSpec, runtime: RuntimeSpec, machine: Machine) -> list[str]:
    return [
        precision
        for precision in variant.precisions
        if precision in runtime.precisions and (precision != "bf16" or runtime.device == "gpu" or machine.has_bf16)
    ]


def splits(runtime: RuntimeSpec, cores: int) -> tuple[Split, ...]:
    """The ways to divide the machine that are worth trying with a runtime."""
    if runtime.device == "gpu":
        return GPU_SPLITS[:1] if runtime.compiles else GPU_SPLITS
    if runtime.compiles:
        return (Split(cores, 1), *process_splits(cores))
    return (*thread_splits(cores), *process_splits(cores))


def thread_splits(cores: int) -> list[Split]:
    """All cores on one request, on two, four … at once, one core each; every split uses as many as it can.

    Two cores give 2, 64 cores 7.
    """
    found, streams = [], 1
    while streams < cores:
        threads = cores // streams
        found.append(Split(threads, cores // threads))
        streams *= 2
    return list(dict.fromkeys([*found, Split(1, cores)]))


def process_splits(cores: int) -> list[Split]:
    """One stream in each of several processes: Python's lock and an engine's scheduler keep none of them waiting.

    As many processes as use all cores, or nearly all, and not more than `MOST_PROCESSES`.
    """
    if cores < 2:
        return []
    processes = max(range(2, min(cores, MOST_PROCESSES) + 1), key=lambda n: (n * (cores // n), n))
    return [Split(cores // processes, 1, processes)]
