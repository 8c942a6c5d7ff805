"""How results are shown."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """For people, for scripts, or not at all."""

    human = "human"
    json = "json"
    quiet = "quiet"


class LogForm(StrEnum):
    """How logs are written."""

    text = "text"
    json = "json"


class CheckFormat(StrEnum):
    """How a check is shown."""

    human = "human"
    json = "json"
    quiet = "quiet"
    github = "github"
