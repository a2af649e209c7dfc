"""Whether what Codex sends to the recorder goes to somebody else first: a proxy that the environment names.

Owns reading those variables as Codex does. Does not own what to do about it.
Invariant: the address of a proxy, in which a password may stand, is never told.
"""

import contextlib
import ipaddress
from collections.abc import Mapping

__all__ = ["detour"]


def detour(environ: Mapping[str, str], host: str) -> str | None:
    """The variable that makes Codex send requests for `host` over http to a proxy, which then reads the login in them;
    None: they go straight there.
    """
    asked = [_first(environ, "HTTP_PROXY", "http_proxy"), _first(environ, "ALL_PROXY", "all_proxy")]
    if "REQUEST_METHOD" in environ:  # a program that a web server started: there a client could have set it
        asked = asked[1:]
    named = next((name for name in asked if name and environ[name].strip()), None)
    return None if named is None or _is_exempt(environ, host) else named


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    """The one that counts: the first that is set, even to nothing."""
    return next((name for name in names if name in environ), None)


def _is_exempt(environ: Mapping[str, str], host: str) -> bool:
    listed = environ[name] if (name := _first(environ, "NO_PROXY", "no_proxy")) else ""
    entries = [entry.strip() for entry in listed.split(",")]
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        return any(_covers(entry, address) for entry in entries)
    return any(entry == "*" or (entry and f".{host}".endswith(f".{entry.lstrip('.')}")) for entry in entries)


def _covers(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an entry names an address; `*` and `localhost` do not, and neither does one with a port."""
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
