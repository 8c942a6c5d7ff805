"""What a model can be turned into: the one way to make any of the variants in the table.

The table is light: a variant's own module, and with it the tool that it needs, is imported when it is made.
A variant of your own needs a `VariantSpec` in `variants/table.py` and a maker; `steelyard.testing.check_variant` tells
whether it keeps the contract. Child processes read the table anew, so an entry made at run time is not seen by them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from steelyard.errors import CandidateFailure, SteelyardError, UsageError
from steelyard.records.dotted import found
from steelyard.records.engine import Array, VariantSpec
from steelyard.records.model import ModelInfo
from steelyard.variants.table import VARIANTS

__all__ = ["VARIANTS", "applies", "chain", "make", "make_step", "make_with"]


def chain(name: str) -> tuple[VariantSpec, ...]:
    """What is made one after the other to get at the variant `name`, itself the last.

    Raises UsageError for an unknown name.
    """
    if name not in VARIANTS:
        raise UsageError(f"there is no variant {name!r}", f"choose one of: {', '.join(sorted(VARIANTS))}")
    return (*_bases(VARIANTS[name]), VARIANTS[name])


def _bases(spec: VariantSpec) -> tuple[VariantSpec, ...]:
    return chain(spec.after) if spec.after else ()


def applies(spec: VariantSpec, info: ModelInfo) -> bool:
    """Whether the variant, and what it is made of, is worth trying on such a model."""
    return all(bool(found(each.applies)(info)) for each in (*_bases(spec), spec) if each.applies)


def make(name: str, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """Makes the variant `name` of the model `source` in the folder `into`; returns its main file.

    `calibration` maps input names to preprocessed items (first axis = items, a few hundred at most); variants that
    do not calibrate ignore it. Raises UsageError for an unknown name, CandidateFailure (`build`) when the variant
    cannot be made of this model.
    """
    return make_with(chain(name)[-1], source, into, calibration)


def make_with(spec: VariantSpec, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """As `make`, for a variant that need not be in the table; what it is made of must be."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        for base in _bases(spec):
            source = _made(base, source, Path(folder) / base.name, calibration)
        return _made(spec, source, into, calibration)


def make_step(name: str, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """As `make`, for a `source` that is already what the variant before it in its chain made."""
    return _made(chain(name)[-1], source, into, calibration)


def _made(spec: VariantSpec, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    if spec.calibrates and not any(len(items) for items in calibration.values()):
        raise CandidateFailure("build", f"{spec.name} needs calibration items, there are none")
    into.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            return Path(found(spec.maker)(source, into, calibration, **spec.settings))
    except SteelyardError:
        raise
    except MemoryError as error:
        raise CandidateFailure("memory", f"{spec.name} ran out of memory making a variant of {source.name}") from error
    except Exception as error:
        raise CandidateFailure("build", f"{spec.name} cannot be made of {source.name}: {_reason(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the tools' progress bars, advice and warnings about themselves from the output: nobody can act on them."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: Exception) -> str:
    """What a tool says in one line; OpenVINO first names the places in its own source that the error came by."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from")]
    return told[0][:400] if told else type(error).__name__
