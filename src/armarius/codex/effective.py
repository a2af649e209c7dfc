"""What of its configuration Codex really goes by, and where each key comes from, as Codex itself says.

Owns asking: an app-server tells every key with its layer, `codex features list` every flag. Does not own what is
right.
Invariant: no model is asked, and no program of a configuration is started. A value that may be a secret is not told:
neither what is handed to other programs, nor headers, nor anything that looks like one.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from armarius.codex.app_server import Server
from armarius.codex.command import ExecRequest, overrides_of
from armarius.codex.protocol import Method, Wire
from armarius.errors import HostError
from armarius.programs import run
from armarius.redact import redact
from armarius.thread import Sandbox

__all__ = ["CONFIG_READ", "Feature", "Setting", "features_of", "settings_of"]

_PATIENCE_S = 30.0
_HIDDEN: Final = "(not shown)"
_SECRET = re.compile(
    r"(?:^|\.)(?:env|http_headers|query_params|bearer_token|experimental_bearer_token|set|headers)(?:\.|$)"
)
_ROW = re.compile(r"^(?P<name>[a-z0-9_.]+)\s{2,}(?P<stage>\S.*?)\s{2,}(?P<on>true|false)\s*$")
_STATED = frozenset(overrides_of(ExecRequest("", "/", Sandbox.READ_ONLY, "", effort="low", service_tier="flex")))
MATTERS: Final = {
    "hooks": "without it Codex runs none of our hooks, and states come from elsewhere",
    "shell_tool": "without it an agent runs no command",
    "unified_exec": "commands go on beside the agent, and are killed at the end of a run",
    "unbounded_connection_retries": "an unreachable provider is tried for ever; runs switch it off",
    "goals": "a thread may go on by itself, turn after turn",
    "multi_agent": "agents may start agents, whose tokens count as well",
    "memories": "what one session learns reaches others",
    "plugins": "Codex looks up hosts of the vendor when it starts",
    "code_mode_only": "commands run inside of scripts; rollouts show the scripts",
    "guardian_approval": "a model may be asked in place of a person",
    "exec_permission_approvals": "a command may ask for more than its sandbox allows",
    "request_permissions_tool": "an agent may ask for more rights",
    "network_proxy": "what the sandbox lets out goes through a proxy of Codex's",
    "background_paginated_rollout_migration": "session files of older threads are rewritten",
}
"""The flags by which runs, their record or what is asked of a person change."""


class Setting(msgspec.Struct, frozen=True):
    """A key that some layer sets: the value that counts, as JSON, and where it comes from.

    `under` are layers whose value does not count. `is_stated`: a run of Armarius states its own.
    """

    key: str
    value: str
    origin: str
    where: str
    under: tuple[str, ...] = ()
    is_stated: bool = False


class Feature(msgspec.Struct, frozen=True):
    """A flag of Codex's: how far along it is, whether it is on, and why that matters here."""

    name: str
    stage: str
    is_on: bool
    why: str


class _Ask(Wire, frozen=True):
    cwd: str
    include_layers: bool


class _Layer(Wire, frozen=True):
    name: dict[str, Any]
    config: Any = None
    disabled_reason: str | None = None


class _Told(Wire, frozen=True):
    layers: tuple[_Layer, ...] | None = None


CONFIG_READ = Method("config/read", _Ask, _Told)


def settings_of(program: Path, environ: Mapping[str, str], cwd: Path) -> tuple[Setting, ...]:
    """Every key that a layer sets for work in `cwd`, in order; `environ` is the whole environment of Codex."""
    with Server(program, environ=environ, cwd=cwd) as server:
        told = server.call(CONFIG_READ, _Ask(str(cwd), include_layers=True), deadline_s=_PATIENCE_S)
    if told.layers is None:
        raise HostError("codex-config", f"{program} does not tell its layers", "use a newer Codex")
    found: dict[str, list[tuple[str, str, Any]]] = {}
    for layer in told.layers:  # the strongest first
        origin = str(layer.name.get("type", "unknown"))
        if origin == "sessionFlags" or layer.disabled_reason is not None:  # ours, for the asking; not trusted
            continue
        where = str(layer.name.get("file") or layer.name.get("dotCodexFolder") or origin)
        for key, value in _leaves(layer.config):
            found.setdefault(key, []).append((origin, where, value))
    return tuple(_setting(key, found[key]) for key in sorted(found))


def features_of(program: Path, environ: Mapping[str, str], cwd: Path) -> tuple[Feature, ...]:
    """The flags that matter, as they would be for a run in `cwd`."""
    done = run([str(program), "features", "list"], cwd=cwd, environ=environ, timeout=_PATIENCE_S)
    if done.code != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise HostError("codex-features", f"codex lists no features: {redact(said)}", "see `codex features list`")
    rows = (_ROW.match(line) for line in done.stdout.decode(errors="replace").splitlines())
    return tuple(
        Feature(row["name"], row["stage"], row["on"] == "true", MATTERS[row["name"]])
        for row in rows
        if row is not None and row["name"] in MATTERS
    )


def _leaves(value: Any, above: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(above, value)] if above else []
    table = cast("dict[str, Any]", value)
    return [leaf for key, inner in table.items() for leaf in _leaves(inner, f"{above}.{key}" if above else key)]


def _setting(key: str, said: list[tuple[str, str, Any]]) -> Setting:
    origin, where, value = said[0]
    hidden = _SECRET.search(key) is not None
    shown = _HIDDEN if hidden else redact(f"{key}={json.dumps(value, ensure_ascii=False)}").partition("=")[2]
    under = tuple(one[1] for one in said[1:])
    return Setting(redact(key), shown or _HIDDEN, origin, where, under, key in _STATED or key == "sandbox_mode")
