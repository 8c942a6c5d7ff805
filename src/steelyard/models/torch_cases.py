"""Inputs of several sizes for a torch module, its own answers to them, and the comparison of a file with those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steelyard.errors import ModelError
from steelyard.records.engine import Array

_SEED = 0
_TOLERANCE = 1e-4
_TOLERANCE_HALF = 1e-2


class Case(NamedTuple):
    """One call: what goes in and what the module itself answered."""

    label: str
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]


def tensors_of(module: Any, example_inputs: Any) -> tuple[Any, ...]:
    """The example inputs as a tuple of tensors. Raises ModelError when module or examples are something else."""
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"expected a torch.nn.Module, got {type(module).__name__}", "give the module itself")
    single = isinstance(example_inputs, torch.Tensor)
    if not single and not isinstance(example_inputs, list | tuple):
        raise ModelError(
            f"expected a tensor or a tuple of tensors as example inputs, got {type(example_inputs).__name__}",
            "give the tensors in the order of forward's arguments",
        )
    examples = (example_inputs,) if single else tuple(example_inputs)
    for example in examples:
        if not isinstance(example, torch.Tensor):
            raise ModelError(f"expected tensors as example inputs, got {type(example).__name__} among them")
        if example.dtype == torch.bfloat16:
            raise ModelError("ONNX Runtime takes no bfloat16 inputs", "export module.float() with float examples")
    if not examples:
        raise ModelError("expected at least one example input, got none", "for example torch.zeros(1, 3, 224, 224)")
    return examples


def cases_of(module: Any, examples: Sequence[Any], axes: Sequence[Mapping[int, str]], batch: str) -> list[Case]:
    """The examples as given, other values, batches of 1 and 3, and a second length for every other named axis."""
    pairs = zip(examples, axes, strict=True)
    sizes = {name: int(example.shape[axis]) for example, named in pairs for axis, name in named.items()}
    wanted = {"other values": sizes}
    if batch in sizes:
        wanted |= {f"a batch of {size}": sizes | {batch: size} for size in (1, 3)}
    for name, size in sizes.items():
        if name != batch:
            other = size // 2 if size >= 4 else size + 1
            wanted[f"{name} = {other}"] = sizes | {name: other}
    cases = [_case(module, "the example inputs", examples)]
    return cases + [_case(module, label, resized(examples, axes, each)) for label, each in wanted.items()]


def resized(examples: Sequence[Any], axes: Sequence[Mapping[int, str]], sizes: Mapping[str, int]) -> tuple[Any, ...]:
    """Inputs like the examples, their named axes as long as `sizes` says; values are drawn from the examples' own."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    fresh = []
    for example, named in zip(examples, axes, strict=True):
        shape = [sizes[named[axis]] if axis in named else size for axis, size in enumerate(example.shape)]
        fresh.append(_drawn(example, shape, generator))
    return tuple(fresh)


def verify(file: Path, names: Sequence[str], cases: Sequence[Case]) -> None:
    """Raises ModelError unless ONNX Runtime answers every case from `file` as the module did."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}
    for case in cases:
        feed = {name: value for name, value in zip(names, case.inputs, strict=True) if name in taken}
        try:
            answers = session.run(None, feed)
        except Exception as error:  # ONNX Runtime's errors share no base of their own
            raise ModelError(f"the exported file fails with {case.label}: {error}") from error
        _compare(answers, case)


def _compare(answers: Sequence[Array], case: Case) -> None:
    if len(answers) != len(case.expected):
        raise ModelError(f"the exported file gives {len(answers)} outputs, the module {len(case.expected)}")
    for number, (got, expected) in enumerate(zip(answers, case.expected, strict=True)):
        where = f"with {case.label}, output {number} of the exported file"
        if got.shape != expected.shape or got.dtype != expected.dtype:
            raise ModelError(
                f"{where} is {got.dtype}{list(got.shape)}, the module's {expected.dtype}{list(expected.shape)}"
            )
        _compare_values(got, expected, where)


def _compare_values(got: Array, expected: Array, where: str) -> None:
    if got.dtype.kind not in "fc":
        if not np.array_equal(got, expected):
            raise ModelError(f"{where} differs from the module's in {np.mean(got != expected):.1%} of its values")
        return
    finite = expected[np.isfinite(expected)]
    allowed = _TOLERANCE_HALF if got.dtype == np.float16 else _TOLERANCE
    allowed *= max(1.0, float(np.max(np.abs(finite), initial=0.0)))
    if not np.allclose(got, expected, rtol=0, atol=allowed, equal_nan=True):
        distance = float(np.nanmax(np.abs(got.astype(np.float64) - expected.astype(np.float64))))
        raise ModelError(f"{where} lies up to {distance:.3g} from the module's; {allowed:.3g} is allowed")


def _case(module: Any, label: str, inputs: Sequence[Any]) -> Case:
    try:
        answers = module(*inputs)
    except Exception as error:  # a module may raise anything
        shapes = [tuple(each.shape) for each in inputs]
        raise ModelError(
            f"the module itself fails with {label} (shapes {shapes}): {type(error).__name__}: {str(error)[:300]}",
            "give example inputs that the module takes; dynamic_batch=False if it takes one batch size only",
        ) from error
    return Case(label, tuple(_plain(each) for each in inputs), tuple(_plain(each) for each in _flat(answers)))


def _flat(answers: Any) -> list[Any]:
    import torch

    if isinstance(answers, torch.Tensor):
        return [answers]
    if isinstance(answers, Mapping):
        answers = list(answers.values())
    if isinstance(answers, list | tuple) and answers:
        return [tensor for each in answers for tensor in _flat(each)]
    raise ModelError(
        f"expected the module to return tensors, got {type(answers).__name__}",
        "wrap it in a module that returns a tensor or a tuple of tensors",
    )


def _drawn(example: Any, shape: Sequence[int], generator: Any) -> Any:
    import torch

    values = example.detach().flatten()
    if not values.numel():
        return example.new_zeros(shape)
    if values.is_floating_point() and bool((values == values[0]).all()):
        # Examples of zeros or ones would make every answer the same and hide a mistake.
        return torch.randn(shape, generator=generator).to(example)
    return values[torch.randint(values.numel(), shape, generator=generator).to(values.device)]


def _plain(tensor: Any) -> Array:
    import torch

    plain = tensor.detach().cpu()
    array: Array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return array
