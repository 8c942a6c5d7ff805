"""Where a server listens, and what it demands of those who call: loopback by default, a token anywhere else."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from steelyard.errors import UsageError

VARIABLE = "STEELYARD_TOKEN"
SHORTEST_TOKEN = 16
LARGEST_TOKEN_FILE = 4096
BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_of(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that clients must send; None: none was told. Raises UsageError for one that is too short to be one."""
    token = environment.get(VARIABLE, "")
    where = VARIABLE
    if file is not None:
        where = str(file)
        try:
            with file.open("rb") as opened:
                token = opened.read(LARGEST_TOKEN_FILE).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"no token can be read from {file}: {error}") from error
    if not token and file is None:
        return None
    if len(token) < SHORTEST_TOKEN or not all("!" <= c <= "~" for c in token):
        raise UsageError(
            f"the token in {where} must have at least {SHORTEST_TOKEN} characters, all printable ASCII without spaces",
            "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


def check_reach(host: str, token: str | None) -> None:
    """Refuse to be reachable from elsewhere without a token."""
    if not is_loopback(host) and token is None:
        raise UsageError(
            f"{host} can be reached from other machines, and no token is set",
            f"set {VARIABLE} (or --token-file) to what clients shall send as 'Authorization: Bearer …', "
            "or listen on 127.0.0.1",
        )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises UsageError when the port is in use, or the address is not this machine's."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _cannot(host, port, error) from error
    except OverflowError:
        raise UsageError(f"{port} is not a port", "ports go from 0 (any that is free) to 65535") from None
    opened.setblocking(False)
    return opened


def _cannot(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"port {port} on {host} is in use", "choose another with --port, or end what listens there")
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} may not be used by this user", "choose one above 1023 with --port")
    return UsageError(f"cannot listen on {host}, port {port}: {error.strerror or error}", "say another --host")
