"""A typed request as the argv, environment and prompt of one `codex exec`.

Owns every flag and configuration key that is passed to codex. Does not own starting it.
Invariant: sandbox, approval, network, writable roots and directory are stated on every attempt,
never left to configuration or trust; the environment is built from an allow-list; the prompt goes
through standard input, so it can never be read as a flag and does not show in a process list; what
the provider needs (its key) reaches codex and never the commands that codex runs.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import tomli_w

from armarius.codex.binary import Binary
from armarius.thread import Sandbox

__all__ = ["ALLOWED_ENVIRON", "ExecRequest", "argv_of", "environ_of", "toml_value"]

ALLOWED_ENVIRON = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM",
    "CODEX_HOME", "CODEX_SQLITE_HOME",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""What of the owner's environment reaches codex, besides `LC_*`. No key, no loader variable."""


class ExecRequest(msgspec.Struct, frozen=True):
    """One `codex exec`. Paths are absolute; `tools_path` is the PATH its commands see.

    `extra_environ` holds what the owner's own configuration names (a provider's key variable).
    `lean` switches off what a replay does not need: plugins, analytics, endless reconnection.
    """

    prompt: str
    cwd: str
    sandbox: Sandbox
    tools_path: str
    model: str | None = None
    effort: str | None = None
    schema_file: str | None = None
    ephemeral: bool = False
    lean: bool = False
    thread_source: str | None = None
    extra_environ: dict[str, str] = {}


def argv_of(request: ExecRequest, binary: Binary) -> tuple[str, ...]:
    """The whole command line; a value is one word with its flag, so that none can be read as another flag."""
    # A rule that allows a command, the owner's or a trusted project's, lets it run outside the sandbox.
    argv = [binary.path, "exec", "--json", "--color=never", "--skip-git-repo-check", "--ignore-rules"]
    argv += [f"--sandbox={request.sandbox.flag}", f"--cd={request.cwd}"]
    if request.model is not None:
        argv += [f"--model={request.model}"]
    if request.schema_file is not None:
        argv += [f"--output-schema={request.schema_file}"]
    if request.ephemeral:
        argv += ["--ephemeral"]
    if request.thread_source is not None:
        argv += [f"--thread-source={request.thread_source}"]
    argv += [f"--config={key}={toml_value(value)}" for key, value in _overrides(request).items()]
    return (*argv, "-")


def _overrides(request: ExecRequest) -> dict[str, "str | bool | list[str]"]:
    overrides: dict[str, str | bool | list[str]] = {
        "approval_policy": "never",
        # Without these three the owner's config.toml could widen a workspace-write run.
        "sandbox_workspace_write.network_access": False,
        "sandbox_workspace_write.writable_roots": [],
        # Armarius's own state may lie below /tmp on odd machines; TMPDIR is private to the run.
        "sandbox_workspace_write.exclude_slash_tmp": True,
        # The profile of a login shell resets PATH, and whether codex restores it is a race that the
        # first command of a run may lose.
        "allow_login_shell": False,
        "shell_environment_policy.set.PATH": request.tools_path,
        # An unreachable provider would be retried for ever; the deadline alone would end it.
        "features.unbounded_connection_retries": False,
    }
    # Codex hands its environment on to commands, and writes it to a file for its shells.
    for name in sorted(request.extra_environ.keys() - ALLOWED_ENVIRON):
        overrides[f"shell_environment_policy.set.{name}"] = ""
    if request.effort is not None:
        overrides["model_reasoning_effort"] = request.effort
    if request.lean:
        overrides |= {
            "analytics.enabled": False,
            "features.plugins": False,
            "skills.bundled.enabled": False,
        }
    return overrides


def environ_of(request: ExecRequest, ambient: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """The environment of codex: the allow-list, a private TMPDIR, and what the owner named."""
    environ = {name: value for name, value in ambient.items() if name in ALLOWED_ENVIRON or name.startswith("LC_")}
    return environ | request.extra_environ | {"PATH": request.tools_path, "TMPDIR": str(temporary)}


def toml_value(value: "str | bool | list[str]") -> str:
    """A value as TOML, for `--config key=value`."""
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
