"""Whether the recorder, its profile, its journal and Codex's login fit together.

Owns the checks, and asking a running recorder. Does not own any of the parts.
Invariant: nothing is changed, and nobody is asked but the recorder on loopback.
"""

import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from armarius.codex.home import read_login
from armarius.errors import ArmariusError
from armarius.install.detour import detour
from armarius.install.profile import PROFILE, Profile, read_token, serve_command
from armarius.lanes.billing import billing_of
from armarius.recorder.access import TOKEN_HEADER, parse_listen
from armarius.recorder.asking import ask_state
from armarius.recorder.journal import why_unwritable
from armarius.recorder.state import ProxyState
from armarius.settings import Settings

__all__ = ["ProxyDiagnosis", "ProxyFinding", "ProxyStatus", "examine", "status_of"]


class ProxyStatus(msgspec.Struct, frozen=True):
    """What `armarius proxy status` answers (`armarius.proxy_status.v1`). `state` None: nothing answers."""

    profile: str
    base_url: str | None
    state: ProxyState | None
    schema: str = "armarius.proxy_status.v1"


class ProxyFinding(msgspec.Struct, frozen=True):
    """One check, and the way out when it is not `ok`."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    hint: str = ""


class ProxyDiagnosis(msgspec.Struct, frozen=True):
    """What `armarius proxy doctor` answers (`armarius.proxy_doctor.v1`)."""

    findings: tuple[ProxyFinding, ...]
    failed: bool
    schema: str = "armarius.proxy_doctor.v1"


def status_of(settings: Settings) -> ProxyStatus:
    """What is installed in the CODEX_HOME of `settings`, and what runs there."""
    path = settings.codex_home / f"{PROFILE}.config.toml"
    provider = _provider(path)
    base = provider.base_url
    is_here = base is not None and _is_here(base)
    state = ask_state(base, provider.http_headers.get(TOKEN_HEADER, "")) if base and is_here else None
    return ProxyStatus(str(path), base, state)


def examine(settings: Settings) -> ProxyDiagnosis:
    """Every check, in the order in which somebody would mend things."""
    status = status_of(settings)
    findings = (
        _profile(settings, status),
        _billing(settings, status),
        _login(settings),
        _way(settings, status),
        _running(status),
        _journal(settings, status),
        _legacy(settings),
    )
    return ProxyDiagnosis(findings, any(finding.verdict == "fail" for finding in findings))


def _is_here(base_url: str) -> bool:
    """Whether an address is one that a recorder could have."""
    try:
        parse_listen(urlsplit(base_url).netloc)
    except (ArmariusError, ValueError):
        return False
    return True


class _Provider(msgspec.Struct):
    base_url: str | None = None
    http_headers: dict[str, str] = {}


class _ProfileFile(msgspec.Struct):
    model_providers: dict[str, _Provider] = {}


def _provider(path: Path) -> _Provider:
    """The provider of the profile; an empty one where there is no such file, or somebody else's."""
    try:
        said = msgspec.convert(tomllib.loads(path.read_text()), _ProfileFile)
    except (OSError, ValueError, RecursionError):  # also what is no TOML, and what has other types
        return _Provider()
    return said.model_providers.get(PROFILE, _Provider())


def _profile(settings: Settings, status: ProxyStatus) -> ProxyFinding:
    if status.base_url is None:
        return ProxyFinding("profile", "fail", f"no profile at {status.profile}", "run `armarius proxy install`")
    if not _is_here(status.base_url):
        found = f"{status.profile} leads to {status.base_url}, where no recorder can be"
        return ProxyFinding("profile", "fail", found, "run `armarius proxy install`")
    mode = Path(status.profile).stat().st_mode & 0o077
    if mode:
        return ProxyFinding("profile", "warn", "others can read its token", f"chmod 600 {status.profile}")
    path = settings.recorder / "token"
    try:
        token = read_token(path) if path.exists() else None
    except ArmariusError as error:
        return ProxyFinding("profile", "fail", error.message, error.hint)
    if token is None or token != _provider(Path(status.profile)).http_headers.get(TOKEN_HEADER):
        return ProxyFinding("profile", "fail", "its token is not the recorder's", "run `armarius proxy install`")
    return ProxyFinding("profile", "ok", f"{status.profile} leads to {status.base_url}")


def _billing(settings: Settings, status: ProxyStatus) -> ProxyFinding:
    if status.base_url is None:
        return ProxyFinding("billing", "warn", "no profile to look at", "run `armarius proxy install`")
    try:
        billing = billing_of(settings, settings.codex_home, profile=PROFILE)
    except ArmariusError as error:
        return ProxyFinding("billing", "fail", error.message, error.hint)
    for objection in billing.objections:
        return ProxyFinding("billing", "fail", objection.message, objection.hint)
    return ProxyFinding("billing", "ok", f"pays: {billing.plan}, through {billing.base_url}")


def _login(settings: Settings) -> ProxyFinding:
    try:
        login = read_login(settings.codex_home, store="file")
    except ArmariusError as error:
        return ProxyFinding("login", "fail", error.message, error.hint)
    if login.mode == "none":
        return ProxyFinding("login", "warn", "Codex has no login of its own here", "run `codex login`")
    return ProxyFinding("login", "ok", f"{login.mode}; it passes through and is stored nowhere")


def _way(settings: Settings, status: ProxyStatus) -> ProxyFinding:
    host = urlsplit(status.base_url or "").hostname or ""
    name = detour(settings.environ, host) if host else None
    if name is not None:
        found = f"{name} sends requests for {host}, and the login in them, to a proxy"
        return ProxyFinding("way", "fail", found, f"put {host} into NO_PROXY where codex is started")
    return ProxyFinding("way", "ok", "no proxy of this environment is between Codex and the recorder")


def _running(status: ProxyStatus) -> ProxyFinding:
    if status.state is None:
        where = status.base_url or "its address"
        command = serve_command(status.base_url) if status.base_url else "armarius proxy serve"
        return ProxyFinding("recorder", "fail", f"nothing answers at {where}", f"run `{command}`")
    return ProxyFinding("recorder", "ok", f"process {status.state.pid}, {status.state.requests} requests")


def _journal(settings: Settings, status: ProxyStatus) -> ProxyFinding:
    state = status.state
    if state is not None and state.unrecorded:
        found = f"{state.unrecorded} exchanges lost. {state.trouble}"
        return ProxyFinding("journal", "fail", found, "free space, or set ARMARIUS_HOME to another disk")
    folder = settings.recorder / "journal"
    if (trouble := why_unwritable(folder)) is not None:
        return ProxyFinding("journal", "fail", trouble, "move it away, or change its owner or mode")
    if state is not None and state.journal is None:
        return ProxyFinding("journal", "warn", "it records nothing (--record off)", "start it with --record on")
    return ProxyFinding("journal", "ok", str(folder))


def _legacy(settings: Settings) -> ProxyFinding:
    try:
        profile = Profile(settings.codex_home, settings.recorder)
        is_hindered, legacy = profile.is_hindered(), profile.legacy()
    except ArmariusError as error:
        return ProxyFinding("leftovers", "fail", error.message, error.hint)
    if is_hindered:
        found = f"of ours in {settings.codex_home / 'config.toml'}, with which Codex refuses the profile"
        return ProxyFinding("leftovers", "fail", found, "run `armarius proxy install`")
    if legacy:
        return ProxyFinding(
            *("leftovers", "warn", f"of SkillClaw in {', '.join(legacy)}"),
            "run `armarius proxy install --remove-skillclaw`",
        )
    return ProxyFinding("leftovers", "ok", "none")
