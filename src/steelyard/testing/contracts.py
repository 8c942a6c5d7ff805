"""What every runtime and every variant must keep, checked on a tiny model.

Call `check_runtime(spec)` or `check_variant(spec)` from a test: they return nothing, and raise AssertionError with a
sentence that tells what is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from steelyard.errors import CandidateFailure, SteelyardError
from steelyard.records.engine import Array, RuntimeSpec, Session, SessionSettings, VariantSpec
from steelyard.records.model import ModelFormat
from steelyard.runtimes import RUNTIMES, installed_version, open_with
from steelyard.testing import tiny_model
from steelyard.testing.samples import Sample
from steelyard.variants import make_with

_SUFFIXES: Mapping[ModelFormat, str] = {"onnx": ".onnx", "openvino": ".xml"}
_BATCHES = (1, 5)
_CALIBRATION_ITEMS = 16


def check_runtime(spec: RuntimeSpec) -> None:
    """Raises AssertionError unless the runtime keeps its contract.

    It opens every format that it reads, answers as numpy does (1e-4; 5e-2 in further precisions) for one item and
    for five, leaves the outputs of earlier runs alone, answers the same on several streams run from threads of their
    own, and refuses with an error of `steelyard.errors` a file that is missing or no model.
    """
    _require(installed_version(spec), f"{spec.name}: install {spec.package} to check it")
    _require(spec.reads, f"{spec.name} reads no format")
    _require(spec.precisions, f"{spec.name} names no precision")
    with tempfile.TemporaryDirectory() as folder:
        for form in spec.reads:
            path = tiny_model.write(Path(folder) / form, form)
            session = _opened(spec, path, SessionSettings(precision=spec.precisions[0]))
            _check_answers(spec, session, path, spec.precisions[0])
            _check_outputs_stay(spec, session)
            for precision in spec.precisions[1:]:
                if not _lacks(spec, path, precision):
                    further = _opened(spec, path, SessionSettings(precision=precision))
                    _check_answers(spec, further, path, precision)
            for threads in (1, 2):
                _check_streams(spec, path, threads)
            _check_refusals(spec, Path(folder), form)


def check_variant(spec: VariantSpec, sample: Sample = tiny_model) -> None:
    """Raises AssertionError unless the variant keeps its contract, on a model that it can be made of.

    From every format that it reads it makes a model inside the folder it is given and writes nowhere else, leaves the
    source as it was, makes the same again when asked again, and each installed runtime that it names opens the result
    and gives finite answers of the original's shape.
    """
    _require(spec.reads, f"{spec.name} reads no format")
    for form in spec.reads:
        with tempfile.TemporaryDirectory() as folder:
            _check_making(spec, sample, Path(folder), form)


def _require(condition: object, message: str) -> None:
    # An assert statement would vanish under `python -O`.
    if not condition:
        raise AssertionError(message)


def _opened(spec: RuntimeSpec, path: Path, settings: SessionSettings) -> Session:
    try:
        return open_with(spec, path, settings)
    except CandidateFailure as failure:
        raise AssertionError(f"{spec.name} does not open {path.name} with {settings}: {failure}") from failure


def _lacks(spec: RuntimeSpec, path: Path, precision: str) -> bool:
    """Whether this CPU cannot compute in one of the precisions that a runtime need not have everywhere."""
    try:
        open_with(spec, path, SessionSettings(precision=precision))
    except CandidateFailure as failure:
        return precision != spec.precisions[0] and failure.kind == "unsupported"
    return False


def _check_answers(spec: RuntimeSpec, session: Session, path: Path, precision: str) -> None:
    first = precision == spec.precisions[0]
    for count in _BATCHES:
        inputs = tiny_model.items(count)
        outputs = session.run(0, inputs)
        _require(len(outputs) == 1, f"{spec.name} gives {len(outputs)} outputs of a model that has 1")
        where = f"{spec.name} in {precision}, {path.name}, batch of {count}"
        _require_close(outputs[0], tiny_model.answers(inputs), 1e-4 if first else 5e-2, where)


def _require_close(got: Array, expected: Array, tolerance: float, where: str) -> None:
    _require(isinstance(got, np.ndarray), f"{where}: expected a numpy array, got {type(got).__name__}")
    _require(got.shape == expected.shape, f"{where}: expected answers of shape {expected.shape}, got {got.shape}")
    worst = float(np.max(np.abs(got - expected), initial=0))
    _require(worst <= tolerance * max(1.0, float(np.abs(expected).max())), f"{where}: answers are off by {worst:.2g}")


def _check_outputs_stay(spec: RuntimeSpec, session: Session) -> None:
    earlier = session.run(0, tiny_model.items(1, seed=1))[0]
    before = earlier.copy()
    session.run(0, tiny_model.items(1, seed=2))
    _require(np.array_equal(earlier, before), f"{spec.name}: a later run overwrote the outputs of an earlier one")


def _check_streams(spec: RuntimeSpec, path: Path, threads: int) -> None:
    streams = 2
    session = _opened(spec, path, SessionSettings(threads=threads, streams=streams))

    def serve(stream: int) -> None:
        for count in _BATCHES * 10:
            inputs = tiny_model.items(count, seed=100 * stream + count)
            where = f"{spec.name}, stream {stream} of {streams} with {threads} threads each, batch of {count}"
            _require_close(session.run(stream, inputs)[0], tiny_model.answers(inputs), 1e-4, where)

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(serve, range(streams)))


def _check_refusals(spec: RuntimeSpec, folder: Path, form: ModelFormat) -> None:
    suffix = _SUFFIXES[form]
    missing, nonsense = folder / f"missing{suffix}", folder / f"nonsense{suffix}"
    nonsense.write_bytes(b"this is no model\n" * 10)
    for path in (missing, nonsense):
        try:
            open_with(spec, path, SessionSettings())
        except SteelyardError:
            continue
        except Exception as error:
            raise AssertionError(f"{spec.name} fails on a {path.stem} file with a bare {error!r}") from error
        raise AssertionError(f"{spec.name} opens a {path.stem} file as if it were a model")


def _check_making(spec: VariantSpec, sample: Sample, folder: Path, form: ModelFormat) -> None:
    source = sample.write(folder / "source", form)
    before = _contents(folder)
    made = _made(spec, sample, source, folder / "first")
    again = _made(spec, sample, source, folder / "second")
    after = {name: content for name, content in _contents(folder).items() if name.parts[0] not in ("first", "second")}
    _require(after == before, f"{spec.name} changes files outside its folder: {_differing(before, after)}")
    wanted = _SUFFIXES[spec.writes or form]
    _require(made.suffix == wanted, f"{spec.name} says it writes {wanted} files, but made {made.name}")
    same = _contents(folder / "first") == _contents(folder / "second")
    if spec.runtimes:
        _check_running(spec, sample, made, None if same else again)


def _made(spec: VariantSpec, sample: Sample, source: Path, into: Path) -> Path:
    into.mkdir()
    calibrates = spec.calibrates or spec.after
    calibration = sample.items(_CALIBRATION_ITEMS) if calibrates else {}
    with _elsewhere() as elsewhere:
        try:
            made = make_with(spec, source, into, calibration)
        except SteelyardError as error:
            raise AssertionError(str(error)) from error
        left = sorted(path.name for path in elsewhere.iterdir())
    _require(not left, f"{spec.name} writes into the working folder: {left}")
    _require(made.is_file(), f"{spec.name} names {made} as its result, where there is no file")
    _require(made.resolve().is_relative_to(into.resolve()), f"{spec.name} made {made}, outside of {into}")
    return made


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    """An empty working folder, to see what is written into it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield Path(folder)


