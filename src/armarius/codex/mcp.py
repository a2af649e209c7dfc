"""Which MCP servers a Codex would give a run, as Codex itself finds out.

Owns asking: an app-server starts every server that is configured, as a run would, and says what each of them
offers; no model is asked, so it costs nothing. Does not own who needs one.
Invariant: a server is visible when it has said hello to Codex and its tools were listed; that it is configured
proves nothing.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from armarius.codex.app_server import Server
from armarius.codex.config_file import read_config
from armarius.codex.protocol import Method, Wire
from armarius.files import private_folder

__all__ = ["MCP_STATUS", "McpServer", "mcp_servers", "mcp_visible"]

_PATIENCE_S = 60.0
_MOST_PAGES = 100
_LOGINS = ("auth.json", ".credentials.json")


class McpServer(msgspec.Struct, frozen=True):
    """One server. `trouble` says why it is not visible; `tools` are what it offers."""

    name: str
    is_visible: bool
    tools: tuple[str, ...] = ()
    trouble: str | None = None


class _Ask(Wire, frozen=True):
    cursor: str | None = None


class _Info(Wire, frozen=True):
    name: str


class _Told(Wire, frozen=True):
    name: str
    auth_status: str
    tools: dict[str, Any]
    server_info: _Info | None = None
    tools_error: str | None = None


class _Page(Wire, frozen=True):
    data: tuple[_Told, ...]
    next_cursor: str | None = None


MCP_STATUS = Method("mcpServerStatus/list", _Ask, _Page)


def mcp_servers(
    program: Path,
    codex_home: Path,
    environ: Mapping[str, str],
    cwd: Path,
    *,
    profile: str | None = None,
    patience_s: float = _PATIENCE_S,
) -> tuple[McpServer, ...]:
    """Every server that a run in `cwd` would have, by name; each was started and is gone again.

    `environ` is the whole environment of Codex but for its home. A profile has passed its check before.
    """
    if profile is None:
        return _asked(program, codex_home, environ, cwd, patience_s)
    # An app-server takes no profile: it gets a home in which the profile is part of the configuration.
    with tempfile.TemporaryDirectory(prefix="mcp-", dir=private_folder(codex_home / "tmp")) as name:
        home = Path(name)
        whole = _joined(read_config(codex_home / "config.toml"), read_config(codex_home / f"{profile}.config.toml"))
        (home / "config.toml").write_text(tomli_w.dumps(whole))
        for login in _LOGINS:
            if (codex_home / login).exists():
                (home / login).symlink_to(codex_home / login)
        return _asked(program, home, environ, cwd, patience_s)


def mcp_visible(
    program: Path,
    codex_home: Path,
    environ: Mapping[str, str],
    cwd: Path,
    name: str,
    *,
    profile: str | None = None,
) -> McpServer:
    """The server of that name, visible or with the reason why it is not."""
    servers = mcp_servers(program, codex_home, environ, cwd, profile=profile)
    known = ", ".join(server.name for server in servers) or "none"
    missing = McpServer(name, is_visible=False, trouble=f"no server of that name is configured; there is: {known}")
    return next((server for server in servers if server.name == name), missing)


def _asked(
    program: Path, codex_home: Path, environ: Mapping[str, str], cwd: Path, patience_s: float
) -> tuple[McpServer, ...]:
    told = list[_Told]()
    with Server(program, environ=dict(environ) | {"CODEX_HOME": str(codex_home)}, cwd=cwd) as server:
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = server.call(MCP_STATUS, _Ask(cursor), deadline_s=patience_s)
            told += page.data
            cursor = page.next_cursor
            if cursor is None:
                break
    return tuple(sorted(map(_server, told), key=lambda server: server.name))


def _server(told: _Told) -> McpServer:
    trouble = told.tools_error
    if trouble is None and told.server_info is None:
        trouble = "it needs a login" if told.auth_status == "notLoggedIn" else "it is switched off or said nothing"
    return McpServer(told.name, trouble is None, tuple(sorted(told.tools)), trouble)


def _joined(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One configuration over another one, table by table, as Codex lays a profile over the rest."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = _joined(under, value) if isinstance(under, dict) and isinstance(value, dict) else value  # type: ignore[reportUnknownArgumentType]
    return both
