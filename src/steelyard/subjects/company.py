"""Whether a model bears several items at once, as the parent process sees it; `together.look` finds it out."""

from __future__ import annotations

import msgspec

from steelyard.records.base import Record
from steelyard.records.data import Prepared
from steelyard.records.model import ModelInfo
from steelyard.records.signature import Growing, Signature
from steelyard.subjects.building import placed


class Company(Record):
    """How items may go into the model together."""

    alone: bool
    """Not at all."""
    pad: bool
    """Filled up to the longest of them."""
    told: tuple[str, ...] = ()


def look_argument(info: ModelInfo, prepared: Prepared) -> dict[str, object]:
    """What `subjects.together:look` is called with."""
    return {
        "model": info.path,
        "format": info.format,
        "operators": info.operators,
        "fixed_batch": info.fixed_batch,
        "inputs": placed(prepared, prepared.judging),
        "items": prepared.items_select + prepared.items_confirm,
        "pad": prepared.pad,
    }


def together(prepared: Prepared, company: Company) -> Prepared:
    """The same data, to go into the model as was found to do no harm."""
    told = (*prepared.told, *company.told)
    return msgspec.structs.replace(prepared, alone=company.alone, pad=company.pad, told=told)


def signature(info: ModelInfo, data: Prepared) -> Signature:
    """How the model is asked, for whoever serves it."""
    grows = {
        name: Growing(axis=array.axis, fill=array.fill)
        for name, array in data.judging.items()
        if array.lengths is not None
    }
    fixed = 1 if data.alone else info.fixed_batch
    return Signature(
        inputs=info.inputs, outputs=info.outputs, grows=grows, pad=data.pad, fixed_batch=fixed, classes=data.classes
    )