def _check_running(spec: VariantSpec, sample: Sample, made: Path, again: Path | None) -> None:
    form: ModelFormat = "onnx" if made.suffix == ".onnx" else "openvino"
    unknown = [name for name in spec.runtimes if name not in RUNTIMES]
    _require(not unknown, f"{spec.name} names runtimes that are not in the table: {unknown}")
    readers = [RUNTIMES[name] for name in spec.runtimes if form in RUNTIMES[name].reads]
    _require(readers, f"{spec.name} makes {form} models, which none of its runtimes {spec.runtimes} reads")
    for runtime in readers:
        shared = [precision for precision in spec.precisions if precision in runtime.precisions]
        _require(shared or len(readers) > 1, f"{spec.name}: {runtime.name} computes in none of {spec.precisions}")
        for precision in shared if installed_version(runtime) else ():
            if not _lacks(runtime, made, precision):
                where = f"{spec.name} in {runtime.name}, {precision}"
                _check_result(where, sample, runtime, precision, made, again)


def _check_result(
    where: str, sample: Sample, runtime: RuntimeSpec, precision: str, made: Path, again: Path | None
) -> None:
    settings = SessionSettings(precision=precision)
    first = _opened(runtime, made, settings)
    other = _opened(runtime, again, settings) if again else first
    for count in _BATCHES:
        inputs = sample.items(count, seed=3)
        got = first.run(0, inputs)[0]
        shape = sample.answers(inputs).shape
        _require(got.shape == shape, f"{where}: expected answers of the original's shape {shape}, got {got.shape}")
        _require(np.isfinite(got).all(), f"{where}: answers are not finite")
        equal = np.array_equal(got, other.run(0, inputs)[0])
        _require(equal, f"{where}: made twice of the same model it answers differently")


def _contents(folder: Path) -> dict[Path, str]:
    """Every file under `folder` (relative) and the hash of what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _differing(before: Mapping[Path, str], after: Mapping[Path, str]) -> list[str]:
    return sorted(str(name) for name in {*before, *after} if before.get(name) != after.get(name))
