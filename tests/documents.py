"""The project's own documents, taken apart: snippets, links, headings, code spans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
GUIDES = tuple(sorted((ROOT / "docs" / "guide").glob("*.md")))
PAGES = (*READMES[:1], *GUIDES)
"""Those whose snippets run."""

_FENCE = re.compile(r"^```(\S*)(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    runs: bool
    text: str


@dataclass(frozen=True)
class Command:
    """One line of a console block, and the exit status that it must have."""

    line: str
    status: int


def every_document() -> list[Path]:
    """All Markdown files of the project itself."""
    folders = (ROOT, *(path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
    found = [path for folder in folders for path in folder.glob("*.md" if folder == ROOT else "**/*.md")]
    return sorted(path for path in found if "plan" not in path.parent.name)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in their order."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, "no-run" not in rest, text) for language, rest, text in found]


def commands(block: Block) -> list[Command]:
    """Lines that begin with `$ `; a comment `# exit status N` below one says what it must end with."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], 0))
        elif match := re.fullmatch(r"# exit status (\d+)", line):
            found[-1] = Command(found[-1].line, int(match[1]))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of all links and pictures that lie in the project."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and text."""
    return [(len(marks), text) for marks, text in _HEADING.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link after `#` may name, as GitHub makes it of a heading."""
    plain = [re.sub(r"[^\w\- ]", "", text.lower()) for _, text in headings(page)]
    return {text.replace(" ", "-") for text in plain}


def code(page: Path) -> str:
    """All code on a page: spans, and blocks of the console."""
    typed = [block.text for block in blocks(page) if block.language == "console"]
    return "\n".join([*_SPAN.findall(prose(page)), *typed])
