"""Does it matter what goes into a model together with an item? Asked of the model as given, before anything is weighed.

A network in training mode normalises over the batch, one exported with a wrong axis attends over it, one with a mask
may not heed it. Weighed in batches, such a model would answer each request according to who asks at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.errors import CandidateFailure, ModelError
from steelyard.records.data import ArrayFile
from steelyard.records.engine import Array, Session, SessionSettings
from steelyard.records.model import ModelFormat
from steelyard.runtimes import open_session
from steelyard.serve.assembly import Assembly, Request
from steelyard.subjects.company import Company
from steelyard.subjects.model_child import assembly_of, requests

ITEMS = 8
LOOKED_THROUGH = 64
"""Items among which some of one length are looked for."""
TOLERANCE = 0.05
"""Of the outputs' own spread over items. Rounding moves them by a thousandth of that at most, company by far more."""
FLIPPED = 0.25
"""Of answers that are class numbers; single ones flip at a tie."""
ALONE = (
    "the model's answer to an item depends on the items beside it, or it takes only one: it is weighed one request at "
    "a time (was it exported in training mode?)"
)
RANDOM = "the model answers the same item differently each time: what depends on luck cannot be compared well"
APART = "filling items up changes the model's answers: only items of equal length go in together"


def look(argument: Mapping[str, Any]) -> Company:
    """Whether items may go in together, and be filled up, without a change of their answers.

    `argument`: `model` (path), `format`, `inputs` (ArrayFile each, by name, with whole paths), `items`, `fixed_batch`,
    `pad`, `operators`. Raises ModelError when the model insists on batches in which items change each other's answers.
    """
    files = {name: msgspec.convert(file, ArrayFile) for name, file in argument["inputs"].items()}
    fixed, pad = argument["fixed_batch"], argument["pad"]
    held = requests(files, 0, min(argument["items"], LOOKED_THROUGH))
    # What is computed in 8 bits scaled anew for each batch depends on it a little: that is what the user gave.
    if "DynamicQuantizeLinear" in argument["operators"] or len(held) < 2:
        return Company(alone=False, pad=pad)
    session = _opened(argument["format"], Path(argument["model"]))
    if _changes(session, assembly_of(files, fixed, pad=False), held[:1]):
        return Company(alone=False, pad=pad, told=(RANDOM,))
    if pad and not _changes(session, assembly_of(files, fixed, pad=True), held[: fixed or ITEMS]):
        return Company(alone=False, pad=True)
    apart = assembly_of(files, fixed, pad=False)
    if not _changes(session, apart, _of_one_length(apart, held)[: fixed or ITEMS]):
        return Company(alone=False, pad=False, told=(APART,) if pad else ())
    if fixed not in (None, 1):
        raise ModelError(
            f"the model insists on batches of {fixed}, and its answer to an item depends on the others of its batch",
            "export it for inference (of torch: model.eval()), with a batch axis that may vary",
        )
    return Company(alone=True, pad=False, told=(ALONE,))


def _opened(form: ModelFormat, path: Path) -> Session:
    runtime = "onnxruntime" if form == "onnx" else "openvino"
    return open_session(runtime, path, SessionSettings(max_batch=ITEMS))


def _of_one_length(assembly: Assembly, held: Sequence[Request]) -> list[Request]:
    """As many as there are of the length that most have."""
    most = max(assembly.runs(held), key=lambda run: len(run.places))
    return [held[place] for place in most.places]


def _changes(session: Session, assembly: Assembly, asked: Sequence[Request]) -> bool:
    """Whether answers given together are others than those given to each item alone. Raises what fails alone."""
    alone = [_outputs(session, assembly, [request])[0] for request in asked]
    try:
        together = _outputs(session, assembly, asked)
    except CandidateFailure:
        return True
    pairs = [list(zip(one, other, strict=True)) for one, other in zip(alone, together, strict=True)]
    whole = [place for place in range(len(alone[0])) if all(each[place] is not None for each in together)]
    return not whole or any(_differs([item[place] for item in pairs]) for place in whole)


def _outputs(session: Session, assembly: Assembly, asked: Sequence[Request]) -> list[list[Array | None]]:
    """Of each item all outputs; None where there is not one for each item."""
    found: dict[int, list[Array | None]] = {}
    for run in assembly.runs(asked):
        outputs = session.run(0, run.inputs)
        for row, place in enumerate(run.places):
            found[place] = [
                output[row] if output.ndim and len(output) >= len(run.places) else None for output in outputs
            ]
    return [found[place] for place in range(len(asked))]


def _differs(pairs: Sequence[tuple[Array | None, Array | None]]) -> bool:
    """By more than rounding; where filling up made an output longer, only what was there before counts."""
    both = [_common(one, other) for one, other in pairs if one is not None and other is not None]
    ours = np.concatenate([one.reshape(-1) for one, _ in both])
    theirs = np.concatenate([other.reshape(-1) for _, other in both])
    if ours.dtype.kind != "f":
        return bool(np.mean(ours != theirs) > FLIPPED)
    difference = np.sqrt(np.mean((ours.astype(np.float64) - theirs) ** 2))
    return bool(difference > TOLERANCE * max(float(np.std(ours)), 1e-3 * float(np.abs(ours).mean()), 1e-9))


def _common(one: Array, other: Array) -> tuple[Array, Array]:
    """The part that both have."""
    inside = tuple(slice(min(sizes)) for sizes in zip(one.shape, other.shape, strict=True))
    return one[inside], other[inside]
