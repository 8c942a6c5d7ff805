"""What a model can be turned into: the table of variants, and the one way to make any of them.

The table is light: a variant's own module, and with it the tool that it needs, is imported when it is made.
A variant of your own needs a `VariantSpec` in this table and a maker; `steelyard.testing.check_variant` tells whether
it keeps the contract. Child processes read the table anew, so an entry made at run time is not seen by them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from steelyard.errors import CandidateFailure, SteelyardError, UsageError
from steelyard.records.engine import Array, VariantSpec

VARIANTS: dict[str, VariantSpec] = {
    # From what changes the answers least to what may change them most: they are proven in this order.
    "original": VariantSpec(
        name="original",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=("onnxruntime", "openvino", "torch"),
        summary="the model as it was given",
    ),
    "optimised": VariantSpec(
        name="optimised",
        maker="steelyard.variants.optimised:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        packages=("onnxruntime",),
        summary="ONNX Runtime's graph optimisations made beforehand: loads sooner",
    ),
    "bf16": VariantSpec(
        name="bf16",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=("openvino",),
        precisions=("bf16",),
        summary="the model as it was given, computed in bfloat16",
    ),
    "int8-dynamic": VariantSpec(
        name="int8-dynamic",
        maker="steelyard.variants.int8_dynamic:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        packages=("onnx", "onnxruntime"),
        summary="8-bit weights of matrix products and LSTMs; activations are scaled while it runs",
    ),
    "int8-nncf": VariantSpec(
        name="int8-nncf",
        maker="steelyard.variants.int8_nncf:make",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=("openvino",),
        precisions=("f32", "bf16"),
        calibrates=True,
        packages=("nncf", "openvino"),
        summary="8-bit weights and activations, scaled once on calibration items by NNCF",
    ),
    "int8-static": VariantSpec(
        name="int8-static",
        maker="steelyard.variants.int8_static:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        calibrates=True,
        packages=("onnx", "onnxruntime"),
        summary="8-bit weights and activations, scaled once on calibration items by ONNX Runtime",
    ),
}


def make(name: str, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """Makes the variant `name` of the model `source` in the folder `into`; returns its main file.

    `calibration` maps input names to preprocessed items (first axis = items, a few hundred at most); variants that
    do not calibrate ignore it. Raises UsageError for an unknown name, CandidateFailure (`build`) when the variant
    cannot be made of this model.
    """
    if name not in VARIANTS:
        raise UsageError(f"there is no variant {name!r}", f"choose one of: {', '.join(sorted(VARIANTS))}")
    return make_with(VARIANTS[name], source, into, calibration)


def make_with(spec: VariantSpec, source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """As `make`, for a variant that need not be in the table."""
    if spec.calibrates and not any(len(items) for items in calibration.values()):
        raise CandidateFailure("build", f"{spec.name} needs calibration items, there are none")
    into.mkdir(parents=True, exist_ok=True)
    module, _, function = spec.maker.partition(":")
    try:
        with _quiet():
            return Path(getattr(importlib.import_module(module), function)(source, into, calibration))
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
