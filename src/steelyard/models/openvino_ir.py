"""Check an OpenVINO IR (.xml beside .bin) and tell what goes in and what comes out.

The XML is read first by the standard library's expat without entities; OpenVINO opens the files only after
every constant has been found to lie inside the .bin. Names and shapes are then OpenVINO's own, since those are
what the runtime will use.
Format: https://docs.openvino.ai/2025/documentation/openvino-ir-format.html
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

from steelyard.errors import ModelError
from steelyard.models.files import require_below, resolve_inside, sha256_of, size_of_plain_file, unreadable
from steelyard.records.model import LAYERS, ModelInfo, TensorInfo

NUMPY_NAMES: Mapping[str, str] = {
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "boolean": "bool",
}
"""OpenVINO element type → numpy dtype, for what may go in or come out of a model."""

_MAX_XML_BYTES = 256 * 2**20
_MAX_DEPTH = 200
_AGAIN = "convert the model again, or copy both files again"


def inspect_openvino(path: Path, max_bytes: int) -> ModelInfo:
    """What the IR at the absolute `path` of its .xml is; `max_bytes` bounds its files and its tensors in memory.

    Raises ModelError for anything that OpenVINO should not see.
    """
    xml_size = size_of_plain_file(path, min(max_bytes, _MAX_XML_BYTES))
    weights = resolve_inside(path.parent, path.with_suffix(".bin").name, f"{path}: the file of weights")
    bin_size = weights.stat().st_size
    require_below(xml_size + bin_size, max_bytes, f"{path} with {weights.name}")
    network = _read_xml(path)
    network.require_sound(path, bin_size, max_bytes)
    inputs, outputs = _ports(path, weights)
    return ModelInfo(
        path=str(path),
        format="openvino",
        inputs=inputs,
        outputs=outputs,
        files=(path.name, weights.name),
        size=xml_size + bin_size,
        sha256=sha256_of((path, weights)),
        operators=tuple(sorted(network.operators - {"Const", "Parameter", "Result"})),
        layers=network.layers,
        detail=network.detail(),
    )


class _Network:
    """What the XML says, collected element by element while expat reads."""

    def __init__(self) -> None:
        self.version = "?"
        self.made_by = ""
        self.operators: set[str] = set()
        self.layers = 0
        self.constants: list[tuple[str, Mapping[str, str]]] = []
        self.declared: list[tuple[str, Mapping[str, str]]] = []
        self._open: list[tuple[str, Mapping[str, str]]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise ModelError(f"its XML is nested more than {_MAX_DEPTH} deep", _AGAIN)
        if not self._open:
            self._read_root(tag, attributes)
        elif tag == "layer":
            kind = attributes.get("type", "?")
            self.operators.add(kind)
            self.layers += kind in LAYERS
        elif tag == "data" and self._open[-1][0] == "layer":
            self._read_data(self._open[-1][1], attributes)
        elif tag in ("MO_version", "Runtime_version") or attributes.get("name") == "OpenVINO Runtime":
            self.made_by = attributes.get("value", "")[:80]
        self._open.append((tag, attributes))

    def end(self, _tag: str) -> None:
        self._open.pop()

    def require_sound(self, path: Path, bin_size: int, max_bytes: int) -> None:
        """Raises ModelError unless every constant lies inside the .bin and fills its shape."""
        for name, data in self.constants:
            what = f"{path}: constant {name!r}"
            offset, size = (_natural(data.get(key, ""), what) for key in ("offset", "size"))
            if offset + size > bin_size:
                raise ModelError(f"{what} ends at byte {offset + size} of the .bin, which has {bin_size} bytes", _AGAIN)
            needed = _bytes_needed(data, what)
            if size < needed:
                raise ModelError(f"{what} has {size} bytes; its shape [{data.get('shape')}] needs {needed}", _AGAIN)
        for name, data in self.declared:
            what = f"{path}: input {name!r} of shape [{data.get('shape')}]"
            require_below(_bytes_needed(data, what), max_bytes, what)

    def detail(self) -> str:
        """For people: version and maker."""
        return f"IR version {self.version}" + (f", made by OpenVINO {self.made_by}" if self.made_by else "")

    def _read_root(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag != "net":
            raise ModelError(f"it is XML, but not an OpenVINO IR: expected <net>, got <{tag}>", "give the IR's .xml")
        self.version = attributes.get("version", "?")

    def _read_data(self, layer: Mapping[str, str], data: Mapping[str, str]) -> None:
        name = layer.get("name", "?")
        if layer.get("type") == "Const":
            self.constants.append((name, data))
        elif layer.get("type") == "Parameter":
            self.declared.append((name, data))


def _read_xml(path: Path) -> _Network:
    network = _Network()
    parser = expat.ParserCreate()
    parser.StartElementHandler = network.start
    parser.EndElementHandler = network.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _require_utf8
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise unreadable(path, error) from error
    except expat.ExpatError as error:
        raise ModelError(f"{path} is not well-formed XML: {error}", _AGAIN) from error
    except (UnicodeDecodeError, ValueError, LookupError) as error:
        raise ModelError(f"{path} is not UTF-8 XML: {error}", _AGAIN) from error
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error
    return network


def _refuse_doctype(*_: object) -> None:
    # Entities live in the document type: without one nothing can expand or reach for another file.
    raise ModelError("its XML declares a document type, which an OpenVINO IR never does", "do not trust this file")


def _require_utf8(_version: str, encoding: str | None, _standalone: int) -> None:
    # OpenVINO's reader and expat must see the same text.
    if (encoding or "utf-8").lower() not in ("utf-8", "us-ascii", "ascii"):
        raise ModelError(f"its XML is encoded as {encoding!r}; expected UTF-8", _AGAIN)


def _natural(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ModelError(f"{what} has the offset, size or dimension {text!r}; expected a whole number", _AGAIN)
    return int(text)


def _bytes_needed(data: Mapping[str, str], what: str) -> int:
    """Bytes of a dense tensor; dimensions that may vary count as 1, types of no fixed width as one bit."""
    width = re.fullmatch(r"(?:bf|f|i|u|nf)(\d{1,2})(?:e\dm\d)?", data.get("element_type", ""))
    bits = 8 if data.get("element_type") == "boolean" else int(width[1]) if width else 1
    sizes = [size.strip() for size in data.get("shape", "").split(",") if size.strip()]
    known = [_natural(size, what) for size in sizes if not re.fullmatch(r"\?|-1|\.\.\.|\d*\.\.\d*", size)]
    return -(-math.prod(known) * bits // 8)


def _ports(path: Path, weights: Path) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    # OpenVINO would report each use to its maker over the network; without this package it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    try:
        model = openvino.Core().read_model(str(path), str(weights))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-500:]
        raise ModelError(f"OpenVINO cannot read {path}: {reason}", _AGAIN) from error
    inputs = tuple(_tensor(port, f"{path}: input") for port in model.inputs)
    if not inputs:
        raise ModelError(f"{path} takes no input: there is nothing to weigh", _AGAIN)
    return inputs, tuple(_tensor(port, f"{path}: output") for port in model.outputs)


def _tensor(port: Any, role: str) -> TensorInfo:
    name = port.get_any_name() if port.get_names() else port.get_node().get_friendly_name()
    kind = port.get_element_type().get_type_name()
    if kind not in NUMPY_NAMES:
        raise ModelError(
            f"{role} {name!r} holds elements of type {kind}; expected numbers or booleans",
            "convert only the numeric part of the model",
        )
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise ModelError(f"{role} {name!r} has no fixed number of dimensions", "convert it with a shape for its inputs")
    sizes = tuple(None if size.is_dynamic else size.get_length() for size in shape)
    return TensorInfo(name=name, dtype=NUMPY_NAMES[kind], shape=sizes)
