"""A trained network becomes a folder to be judged, weighed and served: ONNX, the data of its test, what is known.

The file is held against the network before it is handed on: on raw items of the test, through ONNX Runtime.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import ModelError, UsageError
from steelyard.models.torch_module import export_module
from steelyard.preparation.plain import Tokens
from steelyard.preparation.steps import apply_all, prepared_to_json
from steelyard.records.base import to_json
from steelyard.records.cheaper import NAMES
from steelyard.records.evaluation import Evaluation
from steelyard.train.card import card
from steelyard.train.raw_inputs import RawInputs, numbers_and_words, raw_inputs
from steelyard.train.ready import ready
from steelyard.train.words import coded, put_words_first, word_columns

if TYPE_CHECKING:
    from steelyard.train.data import Prepare
    from steelyard.train.trained import Trained

MODEL, RUN, EVALUATION, PREPARATION = "model.onnx", "run.json", "evaluation.json", "preparation.json"
TEST, TEST_TABLE, TOKENIZER, SETTINGS = "test.npz", "test.csv", "tokenizer.json", "steelyard.toml"
CARD = "README.md"
Shrink = Callable[[Path, Mapping[str, Array]], object]
"""Makes something smaller of a model's file, in its place."""
LABEL = "label"
CHECKED = 64
"""Items by which the file is held against the network."""
TOLERANCE = 1e-3
"""Of the largest magnitude in any answer, or of 1."""


def export(trained: Trained, folder: Path, evaluation: Evaluation | None = None) -> Path:
    """Write everything into `folder`, which is made. Returns the path of the model.

    `evaluation`: of the test, where it was made already.

    Raises UsageError for a folder that holds other things, ModelError when the file answers otherwise than the network.
    """
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = next(name for name in ("test", "validation", "training") if len(trained.part(name)))
    raw = trained.part(part)
    model = write_model(trained.network, trained.data, raw, folder)
    verify(model, trained, raw.take(np.arange(min(CHECKED, len(raw)))))
    for name, content in _words(trained, evaluation or trained.evaluate(part)).items():
        (folder / name).write_bytes(content)
    return model


def write_model(network: torch.nn.Module, data: Prepare, raw: Examples, folder: Path) -> Path:
    """Write what `steelyard weigh` needs: the network, trained or not, and `raw` items to judge it by."""
    inputs = raw_inputs(raw, apply_all(data.prepared, raw))
    model = write_network(network, data, raw, folder / MODEL)
    for name, content in (_test(inputs, raw) | _settings(data)).items():
        (folder / name).write_bytes(content)
    return model


def write_network(
    network: torch.nn.Module, data: Prepare, raw: Examples, path: Path, shrink: Shrink | None = None
) -> Path:
    """Write the network alone, with its preparation before it; `raw` items show what goes in.

    `shrink`: what is done to the file with these items, as arrays by input, before columns of words are led into it.
    """
    prepared = apply_all(data.prepared, raw)
    inputs, words = raw_inputs(raw, prepared), word_columns(raw, data.prepared.serving)
    module = ready(network, data.prepared, raw, prepared).eval()
    taken = coded(inputs, words) if words else inputs
    sample = tuple(torch.from_numpy(np.ascontiguousarray(each[:2])) for each in taken.arrays)
    model = export_module(module, sample, path, input_names=taken.names, dynamic_shapes=taken.varies)
    if shrink is not None:
        shrink(model, dict(zip(taken.names, taken.arrays, strict=True)))
    if words:
        put_words_first(model, inputs, words)
    return model


def verify(model: Path, trained: Trained, raw: Examples) -> None:
    """Raises ModelError when the file and the network answer differently."""
    told, expected = answers(model, trained, raw), trained.outputs(raw)
    most = float(np.abs(told - expected).max()) if len(raw) else 0.0
    if not most <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(f"the exported model's answers differ from the network's by up to {most:.3g}")


def answers(model: Path, trained: Trained, raw: Examples) -> Array:
    """What ONNX Runtime makes of raw items by the file: [items, outputs]."""
    import onnxruntime

    inputs = raw_inputs(raw, apply_all(trained.data.prepared, raw))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(zip(inputs.names, inputs.arrays, strict=True)))[0])


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        others = sorted(each.name for each in folder.iterdir() if each.name not in _ALLOWED)
        if others and not (folder / MODEL).exists():
            raise UsageError(f"{folder} holds other things ({', '.join(others[:3])})", "name another folder with --out")


