"""Who would be billed for a run, and what speaks against it.

Owns the decision, as a pure function of what was read: the login, every layer of configuration, the
caller's environment. Does not own reading any of it (home.py, layers.py, login.py).
Invariant: a `chatgpt` run is refused unless every fact says that the ChatGPT plan pays: what is not
known refuses. Every fact of the answer names the file or variable it comes from; no value that may be
a secret is part of it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from armarius.codex.dotenv import DOTENV
from armarius.codex.home import Login
from armarius.codex.layers import MONEY, Layer
from armarius.errors import HostError, Refused

__all__ = ["LOGGED_IN", "Because", "Billing", "Case", "Kind", "Objection", "bill", "hold", "is_recorder_profile"]

LOGGED_IN = "Logged in using ChatGPT"
"""The whole of what `codex login status` says about a login that a plan pays for."""

RECORDER = "armarius"
"""The profile of our own recorder, and the provider in it."""

Kind = Literal["chatgpt", "api"]

_BUILT_IN = "openai"
_NOT_LOGGED_IN = "Not logged in"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_RECORDER_KEYS = frozenset(
    {
        *("name", "base_url", "wire_api", "requires_openai_auth", "supports_websockets"),
        *("stream_idle_timeout_ms", "request_max_retries", "stream_max_retries", "http_headers"),
    }
)
_RECORDER_HEADERS = frozenset({"x-armarius-token"})
_PLACE = ("/v1", "", "")
_UNSET = "unset {names}, or let Armarius drop such variables with `drop_keys = true` in your config.toml"


class Case(msgspec.Struct, frozen=True):
    """Everything that was read. `kind` is None for the caller's own home, which has no lane to say it.

    `status` is what `codex login status` said, None when it was not asked. `ambient` are names of
    variables that the caller has set; `drop_keys` says that the caller wants them dropped. `dotenv` are such names
    that Codex sets itself, from `.env` in its home.
    """

    home: str
    login: Login
    layers: tuple[Layer, ...] = ()
    kind: Kind | None = None
    status: str | None = None
    ambient: tuple[str, ...] = ()
    drop_keys: bool = False
    dotenv: tuple[str, ...] = ()


class _Keys(msgspec.Struct):
    env_key: str | None = None
    env_http_headers: dict[str, str] = {}


class _OfRecorder(msgspec.Struct, forbid_unknown_fields=True):
    model_provider: str
    model_providers: dict[str, dict[str, Any]]


class Because(msgspec.Struct, frozen=True):
    """One fact: what, its value, and the file or variable it was found in."""

    fact: str
    value: str
    where: str


class Objection(msgspec.Struct, frozen=True):
    """Why a run may not start. `exit_code` is 4 where the login is lacking and 5 where policy forbids it."""

    code: str
    message: str
    hint: str
    exit_code: Literal[4, 5] = 5


class Billing(msgspec.Struct, frozen=True):
    """What would be billed, and why. `plan` is `chatgpt`, `api` (a key of OpenAI), `provider` (somebody
    else, with `key_variables`) or `nobody`, when there is no login.
    """

    home: str
    kind: Kind
    plan: Literal["chatgpt", "api", "provider", "nobody"]
    provider: str
    base_url: str | None
    key_variables: tuple[str, ...]
    because: tuple[Because, ...]
    objections: tuple[Objection, ...]


def hold(billing: Billing) -> None:
    """Refuse what there are objections to: HostError when the login is lacking, else Refused."""
    for found in billing.objections:
        kind = HostError if found.exit_code == HostError.exit_code else Refused
        raise kind(found.code, found.message, found.hint)


def bill(case: Case) -> Billing:
    """The decision. Objections come in the order in which somebody would mend them."""
    owners = [layer for layer in case.layers if layer.origin in ("system", "user", "managed", "requirements")]
    kind = case.kind or ("chatgpt" if _is_plan(case.login, _effective(owners)) else "api")
    settings = _effective(case.layers)
    provider = _text(settings, "model_provider") or _BUILT_IN
    table = _provider_table(case.layers, provider)
    recorded = provider == RECORDER and any(_is_recorder(layer) for layer in case.layers)
    by_mode: dict[str, Literal["chatgpt", "api", "nobody"]] = {
        "api_key": "api",
        "chatgpt": "chatgpt",
        "keyring": "chatgpt",
        "none": "nobody",
    }
    base = table.get("base_url", settings.get("openai_base_url", ("", ""))[0] if provider == _BUILT_IN else None)
    plan = by_mode[case.login.mode] if provider == _BUILT_IN or recorded else "provider"
    # Whoever sends Codex elsewhere may well need no login there, such as for a model on loopback.
    is_openai = plan != "provider" and not base
    return Billing(
        home=case.home,
        kind=kind,
        plan=plan,
        provider=provider,
        base_url=_shown(base) if base else None,
        key_variables=_key_variables(table),
        because=tuple(_because(case, settings, provider)),
        objections=tuple(_objections(case, kind, needs_login=is_openai)),
    )


def _is_plan(login: Login, settings: dict[str, tuple[Any, str]]) -> bool:
    return login.mode in ("chatgpt", "keyring") and (_text(settings, "model_provider") or _BUILT_IN) == _BUILT_IN


def _effective(layers: "tuple[Layer, ...] | list[Layer]") -> dict[str, tuple[Any, str]]:
    """The strongest value of each setting, with where it stands; `profiles` and the like are not merged."""
    return {key: (value, layer.where) for layer in layers for key, value in layer.said.items()}


def _text(settings: dict[str, tuple[Any, str]], key: str) -> str | None:
    value = settings.get(key, (None, ""))[0]
    return str(value).strip("\"'") if value is not None else None


def _provider_table(layers: tuple[Layer, ...], provider: str) -> dict[str, Any]:
    merged = dict[str, Any]()
    for layer in layers:
        merged |= layer.providers.get(provider, {})
    return merged


def _key_variables(table: dict[str, Any]) -> tuple[str, ...]:
    try:
        said = msgspec.convert(table, _Keys)
    except msgspec.ValidationError:
        return ()  # Codex will not take such a provider
    return (*filter(None, [said.env_key]), *said.env_http_headers.values())


def _shown(url: object) -> str:
    """An address without what may be a secret in it: user, password, query."""
    try:
        parts = urlsplit(str(url).strip("\"'"))
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(no address)"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


# ---------------------------------------------------------------- why


def _because(case: Case, settings: dict[str, tuple[Any, str]], provider: str) -> Iterator[Because]:
    where = f"{case.home}/auth.json"
    if case.login.mode == "keyring":
        where = settings.get("cli_auth_credentials_store", ("", where))[1]
    yield Because("login", case.login.mode, where)
    if case.status is not None:
        yield Because("login status", case.status, "codex login status")
    yield Because("provider", provider, settings["model_provider"][1] if "model_provider" in settings else "built in")
    for layer in case.layers:
        table = layer.providers.get(provider, {})
        if "base_url" in table:
            yield Because("base URL", _shown(table["base_url"]), layer.where)
        for name in _key_variables(table):
            yield Because("key variable", name, layer.where)
        for key in ("openai_base_url", "chatgpt_base_url"):
            if key in layer.said:
                yield Because(key, _shown(layer.said[key]), layer.where)
        for key in ("forced_login_method", "preferred_auth_method", "cli_auth_credentials_store"):
            if key in layer.said:
                yield Because(key, str(layer.said[key]), layer.where)
    for name in case.ambient:
        yield Because("variable", "set; it does not reach Codex", name)


# ---------------------------------------------------------------- what speaks against it


def _objections(case: Case, kind: Kind, *, needs_login: bool) -> Iterator[Objection]:
    if kind == "chatgpt" and case.ambient and not case.drop_keys:
        names = " and ".join(case.ambient)
        yield Objection(
            "ambient-key",
            f"{names} is set beside a ChatGPT login in {case.home}; Codex could bill the key instead",
            _UNSET.format(names=names),
        )
    if kind == "chatgpt" and case.dotenv:
        what = f"{case.home}/{DOTENV} sets {' and '.join(case.dotenv)}, which reaches Codex and could be billed"
        yield Objection("dotenv-key", what, "take it out of there; a plan needs none")
    yield from _about_login(case, kind)
    for layer in case.layers:
        yield from _about_layer(layer, kind, is_lane=case.kind is not None)
    lacks = case.status == _NOT_LOGGED_IN
    if (kind == "chatgpt" and case.status not in (None, LOGGED_IN)) or (needs_login and lacks):
        yield Objection(
            "login-missing" if lacks else "login-status",
            f"`codex login status` in {case.home} says {case.status!r}"
            + (f" and not {LOGGED_IN!r}" if kind == "chatgpt" else ""),
            _log_in(case),
            4 if lacks else 5,
        )


def _about_login(case: Case, kind: Kind) -> Iterator[Objection]:
    login, file = case.login, f"{case.home}/auth.json"
    is_lane = case.kind is not None
    if is_lane and "link" in login.flaws:
        yield Objection("login-link", f"{file} is a link; a lane's login lies in the lane", _log_in(case))
    if is_lane and "exposed" in login.flaws:
        yield Objection("login-exposed", f"others may read or write {file}", f"chmod 600 {file}, or log in again")
    if login.mode == "keyring" and (is_lane or kind == "chatgpt"):
        yield Objection(
            "login-keyring",
            f"the login of {case.home} lies in a keyring, where nobody can see whom it bills",
            'set cli_auth_credentials_store = "file" in its config.toml and run `codex login` again',
            4,
        )
    elif login.mode == "none" and is_lane:
        yield Objection("login-missing", f"there is no login in {case.home}", _log_in(case), 4)
    elif kind == "chatgpt" and login.mode == "api_key":
        yield Objection("login-api-key", f"the login in {file} is an API key, not a ChatGPT plan", _log_in(case))
    elif kind == "chatgpt" and login.mode == "chatgpt" and login.stated != "chatgpt":
        said = "no mode" if login.stated is None else f"the mode {login.stated!r}"
        yield Objection("login-mode", f"{file} states {said} and not 'chatgpt'", _log_in(case))
    elif case.kind == "api" and login.mode == "chatgpt":
        yield Objection("login-plan", f"the login in {file} is an account, and the lane is for a key", _log_in(case))


def _log_in(case: Case) -> str:
    return "run `codex login`" if case.kind is None else "run `armarius lanes login`"


def _about_layer(layer: Layer, kind: Kind, *, is_lane: bool) -> Iterator[Objection]:
    """What a layer may not say: a project and a `-c` nothing about money, the owner's files nothing that
    would take a plan's place.
    """
    if layer.origin == "profile" and _is_recorder(layer):
        return
    strict = layer.origin in ("project", "override") or (layer.origin == "profile" and kind == "chatgpt")
    for key, value in layer.said.items():
        if strict or ((kind == "chatgpt" or is_lane) and _takes_its_place(key, value, kind)):
            yield Objection(
                f"{layer.origin}-config",
                f"{layer.where} sets `{key}`, which could change who is billed",
                "take it out of there" if layer.origin == "override" else f"take it out, or do not use {layer.where}",
            )


def _takes_its_place(key: str, value: Any, kind: Kind) -> bool:
    match key:
        case "model_provider":
            return value != _BUILT_IN and kind == "chatgpt"
        case "openai_base_url" | "chatgpt_base_url":
            return kind == "chatgpt"
        case "forced_login_method":
            return value != kind
        case "preferred_auth_method":
            return value != {"chatgpt": "chatgpt", "api": "apikey"}[kind]
        case "allowed_login_methods":
            return not isinstance(value, list) or kind not in value
        case "model_providers":
            return not isinstance(value, dict) or _BUILT_IN in value or RECORDER in value
        case "profile":
            return True
        case _:
            return False


def _is_recorder(layer: Layer) -> bool:
    """Whether a layer is the profile of the recorder."""
    return layer.where.endswith(f"/{RECORDER}.config.toml") and is_recorder_profile(layer.said)


def is_recorder_profile(table: Mapping[str, Any]) -> bool:
    """Whether what a file says about money is what the recorder's profile says, and no more: a proxy on loopback
    that Codex's own login goes through.
    """
    try:
        said = msgspec.convert({key: value for key, value in table.items() if key in MONEY}, _OfRecorder)
    except msgspec.ValidationError:
        return False
    if said.model_provider != RECORDER or said.model_providers.keys() != {RECORDER}:
        return False
    table = said.model_providers[RECORDER]
    if not table.keys() <= _RECORDER_KEYS:
        return False
    headers = table.get("http_headers", {})
    if not isinstance(headers, dict) or not headers.keys() <= _RECORDER_HEADERS:
        return False
    return table.get("requires_openai_auth") is True and _is_on_loopback(table.get("base_url"))


def _is_on_loopback(url: object) -> bool:
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    rest = (parts.path, parts.query, parts.fragment)
    return parts.scheme == "http" and host in _LOOPBACK and bool(port) and parts.username is None and rest == _PLACE
