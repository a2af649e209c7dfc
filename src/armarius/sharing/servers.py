"""The MCP servers that a run cannot do without.

Owns refusing a run whose Codex would not have one. Does not own asking Codex (codex/mcp.py).
Invariant: it is asked as the run would be, by the same program, home, profile, folder and environment; a
server that is configured and does not answer is not there.
"""

from collections.abc import Mapping
from pathlib import Path

from armarius.codex.app_server import environ_for
from armarius.errors import HostError
from armarius.resources.needs import parse_needs
from armarius.runs.request import RunRequest

__all__ = ["check_servers"]


def check_servers(request: RunRequest, program: Path, environ: Mapping[str, str]) -> None:
    """HostError for a server that is needed and that the run would not see; nothing is started without a need."""
    wanted = [need.server for need in parse_needs(request.needs) if need.server is not None]
    if not wanted:
        return
    from armarius.codex.mcp import mcp_servers  # slow to load, and most runs need none

    home = Path(request.codex_home)
    there = mcp_servers(program, home, environ_for(home, environ), Path(request.cwd), profile=request.profile)
    seen = {server.name: server for server in there}
    missing = {name: "not configured" for name in wanted if name not in seen}
    missing |= {name: seen[name].trouble or "" for name in wanted if name in seen and not seen[name].is_visible}
    if missing:
        said = "; ".join(f"{name}: {trouble}" for name, trouble in missing.items())
        raise HostError("mcp-missing", f"the run needs MCP servers that Codex would not have: {said}", _WAY_OUT)


_WAY_OUT = "see `armarius doctor mcp`, with the --lane and --profile of the run"
