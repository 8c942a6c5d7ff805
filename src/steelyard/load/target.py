"""The server that is put under load: its address, and the requests that are written to it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from steelyard.errors import UsageError

EXAMPLE = "for example http://localhost:8000"
OURS = ("content-length", "transfer-encoding", "connection", "expect", "inference-header-content-length")
"""Headers that follow from the body."""


@dataclass(frozen=True)
class Target:
    """One server. `prefix` stands before `/v2` in every path; `headers` go with every request."""

    host: str
    port: int
    secure: bool = False
    prefix: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    authority: Path | None = None
    """Certificates (PEM) that are trusted in place of the system's."""

    @property
    def url(self) -> str:
        """The address, as it is told to people."""
        return f"{'https' if self.secure else 'http'}://{self._place}{self.prefix}"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """How the connection is secured. Raises `UsageError` when the trusted certificates cannot be read."""
        if not self.secure:
            return None
        try:
            return ssl.create_default_context(cafile=self.authority)
        except OSError as error:
            raise UsageError(
                f"{self.authority} holds no certificates that can be read: {error}", "give a PEM file with --ca"
            ) from None

    def request(self, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """The bytes of one request."""
        told = {"Host": self._place} | dict(self.headers) | dict(headers)
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        if body or method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def target(url: str, headers: Sequence[str] = (), token: str = "", authority: Path | None = None) -> Target:
    """The server at `url` (`http` unless said). `headers` are `Name: value`; a token is sent as Bearer.

    Raises `UsageError` for an address, a header or a token that cannot be used.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"the address of a server begins with http:// or https://, got '{url}'", EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address holds a password", 'send it as a header: --header "Authorization: …"')
    if parts.query or parts.fragment:
        raise UsageError(f"the address of a server ends with its path, got '{url}'", EXAMPLE)
    secure = parts.scheme == "https"
    try:
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    except ValueError:
        host, port = "", 0
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise UsageError(f"the address '{url}' names no host and port", EXAMPLE)
    prefix = quote(parts.path.rstrip("/").removesuffix("/v2"), safe="/%")
    told = dict(_header(text) for text in headers)
    if token and "authorization" not in {name.lower() for name in told}:
        told |= [_header(f"Authorization: Bearer {token}")]
    return Target(host, port, secure, prefix, tuple(told.items()), authority)


def _header(text: str) -> tuple[str, str]:
    """`Name: value`, on one line."""
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not re.fullmatch(r"[\t -~]*", value):
        shown = name if re.fullmatch(r"[ -~]*", name) else "one with other letters"
        raise UsageError(f"a header is 'Name: value' in ASCII, got {shown!r}", '--header "Authorization: Bearer …"')
    if name.lower() in OURS:
        raise UsageError(f"the header {name} follows from the body and cannot be given")
    return name, value
