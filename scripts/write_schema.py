"""Write docs/reference/plan.schema.json and plan.md from the records of the plan.

    python scripts/write_schema.py

Texts are the records' own docstrings, so the reference says what the code says. A test checks that both are current.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from steelyard.records import arrivals, data, machine, measurement, model, plan, requirements, signature
from steelyard.records.plan import SCHEMA, Plan

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MODULES = (plan, requirements, signature, model, arrivals, machine, measurement, data)
INTRODUCTION = f"""# plan.json

Written by `scripts/write_schema.py` from the records in `src/steelyard/records`: change it there.

A plan is one JSON object of the schema `{SCHEMA}`; [plan.schema.json](plan.schema.json) is its JSON Schema
(2020-12), for validators and code generators. The number after the slash rises when a field is removed or changes
its meaning. A number that is not finite is written as null. Units: rates in requests per second, latencies in
milliseconds, memory in MB (10^6 bytes), money in the currency that stands beside it, quality as a share (1 point of
accuracy is 0.01). What to make of the figures is told in [reading the plan](../guide/reading-the-plan.md).
"""


def schema() -> str:
    """The JSON Schema, as it lies in the file."""
    described = msgspec.json.schema(Plan)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **described}, indent=2) + "\n"


def reference() -> str:
    """The page, as it lies in the file."""
    definitions = msgspec.json.schema(Plan)["$defs"]
    names = ["Plan", *(name for name in definitions if name != "Plan")]
    return "\n".join([INTRODUCTION, *(_section(name, definitions[name]) for name in names)])


def _section(name: str, definition: dict[str, Any]) -> str:
    source = next(getattr(module, name) for module in MODULES if hasattr(module, name))
    texts, required = _texts(source), definition.get("required", ())
    lines = [f"## {name}", "", inspect.getdoc(source) or "", "", "| field | type | meaning |", "| --- | --- | --- |"]
    for field, described in definition["properties"].items():
        shown = f"`{field}`" if field in required else f"`{field}` (may be left out)"
        lines.append(f"| {shown} | {_type(described)} | {texts.get(field, '')} |")
    return "\n".join([*lines, ""])


def _type(described: dict[str, Any]) -> str:
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in described:
        return " or ".join(_type(one) for one in described["anyOf"])
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    if described.get("type") == "array":
        inner: dict[str, Any] = described.get("items") or next(iter(described.get("prefixItems", [])), {})
        return f"list of {_type(inner)}" if inner else "list"
    return str(described.get("type", "anything"))


def _texts(record: type) -> dict[str, str]:
    """Field → the text below it in the source."""
    return dict(_pairs(ast.parse(inspect.getsource(record)).body[0]))


def _pairs(tree: ast.AST) -> Iterator[tuple[str, str]]:
    body = getattr(tree, "body", [])
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield ast.unparse(field.target), re.sub(r"\s+", " ", str(below.value.value)).strip().replace("|", "\\|")


def main() -> None:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    (REFERENCE / "plan.schema.json").write_text(schema(), encoding="utf-8")
    (REFERENCE / "plan.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
