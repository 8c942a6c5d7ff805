"""Settings with which nobody would be answered, or that mean nothing, are refused before anything is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command import run_in
from steelyard.errors import UsageError
from steelyard.loop.serving import Served


@pytest.mark.parametrize(
    ("wrong", "told", "hint"),
    [
        ({"most_waiting": 0}, "got a queue of 0", "--queue"),
        ({"shadow": 2.0}, "between 0% and 100%, got 200%", "--shadow"),
        ({"shadow": -0.1}, "between 0% and 100%", "--shadow"),
        ({"hang_s": 0.0}, "longer than 0 s", "--hang"),
        ({"most_body": 100}, "at most 100 bytes asks nothing", "--max-body"),
        ({"hosts": ("http://models.example.org",)}, "no name that clients", "--allow-host"),
        ({"hosts": ("models.example.org:8000",)}, "no name that clients", "--allow-host"),
        ({"hosts": ("",)}, "no name that clients", "--allow-host"),
        ({"origins": ("example.org",)}, "no origin", "--allow-origin"),
        ({"origins": ("https://example.org/page",)}, "no origin", "--allow-origin"),
        ({"origins": ("*",)}, "no origin", "--allow-origin"),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], told: str, hint: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        Served(**wrong)
    assert hint in error.value.hint


def test_what_is_taken() -> None:
    hosts = ("models.example.org", "*", "[::1]", "10.0.0.1", "my_service")
    Served(most_waiting=1, shadow=1.0, hosts=hosts, origins=("https://example.org", "http://localhost:3000/"))


def test_the_command_tells_it_with_its_status(tmp_path: Path) -> None:
    ran = run_in(tmp_path, "serve", "plan", "--queue", "0")
    assert ran.status == 2
    assert "got a queue of 0" in ran.err
