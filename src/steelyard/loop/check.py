"""Does a bundle still hold what its plan says? Hashes, quality, and speed beside the reference."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from steelyard.bundle import BUILT, Bundle, read_bundle
from steelyard.decision import amounts
from steelyard.decision.standing import Standing
from steelyard.errors import BundleError, CandidateFailure, DataError
from steelyard.loop.weigh import USABLE_MEMORY, metric_name, prepare
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.records.base import Record, from_json
from steelyard.records.candidate import Candidate
from steelyard.records.data import DataSpec
from steelyard.records.job import Job
from steelyard.records.measurement import Evidence, Probe, Speed
from steelyard.records.plan import Chosen, Plan
from steelyard.records.subject import Recipe, Task
from steelyard.search import Event
from steelyard.subjects.among import Part
from steelyard.subjects.model import ModelSubject

TOLERANCE = 0.25
"""The gain in capacity may have shrunk by this share before the check fails: machines differ from day to day."""
TRIES = 3


class Finding(Record):
    """One thing that was looked at."""

    what: str
    holds: bool
    told: str


class Check(Record):
    """What a check found; `holds` only when everything does."""

    bundle: str
    holds: bool
    findings: tuple[Finding, ...]


class BundledSubject(Part):
    """The subject of a bundle: its candidates are opened from the bundle's own files, nothing is built."""

    def __init__(self, inner: ModelSubject, bundle: Bundle, candidates: Sequence[Candidate]) -> None:
        super().__init__(inner, candidates)
        self._opening = inner.opening
        self._bundle = bundle

    def recipe(self, candidate: Candidate) -> Recipe:
        """Open what the bundle holds."""
        folder = self._bundle.artefact(candidate.variant)
        built = from_json((folder / BUILT).read_bytes(), dict[str, str])
        inner = self._opening(candidate)
        argument = dict(inner.argument) | built | {"built": str(folder.resolve())}
        return Recipe(build=None, build_key="", open=Task(function=inner.function, argument=argument))


def check(
    folder: Path,
    *,
    data: str | None = None,
    work: Path = Path(".steelyard"),
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Check:
    """Look at a bundle again. Raises `BundleError` when files are missing or changed, `DataError` without data."""
    on_event(Event("hashes", "checking every file", 0, 3))
    bundle = read_bundle(folder)
    if bundle.plan.chosen is None:
        raise BundleError(f"{folder} holds a plan without a chosen candidate", "weigh again with other requirements")
    machine = this_machine()
    limits = Limits(memory_mb=int(machine.memory_mb * USABLE_MEMORY), seconds=300)
    workspace = Workspace(work, limits, stop or threading.Event())
    subject = _subject(bundle, workspace, data)
    findings = [Finding(what="hashes", holds=True, told=f"{_files(bundle.plan)} files are as they were measured")]
    with (
        tempfile.TemporaryDirectory(dir=workspace.folder) as scratch,
        Workbench(subject, Path(scratch), limits, stop or threading.Event()) as bench,
    ):
        on_event(Event("quality", f"{subject.split.total:,} items", 1, 3))
        findings.append(_check_quality(bench, bundle.plan))
        on_event(Event("speed", "beside the reference", 2, 3))
        findings.append(_check_speed(bench, bundle.plan))
    return Check(bundle=str(folder), holds=all(f.holds for f in findings), findings=tuple(findings))


def _files(plan: Plan) -> int:
    return sum(len(hashes) for hashes in plan.artefacts.values())


def _subject(bundle: Bundle, workspace: Workspace, data: str | None) -> BundledSubject:
    plan = bundle.plan
    spec = msgspec.convert(plan.subject.settings["data"], DataSpec)
    spec = spec if data is None else msgspec.structs.replace(spec, source=data)
    if ":" not in spec.source and not Path(spec.source).exists():
        raise DataError(f"the data that judged this bundle is not at {spec.source}", "say where it is with --data")
    info = workspace.inspect(bundle.main("original"))
    output = plan.subject.settings.get("output")
    job = Job(model=info.path, data=spec, requirements=plan.requirements, metric=plan.subject.metric, output=output)
    prepared = prepare(workspace, job, info)
    inner = ModelSubject(info, prepared, metric_name(job, prepared), this_machine(), output=job.output)
    chosen = plan.reference.candidate if plan.chosen is None else plan.chosen
    return BundledSubject(inner, bundle, [_candidate(plan.reference.candidate), _candidate(chosen)])


def _candidate(chosen: Chosen) -> Candidate:
    return Candidate(
        variant=chosen.variant,
        runtime=chosen.runtime,
        precision=chosen.precision,
        threads=chosen.threads,
        streams=chosen.streams,
        instances=chosen.instances,
        max_batch=chosen.max_batch,
    )


def _check_quality(bench: Workbench, plan: Plan) -> Finding:
    reference, chosen = bench.subject.candidates()
    start, stop = bench.subject.split.select, bench.subject.split.total
    other = "" if bench.subject.key == plan.subject.key else " (other data than the plan's)"
    try:
        expected = bench.answers(reference, start, stop)
        quality = bench.subject.judge(chosen.numerics, bench.answers(chosen, start, stop), expected, start)
    except CandidateFailure as failure:
        return Finding(what="quality", holds=False, told=f"{failure.kind}: {failure.message}")
    evidence = Evidence(candidate_id=chosen.id, confirmed=quality)
    judgement = Standing(chosen, evidence, plan.requirements, plan.price, bench.subject.split).judgement
    verdict = judgement.verdict if judgement else "undecided"
    now, then = (
        amounts.value(quality.metric, value, lower_is_better=quality.lower_is_better)
        for value in (quality.value, quality.reference)
    )
    values = f"{quality.metric} {now} against {then}"
    told = f"{values} on {quality.items:,} items{other}: {verdict}"
    return Finding(what="quality", holds=verdict == "pass", told=told)


def _check_speed(bench: Workbench, plan: Plan) -> Finding:
    """The chosen candidate's capacity over the reference's, now and then."""
    reference, chosen = bench.subject.candidates()
    best = 0.0
    wanted = (plan.gain.speed if plan.gain else None) or 1.0
    for _ in range(TRIES):
        try:
            quiet = bench.glance(reference, 1, 0.3).median_ms
            capacities = [_capacity(bench, c, plan, bench.speed(c, quiet, 1.0)) for c in (reference, chosen)]
        except CandidateFailure as failure:
            return Finding(what="speed", holds=False, told=f"{failure.kind}: {failure.message}")
        best = max(best, capacities[1] / capacities[0] if capacities[0] else 0.0)
        if best >= wanted * (1 - TOLERANCE):
            break
    told = f"{best:.2f} times the reference's capacity, {wanted:.2f} times when it was weighed"
    return Finding(what="speed", holds=best >= wanted * (1 - TOLERANCE), told=told)


def _capacity(bench: Workbench, candidate: Candidate, plan: Plan, speed: Speed) -> float:
    evidence = Evidence(candidate_id=candidate.id, probe=Probe(build_s=0, load_s=0, memory_mb=0), speed=speed)
    return Standing(candidate, evidence, plan.requirements, plan.price, bench.subject.split).capacity
