"""Who may ask at all. Everything is refused here, before a body is read, unless it is allowed."""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Collection, Mapping, Sequence

from steelyard.protocol.reply import CLOSE, Header, HttpFailure

MIB = 2**20
MOST_BODY = 64 * MIB
MOST_HEADERS = 100
MOST_HEADER_BYTES = 16 * 1024

HEALTH = frozenset({"/v2/health/live", "/v2/health/ready"})
"""What whoever watches a server asks; tells nothing but yes or no."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
ANY = "*"
CHALLENGES: tuple[Header, ...] = (
    (b"www-authenticate", b"Bearer"),
    (b"www-authenticate", b'Basic realm="steelyard"'),
)
"""Programs send the token as it is. Browsers can only ask for a password: they send the token as that."""

_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"host",
        b"inference-header-content-length",
        b"origin",
        b"transfer-encoding",
    }
)
"""Headers of which a second one would be a way around a check of the first."""


class Guards:
    """What requests must bring, and how large they may be."""

    def __init__(
        self,
        *,
        token: str | None = None,
        hosts: Collection[str] | None = None,
        origins: Collection[str] = (),
        open_paths: Collection[str] = HEALTH,
        most_body: int = MOST_BODY,
        most_headers: int = MOST_HEADERS,
        most_header_bytes: int = MOST_HEADER_BYTES,
    ) -> None:
        """`token`: expected as `Authorization: Bearer …`, or as the password of whatever user (RFC 7617), except on
        `open_paths`; None: nobody needs one. Browsers send a password by themselves, also when the page of somebody
        else makes them ask: what they then also send is that page's origin, which is not among the `origins`.

        `hosts`: names, without a port, that clients may call this server by. None: where no token is needed, those of
        this machine alone, so that no web page can reach it by a name of its own (DNS rebinding); otherwise any.
        `origins` (`https://example.org`): pages that may call it from a browser, besides its own.
        """
        self.most_body = most_body
        self._token = None if token is None else token.encode()
        names = ({ANY} if token else LOOPBACK) if hosts is None else hosts
        self._hosts = None if ANY in names else frozenset(name.lower().encode() for name in names)
        self._origins = frozenset(origin.lower().rstrip("/").encode() for origin in origins)
        self._open_paths = frozenset(open_paths)
        self._most_headers = most_headers
        self._most_header_bytes = most_header_bytes

    def admitted(self, path: str, pairs: Sequence[Header]) -> Mapping[bytes, bytes]:
        """The headers by name (in lower case), once everything about them is in order. Raises HttpFailure."""
        headers = self._by_name(pairs)
        self._check_host(headers)
        if self._token is not None and path not in self._open_paths:
            self._check_token(headers)
        self._check_length(headers)
        return headers

    def _by_name(self, pairs: Sequence[Header]) -> Mapping[bytes, bytes]:
        if len(pairs) > self._most_headers:
            told = f"{len(pairs)} headers came, at most {self._most_headers} are taken"
            raise HttpFailure(431, told, headers=(CLOSE,))
        headers = dict(pairs)
        if sum(map(len, headers)) + sum(map(len, headers.values())) > self._most_header_bytes:
            raise HttpFailure(431, f"headers may have {self._most_header_bytes:,} bytes together", headers=(CLOSE,))
        return headers if len(headers) == len(pairs) else _joined(pairs)

    def _check_host(self, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host", b"")
        if self._hosts is not None and host not in self._hosts and _name(host) not in self._hosts:
            told = f"this server is not called {host[:64].decode('latin-1')!r}"
            raise HttpFailure(403, told, "names are allowed where it is started", (CLOSE,))
        origin = headers.get(b"origin")
        if origin is not None and not self._allows(origin.lower(), host.lower()):
            told = f"pages of {origin[:64].decode('latin-1')!r} may not call this server"
            raise HttpFailure(403, told, "origins are allowed where it is started", (CLOSE,))

    def _allows(self, origin: bytes, host: bytes) -> bool:
        return origin in self._origins or (bool(host) and origin in (b"http://" + host, b"https://" + host))

    def _check_token(self, headers: Mapping[bytes, bytes]) -> None:
        given = _given(headers.get(b"authorization", b""))
        if self._token is None or given is None or not hmac.compare_digest(given, self._token):
            hint = "send Authorization: Bearer …, or log in with it as the password"
            raise HttpFailure(401, "this server wants a token", hint, (*CHALLENGES, CLOSE))

    def _check_length(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length")
        if length is None:
            return
        if not length.isdigit() or len(length) > 18:
            raise HttpFailure(400, "Content-Length is not a number of bytes", headers=(CLOSE,))
        if int(length) > self.most_body:
            raise self.too_large()

    def too_large(self) -> HttpFailure:
        """What is told of a body that is larger than allowed."""
        return HttpFailure(413, f"the request is larger than the {self.most_body:,} bytes allowed", headers=(CLOSE,))


def _given(authorization: bytes) -> bytes | None:
    """The token that a request brings; None: none."""
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip()
    if scheme.lower() != b"basic":
        return None
    try:
        return binascii.a2b_base64(given.strip(), strict_mode=True).partition(b":")[2]
    except binascii.Error:
        return None


def _joined(pairs: Sequence[Header]) -> Mapping[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name in headers and name in _ONCE:
            raise HttpFailure(400, f"the header {name.decode('latin-1')} came twice", headers=(CLOSE,))
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _name(host: bytes) -> bytes:
    """Without the port, which an IPv6 address has after its bracket."""
    name, colon, port = host.rpartition(b":")
    return (name if colon and port.isdigit() else host).lower()
