"""What to expect of a candidate before it was measured: experience with a dozen models on x86 and NVIDIA machines.

The numbers are rough and need not be better: they decide what a search tries first, and every choice is measured.
Where they come from: docs/design.md, "The race".
"""

from __future__ import annotations

import math
from typing import NamedTuple

from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo
from steelyard.records.subject import Outlook
from steelyard.subjects.origins import Origin
from steelyard.variants import chain


class Made(NamedTuple):
    """Of a kind of variant: speed over the original's, chance to keep the quality, seconds to make it."""

    speed: float
    keeps: float
    build_s: float


VARIANTS: dict[str, Made] = {
    "original": Made(1.0, 0.99, 0.3),
    "optimised": Made(1.0, 0.99, 0.5),
    "tf32": Made(1.3, 0.98, 0.3),
    "bf16": Made(1.6, 0.95, 0.3),
    "fp16": Made(1.8, 0.95, 2.0),
    "int8-weights": Made(1.1, 0.93, 3.0),
    "int8-dynamic": Made(0.9, 0.85, 2.0),
    "studied": Made(1.0, 1.0, 10.0),
    "cascade-25": Made(1.2, 0.92, 3.0),
    "cascade-10": Made(1.4, 0.9, 3.0),
    "int8-nncf-mixed": Made(2.0, 0.9, 4.0),
    "int8-static-mixed": Made(1.6, 0.9, 2.0),
    "int8-controlled": Made(2.1, 0.9, 15.0),
    "int8-asymmetric": Made(2.2, 0.8, 7.0),
    "int8-nncf": Made(2.3, 0.75, 7.0),
    "smoothed": Made(1.0, 0.99, 3.0),
    "int8-smooth": Made(1.6, 0.85, 4.0),
    "int8": Made(1.8, 0.75, 5.0),
    "int4": Made(0.9, 0.6, 4.0),
    "input-85": Made(1.3, 0.5, 0.5),
    "input-70": Made(1.8, 0.25, 0.5),
    "input-85-int8": Made(2.9, 0.4, 7.0),
    "input-70-int8": Made(4.0, 0.2, 7.0),
}
"""By the beginning of the variant's name; of several that fit the longest counts."""
UNKNOWN = Made(1.0, 0.8, 5.0)


class Opened(NamedTuple):
    """Of a runtime: speed over ONNX Runtime's, seconds to open a model in a fresh process."""

    speed: float
    open_s: float


RUNTIMES: dict[str, Opened] = {
    "onnxruntime": Opened(1.0, 0.8),
    "openvino": Opened(1.05, 1.0),
    "torch-inductor": Opened(0.5, 30.0),
    "torch": Opened(0.3, 3.0),
    "onnxruntime-cuda": Opened(10.0, 4.0),
    "onnxruntime-tensorrt": Opened(15.0, 60.0),
}
SIZE_MB_S = 20.0
"""Models take longer to make and to open the larger they are: so many megabytes in a second."""
OF_TWICE_THE_THREADS = 0.85
"""Twice the threads a stream, half the streams: requests per second, as a share."""
CONVOLUTIONS_DYNAMIC = 0.3
"""Eight-bit convolutions whose activations are scaled while they run are slow; matrix products are fast."""
GIVEN_KEEPS = 0.85
"""The chance of a model that was given as a variant to keep the quality, before anything is made of it."""
WITHOUT_VNNI = 0.6
"""What eight bits keep of their gain on a processor without instructions for them."""


def outlook(candidate: Candidate, origin: Origin, info: ModelInfo, machine: Machine) -> Outlook:
    """What experience says of one candidate of a model on a machine, made as `origin` says."""
    variant, made = origin.spec.name, _made(origin.spec.name)
    opened = RUNTIMES.get(candidate.runtime, Opened(1.0, 2.0))
    more_s = origin.info.size / 1e6 / SIZE_MB_S
    speed = made.speed * opened.speed * OF_TWICE_THE_THREADS ** math.log2(candidate.threads)
    if variant == "int8-dynamic":
        speed *= CONVOLUTIONS_DYNAMIC if "Conv" in origin.info.operators else 2.0
    if variant.startswith("int8") and not _has_vnni(machine):
        speed *= WITHOUT_VNNI
    build_s = sum(_made(spec.name).build_s + more_s for spec in chain(variant))
    keeps = made.keeps
    if origin.info != info:  # smaller is faster, though not by as much
        speed, keeps = speed * math.sqrt(info.size / origin.info.size), keeps * GIVEN_KEEPS
    return Outlook(speed=speed, keeps=keeps, build_s=build_s, open_s=opened.open_s + more_s)


def _made(variant: str) -> Made:
    fitting = [name for name in VARIANTS if variant.startswith(name)]
    return VARIANTS[max(fitting, key=len)] if fitting else UNKNOWN


def _has_vnni(machine: Machine) -> bool:
    return machine.arch != "x86_64" or bool(machine.devices) or any("vnni" in f for f in machine.features)