_ALLOWED = {
    MODEL, RUN, EVALUATION, PREPARATION, TEST, TEST_TABLE, TOKENIZER, SETTINGS, CARD, "report.html",
    "checkpoint.safetensors", *(f"{name}{end}" for name in NAMES.values() for end in (".onnx", ".safetensors")),
}  # fmt: skip


def _test(inputs: RawInputs, raw: Examples) -> dict[str, bytes]:
    """The items of the test and their targets, as `steelyard weigh` takes them."""
    if "text" in raw.inputs:
        return {TEST_TABLE: _csv(["text", LABEL], [raw.inputs["text"], raw.targets])}
    if numbers_and_words(raw)[1]:
        titles = [_title(name) for name in raw.inputs]
        return {TEST_TABLE: _csv([*titles, _label(raw)], [*raw.inputs.values(), raw.targets])}
    packed = io.BytesIO()
    arrays = dict(zip(inputs.names, inputs.arrays, strict=True))
    np.savez(packed, allow_pickle=False, **arrays, labels=raw.targets)
    return {TEST: packed.getvalue()}


def _csv(titles: Sequence[str], columns: Sequence[Array]) -> bytes:
    """Cells without a value are empty."""
    lines = io.StringIO()
    rows = zip(*(["" if value != value else value for value in column.tolist()] for column in columns), strict=True)
    csv.writer(lines, lineterminator="\n").writerows([titles, *rows])
    return lines.getvalue().encode()


def _title(column: str) -> str:
    """Settings name several columns with commas between them."""
    return column.replace(",", " ")


def _label(raw: Examples) -> str:
    return LABEL if LABEL not in raw.inputs else f"{LABEL} of {len(raw.inputs)}"


def _words(trained: Trained, evaluation: Evaluation) -> dict[str, bytes]:
    """What is told in text files."""
    return {
        RUN: to_json(trained.run, indent=2),
        EVALUATION: to_json(evaluation, indent=2),
        CARD: card(trained.run, evaluation).encode(),
        PREPARATION: prepared_to_json(trained.data.prepared),
    }


def _settings(data: Prepare) -> dict[str, bytes]:
    """`steelyard weigh` in the folder needs no more than its requirements."""
    steps = (step for each in data.prepared.serving.values() for step in each)
    tokenizer = next((step for step in steps if isinstance(step, Tokens)), None)
    metric = "accuracy" if data.told.classes else "mse"
    settings = (
        "# `steelyard weigh --p95 5ms` in this folder weighs the model on its test.\n"
        f'model = "{MODEL}"\nmetric = "{metric}"\n\n[data]\n{_source_settings(data.raw.training, tokenizer)}'
    )
    files = {SETTINGS: settings.encode()}
    return files if tokenizer is None else files | {TOKENIZER: tokenizer.tokenizer.encode()}


def _source_settings(raw: Examples, tokenizer: Tokens | None) -> str:
    if tokenizer is not None:
        return f'{_source(TEST_TABLE)}text = "text"\ntokenizer = "{TOKENIZER}"\nmax_tokens = {tokenizer.length}\n'
    return _word_settings(raw) if numbers_and_words(raw)[1] else _source(TEST)


def _source(file: str) -> str:
    return f'source = "{file}"\n'


def _word_settings(raw: Examples) -> str:
    """Which columns go into which input; gaps are filled by the model. Words are quoted as JSON quotes them."""
    numbers, words = numbers_and_words(raw)
    inputs = raw_inputs(raw.take([0]), raw).names
    columns = [*([",".join(map(_title, numbers))] if numbers else []), *map(_title, words)]
    lines = (f"{json.dumps(name)} = {json.dumps(said)}\n" for name, said in zip(inputs, columns, strict=True))
    label = f'labels = {json.dumps(_label(raw))}\nmissing = "keep"\n\n[data.inputs]\n'
    return _source(TEST_TABLE) + label + "".join(lines)
