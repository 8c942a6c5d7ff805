"""A check as GitHub shows it: annotations on the lines of the requirements, an output, a summary of the job.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from steelyard.bundle import PLAN
from steelyard.errors import SteelyardError
from steelyard.loop import Check
from steelyard.loop.check import Finding

OUTPUT, SUMMARY, WORKSPACE = "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"
BEHIND = {
    "quality": (r"quality_drop", r"quality"),
    "speed": (r"p\d+(\.\d+)?", r"latency", r"rate"),
    "load": (r"p\d+(\.\d+)?", r"latency", r"rate"),
    "memory": (r"memory",),
}
"""The settings in `[requirements]` that a finding is about."""


def commands(check: Check, settings: Path) -> Iterator[str]:
    """A workflow command for each finding: an error where the requirement stands, a notice for what holds."""
    for finding in check.findings:
        if finding.holds:
            yield _command("notice", finding.told, title=f"Steelyard: {finding.what} holds")
        else:
            yield _command("error", finding.told, **_place(finding, check, settings), title=_title(finding))


def refusal(error: SteelyardError, bundle: Path) -> str:
    """A workflow command for a check that could not be made."""
    told = f"{error.message}\n{error.hint}" if error.hint else error.message
    return _command("error", told, file=_relative(bundle / PLAN), title="Steelyard: the check could not be made")


def write_files(holds: bool, check: Check | None, told: str = "") -> None:
    """The step's output `holds` and a table for the job's summary, where GitHub names files for them."""
    if place := os.environ.get(OUTPUT):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(f"holds={str(holds).lower()}\n")
    if place := os.environ.get(SUMMARY):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(_summary(check, told))


def line_of(settings: Path, table: str, keys: tuple[str, ...]) -> int | None:
    """The line (from 1) of the first of these keys (regular expressions, `_` and `-` are one) in a table of a TOML."""
    try:
        lines = settings.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found: dict[str, int] = {}
    current = ""
    for number, line in enumerate(lines, start=1):
        if match := re.match(r"\s*\[\s*([\w.\-]+)\s*\]", line):
            current = match[1]
        elif match := re.match(r"\s*\"?([\w.\-]+)\"?\s*=", line):
            name = f"{current}.{match[1]}" if current else match[1]
            found.setdefault(name.replace("-", "_"), number)
    wanted = (number for key in keys for name, number in found.items() if re.fullmatch(rf"{table}\.({key})", name))
    return next(wanted, None)


def _place(finding: Finding, check: Check, settings: Path) -> dict[str, str]:
    """Where a finding is shown: at the requirement in the settings, or at the plan."""
    line = line_of(settings, "requirements", BEHIND.get(finding.what, ()))
    if line is None:
        return {"file": _relative(Path(check.bundle) / PLAN)}
    return {"file": _relative(settings), "line": str(line)}


def _title(finding: Finding) -> str:
    return f"Steelyard: {finding.what} fails"


def _relative(path: Path) -> str:
    """As GitHub wants it: from the root of the repository."""
    root = os.environ.get(WORKSPACE)
    return os.path.relpath(path, root) if root else str(path)


def _command(kind: str, message: str, **properties: str) -> str:
    told = ",".join(f"{name}={_escaped(value, ',:')}" for name, value in properties.items())
    return f"::{kind} {told}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    for sign in "%\r\n" + more:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def _summary(check: Check | None, told: str) -> str:
    if check is None:
        return f"### Steelyard\n\nThe check could not be made: {told}\n"
    rows = "".join(
        f"| {finding.what} | {'holds' if finding.holds else '**fails**'} | {finding.told.replace('|', '/')} |\n"
        for finding in check.findings
    )
    return f"### Steelyard: `{check.bundle}`\n\n| what | | |\n| --- | --- | --- |\n{rows}"
