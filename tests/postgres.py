"""A real PostgreSQL server of a test's own, from Debian's package `postgresql`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "open:sesame/#1"
ORDINARY = "postgres"
"""The package's user: the server refuses to run as root."""


def programs() -> Path:
    """Where initdb and pg_ctl are; a test that needs them is skipped where they are not, but never in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if found or on_path:
        return found[-1].parent if found else Path(str(on_path)).parent
    message = "no PostgreSQL server here: install Debian's package postgresql"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True)
class Server:
    """One cluster, listening on loopback and on a socket in its folder."""

    folder: Path
    port: int

    def url(self, database: str = "postgres", user: str = "owner", password: str = PASSWORD) -> str:
        quoted = password.replace(":", "%3A").replace("/", "%2F").replace("#", "%23")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off -c max_connections=20"
        self._run("pg_ctl", "start", "--wait", "-D", str(self.folder / "data"), "-l", "log", "-o", options)

    def stop(self) -> None:
        """As when the machine goes down: open connections are cut."""
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate", "-D", str(self.folder / "data"))

    def sql(self, statement: str, database: str = "postgres") -> str:
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "owner", "-d", database]
        return self._run("psql", *where, "-v", "ON_ERROR_STOP=1", "-Atc", statement, PGPASSWORD=PASSWORD)

    def database(self, name: str) -> str:
        """The URL of a fresh database."""
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def init(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        self._run(
            "initdb", "--no-sync", "-U", "owner", "--auth=scram-sha-256", "--encoding=UTF8",
            "--pwfile", str(self.folder / "password"), "-D", str(self.folder / "data"),
        )  # fmt: skip

    def _run(self, program: str, *arguments: str, **environment: str) -> str:
        ordinary = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [programs() / program, *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            # pg_ctl's server would hold a pipe open for as long as it lives.
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            **ordinary,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stdout
        return str(done.stdout or "").strip()


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server in a folder that its own user can reach."""
    programs()
    with tempfile.TemporaryDirectory(prefix="steelyard-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, ORDINARY, ORDINARY)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        running = Server(folder, port)
        running.init()
        running.start()
        try:
            yield running
        finally:
            with contextlib.suppress(AssertionError):
                running.stop()
