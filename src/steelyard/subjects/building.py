"""The steps in which a variant of a model is built, and the keys under which their results are kept."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from steelyard.records.base import digest
from steelyard.records.data import ArrayFile, Prepared
from steelyard.records.engine import VariantSpec
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo
from steelyard.records.subject import Step, Task
from steelyard.variants import chain


def steps(variant: str, info: ModelInfo, data: Prepared, machine: Machine) -> tuple[Step, ...]:
    """What has to be made, one after the other; the last one makes the variant itself."""
    specs = chain(variant)
    return tuple(
        Step(task=_task(spec, info, data), key=_key(specs[: place + 1], info, data, machine))
        for place, spec in enumerate(specs)
    )


def packages_of(variant: str) -> tuple[str, ...]:
    """The distributions that take part in making it."""
    return tuple(dict.fromkeys(package for spec in chain(variant) for package in spec.packages))


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution, or `absent`."""
    return {package: _version(package) for package in packages}


def placed(data: Prepared, arrays: Mapping[str, ArrayFile]) -> dict[str, ArrayFile]:
    """The same arrays, their files with their whole path."""
    folder = Path(data.folder)
    return {
        name: msgspec.structs.replace(
            array,
            file=str(folder / array.file),
            lengths=None if array.lengths is None else str(folder / array.lengths),
        )
        for name, array in arrays.items()
    }


def _task(spec: VariantSpec, info: ModelInfo, data: Prepared) -> Task:
    files = placed(data, data.calibration)
    argument = {
        "variant": spec.name,
        "source": info.path,
        "calibration": files if spec.calibrates else {},
        "items": data.items_calibrate,
    }
    return Task(function="steelyard.subjects.model_child:build", argument=argument)


def _key(specs: tuple[VariantSpec, ...], info: ModelInfo, data: Prepared, machine: Machine) -> str:
    """Everything that could change what these steps make, one after the other."""
    made = [(spec.name, spec.settings, spec.revision, versions_of(spec.packages)) for spec in specs]
    calibrated = data.sha256 if any(spec.calibrates for spec in specs) else ""
    return digest(info.sha256, made, machine.features, calibrated)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
