"""Make a portable model from a torch module, and prove that it gives the module's answers before it is handed on."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.errors import ModelError
from steelyard.models.torch_cases import Case, cases_of, resized, tensors_of, verify

if TYPE_CHECKING:
    import torch

_BATCH = "batch"
# One file as long as it stays well below the 2 GiB that a protobuf message may have.
_ONE_FILE_BYTES = 1_500_000_000


@dataclass(frozen=True)
class _Order:
    """What shall be exported."""

    module: Any
    examples: tuple[Any, ...]
    names: tuple[str, ...]
    axes: tuple[Mapping[int, str], ...]
    """Per input: axis → name of the size that may vary."""
    outputs: tuple[str, ...]

    def sizes(self) -> dict[str, int]:
        """The sizes that may vary, as the examples have them."""
        pairs = zip(self.examples, self.axes, strict=True)
        return {name: example.shape[axis] for example, axes in pairs for axis, name in axes.items()}


def export_module(
    module: torch.nn.Module,
    example_inputs: torch.Tensor | Sequence[torch.Tensor],
    path: str | Path,
    input_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    dynamic_shapes: Mapping[str, Mapping[int, str]] | None = None,
) -> Path:
    """Write `module` as ONNX to `path`, verified, and return the absolute path.

    `example_inputs` are the tensors of one call, in the order of `forward`'s arguments; `input_names` default
    to the names of those arguments. `dynamic_batch` lets the first axis of every input vary;
    `dynamic_shapes` names further axes that may: `{"tokens": {1: "length"}}`.

    The module runs in evaluation mode and gets its training flags back. The file is compared in ONNX Runtime
    with the module's own answers: to the examples, to batches of 1 and 3, and at a second length of every
    other named axis, on values drawn from the examples. Each output must agree within 1e-4 of its largest
    magnitude (or of 1, if that is larger; half precision: 1e-2), integers exactly. torch's current exporter is
    tried first, then its older one, which is right where the current one is not (`nn.RNN` of varying length).

    Raises ModelError when neither gives a file that agrees; nothing is left at `path` then.
    """
    target = Path(path).expanduser().absolute()
    if not target.parent.is_dir():
        raise ModelError(f"there is no folder {target.parent} to export the module into", "make the folder first")
    examples = tensors_of(module, example_inputs)
    names = _names(module, input_names, len(examples))
    axes = _axes(examples, names, dynamic_batch, dynamic_shapes or {})
    with _evaluating(module), quiet(), tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        cases = cases_of(module, examples, axes, _BATCH)
        outputs = tuple(f"output_{n}" for n in range(len(cases[0].expected)))
        order = _Order(module, examples, names, axes, outputs if len(outputs) > 1 else ("output",))
        _move(_export_verified(order, cases, Path(folder), target.name), target.parent)
    return target


def _export_verified(order: _Order, cases: Sequence[Case], folder: Path, name: str) -> Path:
    """The folder that holds the first export which agrees with the module."""
    reasons = []
    exporters: dict[str, Callable[[_Order, Path], None]] = {"current": _by_dynamo, "older": _by_tracing}
    for label, exporter in exporters.items():
        place = folder / label
        place.mkdir()
        try:
            exporter(order, place / name)
            verify(place / name, order.names, cases)
        except Exception as error:  # exporters raise whatever their many layers raise
            reasons.append(f"torch's {label} exporter: {_first_lines(error)}")
        else:
            return place
    raise ModelError(
        f"{type(order.module).__name__} could not be exported to ONNX with its answers kept. " + "; ".join(reasons),
        "try dynamic_batch=False or name fewer dynamic axes; replace control flow that depends on values; "
        "or export it yourself and give the .onnx file",
    )


def _by_dynamo(order: _Order, file: Path) -> None:
    import torch

    # The exporter takes a size of 0 or 1 for a constant, so it sees at least two of everything that may vary.
    sizes = {name: max(size, 2) for name, size in order.sizes().items()}
    dims = {name: torch.export.Dim(name) for name in sizes}
    weight = sum(each.numel() * each.element_size() for each in order.module.state_dict().values())
    torch.onnx.export(
        order.module,
        resized(order.examples, order.axes, sizes),
        str(file),
        dynamo=True,
        verbose=False,
        input_names=list(order.names),
        output_names=list(order.outputs),
        dynamic_shapes=_by_argument(order, [{axis: dims[name] for axis, name in axes.items()} for axes in order.axes]),
        external_data=weight > _ONE_FILE_BYTES,
    )


def _by_argument(order: _Order, shapes: list[dict[int, Any]]) -> tuple[Any, ...]:
    """The shapes grouped as `forward` takes its arguments: those caught by `*args` belong together."""
    kinds = [each.kind for each in inspect.signature(order.module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    single = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*shapes[:single], tuple(shapes[single:]))


def _by_tracing(order: _Order, file: Path) -> None:
    import torch

    # Recurrent layers traced at a batch of 1 keep their initial state free of the batch size.
    sizes = order.sizes() | ({_BATCH: 1} if _BATCH in order.sizes() else {})
    varying = {name: dict(axes) for name, axes in zip(order.names, order.axes, strict=True) if axes}
    batch = {name: {0: _BATCH} for name in order.outputs} if _BATCH in sizes else {}
    torch.onnx.export(
        order.module,
        resized(order.examples, order.axes, sizes),
        str(file),
        dynamo=False,
        verbose=False,
        input_names=list(order.names),
        output_names=list(order.outputs),
        dynamic_axes=varying | batch,
    )


def _names(module: Any, given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if given is None:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        arguments = inspect.signature(module.forward).parameters.values()
        found = [argument.name for argument in arguments if argument.kind in kinds]
        return tuple(found[n] if n < len(found) else f"input_{n}" for n in range(count))
    names = tuple(given)
    if len(names) != count or len(set(names)) != count or not all(names):
        raise ModelError(f"expected {count} different input names, got {list(names)}", "one name per example input")
    return names


def _axes(
    examples: Sequence[Any],
    names: Sequence[str],
    dynamic_batch: bool,
    dynamic_shapes: Mapping[str, Mapping[int, str]],
) -> tuple[Mapping[int, str], ...]:
    if unknown := set(dynamic_shapes) - set(names):
        raise ModelError(
            f"dynamic_shapes names {sorted(unknown)}, which are no inputs", f"the inputs are {', '.join(names)}"
        )
    axes = []
    for name, example in zip(names, examples, strict=True):
        batch = {0: _BATCH} if dynamic_batch and example.dim() else {}
        axes.append(batch | dict(dynamic_shapes.get(name, {})))
        if not all(0 <= axis < example.dim() for axis in axes[-1]):
            raise ModelError(f"dynamic_shapes[{name!r}] names an axis that the example lacks: {tuple(example.shape)}")
    _require_agreement(examples, axes)
    return tuple(axes)


def _require_agreement(examples: Sequence[Any], axes: Sequence[Mapping[int, str]]) -> None:
    sizes: dict[str, int] = {}
    for example, named in zip(examples, axes, strict=True):
        for axis, name in named.items():
            size = int(example.shape[axis])
            if size == 0 or sizes.setdefault(name, size) != size:
                raise ModelError(
                    f"the example inputs disagree on {name!r}: {sizes.get(name, 0)} and {size}",
                    "give example inputs of one call, or dynamic_batch=False if their first axes are not a batch",
                )


def _move(place: Path, folder: Path) -> None:
    # The main file last: whoever sees it finds its data beside it.
    for file in sorted(place.iterdir(), key=lambda each: each.suffix == ".onnx"):
        file.replace(folder / file.name)


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    import torch

    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in flags:
            part.training = training


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters print and warn at length about what the verification decides anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_lines(error: Exception) -> str:
    text = error.message if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:400]
