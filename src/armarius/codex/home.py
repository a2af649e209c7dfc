"""Which login and provider a CODEX_HOME holds, and private homes made from it.

Owns reading `auth.json` (mode and expiry, never a token) and `config.toml` (provider, model), and
the layout of a private home. Does not own logging in.
Invariant: a private home carries nothing of its owner but the provider, the model and a link to
the login. The login is linked and never copied: a copy would leave one of the two with a spent
refresh token.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from armarius.codex.config_file import read_config
from armarius.errors import DataError, HostError
from armarius.files import private_folder, read_bounded, write_atomic

__all__ = ["Login", "Owner", "check_fresh", "make_private_home", "read_login", "read_owner"]

_CONFIG = "config.toml"
_AUTH = "auth.json"
_LARGEST = 1 << 20
_BUILT_IN_KEYS = ("openai_base_url", "chatgpt_base_url")
_KEY_MODES = frozenset({"apikey", "bedrockApiKey", "bedrockAccessKeys"})


class Login(msgspec.Struct, frozen=True):
    """How codex would authenticate. `expires_at_us` is known for `chatgpt` alone.

    `mode` is what Codex makes of the file, `stated` what stands in it. `flaws`: it is a `link`, or
    `exposed` to other users.
    """

    mode: Literal["chatgpt", "api_key", "keyring", "none"]
    expires_at_us: int | None = None
    stated: str | None = None
    flaws: tuple[Literal["link", "exposed"], ...] = ()


class Owner(msgspec.Struct, frozen=True):
    """What a CODEX_HOME says that a run needs: the login, the provider and the model.

    `provider` holds config keys as they stand in `config.toml`; `key_variables` are the names of
    environment variables from which the provider takes its key.
    """

    codex_home: Path
    login: Login
    provider: dict[str, Any] = {}
    model: str | None = None
    effort: str | None = None
    key_variables: tuple[str, ...] = ()


class _Provider(msgspec.Struct):
    env_key: str | None = None
    env_http_headers: dict[str, str] = {}


class _Config(msgspec.Struct):
    model: str | None = None
    model_reasoning_effort: str | None = None
    model_provider: str = "openai"
    model_providers: dict[str, _Provider] = {}
    cli_auth_credentials_store: str = "file"


class _Tokens(msgspec.Struct):
    access_token: str = ""


class _Auth(msgspec.Struct):
    auth_mode: str | None = None
    api_key: str | None = msgspec.field(default=None, name="OPENAI_API_KEY")
    tokens: _Tokens | None = None


class _Claims(msgspec.Struct):
    exp: float


def read_owner(codex_home: Path) -> Owner:
    """Read both files; a missing one means codex's defaults, a broken one is a DataError."""
    if codex_home.exists() and not codex_home.is_dir():
        raise HostError("codex-home", f"{codex_home} is not a folder", "set CODEX_HOME to one, or unset it")
    path = codex_home / _CONFIG
    table = read_config(path)
    try:
        config = msgspec.convert(table, _Config)
    except msgspec.ValidationError as error:
        raise DataError("codex-config", f"{path}: {error}", "correct it; Armarius reads TOML 1.0") from error
    name = config.model_provider
    said = config.model_providers.get(name, _Provider())
    provider: dict[str, Any] = {key: table[key] for key in (*_BUILT_IN_KEYS, "model_provider") if key in table}
    if name in config.model_providers:
        provider["model_providers"] = {name: table["model_providers"][name]}
    return Owner(
        codex_home=codex_home,
        login=read_login(codex_home, config.cli_auth_credentials_store),
        provider=provider,
        model=config.model,
        effort=config.model_reasoning_effort,
        key_variables=(*filter(None, [said.env_key]), *said.env_http_headers.values()),
    )


def read_login(codex_home: Path, store: str = "file") -> Login:
    """The mode and the expiry of the login; no token leaves this function.

    Which of several credentials counts is codex's own order: the stated mode, a key, the tokens.
    """
    path = codex_home / _AUTH
    if store != "file":  # `auto` asks the keyring first, and what it holds is not seen from here
        return Login("keyring")
    if not path.exists():
        return Login("none", flaws=("link",) if path.is_symlink() else ())
    try:
        auth = msgspec.json.decode(read_bounded(path, _LARGEST), type=_Auth)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            "login-broken", f"{path} is not a login that codex can read", "run `codex login` again"
        ) from error
    return Login(*_mode_of(auth), auth.auth_mode, _flaws_of(path))


def _mode_of(auth: "_Auth") -> tuple[Literal["chatgpt", "api_key", "none"], int | None]:
    token = auth.tokens.access_token if auth.tokens else ""
    if auth.auth_mode in _KEY_MODES or (auth.auth_mode is None and auth.api_key is not None):
        return "api_key", None
    if auth.auth_mode is None and not token:
        return "none", None
    # A mode that is not known here is taken for an account, which has a subscription to lose.
    return "chatgpt", _expiry_of(token)


def _flaws_of(path: Path) -> tuple[Literal["link", "exposed"], ...]:
    link: tuple[Literal["link"], ...] = ("link",) if path.is_symlink() else ()
    seen = path.stat()
    is_exposed = bool(seen.st_mode & 0o077) or seen.st_uid != os.geteuid()
    return (*link, "exposed") if is_exposed else link


def check_fresh(owner: Owner, until_us: int) -> None:
    """Refuse a fan-out on a login that would have to be refreshed by many processes at once."""
    expiry = owner.login.expires_at_us
    if expiry is not None and expiry <= until_us:
        raise HostError(
            "login-expiring",
            f"the ChatGPT login in {owner.codex_home} expires before the work could end",
            "run `armarius lanes refresh`, then start again",
        )


def make_private_home(folder: Path, owner: Owner) -> Path:
    """A CODEX_HOME of its own at `folder`: the owner's provider, model and login, and nothing else.

    It is made anew before each run, so that it need not outlive a power failure.
    """
    if owner.login.mode == "keyring":
        raise HostError(
            "login-keyring",
            f"the login of {owner.codex_home} lies in a keyring, to which a private home cannot link",
            'set cli_auth_credentials_store = "file" in its config.toml and run `codex login` again',
        )
    private_folder(folder)
    config: dict[str, Any] = owner.provider | {
        "analytics": {"enabled": False},
        "features": {"plugins": False, "unbounded_connection_retries": False},
        "skills": {"bundled": {"enabled": False}},
        # A repository around our own folder (a home that is one) would bring its skills along.
        "project_root_markers": [],
    }
    if owner.model is not None:
        config["model"] = owner.model
    if owner.effort is not None:
        config["model_reasoning_effort"] = owner.effort
    write_atomic(folder / _CONFIG, tomli_w.dumps(config).encode(), durable=False)
    login = owner.codex_home / _AUTH
    if login.exists() and not (folder / _AUTH).is_symlink():
        (folder / _AUTH).symlink_to(login.resolve())
    return folder


def _expiry_of(token: str) -> int | None:
    """The `exp` of a JWT in microseconds (RFC 7519, section 4.1.4), unverified; None for other tokens."""
    try:
        _, claims, _ = token.split(".")
        payload = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        return int(msgspec.json.decode(payload, type=_Claims).exp * 1_000_000)
    except (binascii.Error, ValueError):
        return None
