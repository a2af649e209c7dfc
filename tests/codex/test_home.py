"""Whose login and provider a CODEX_HOME holds, and what a private home takes over from it."""

import base64
import json
import os
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.home import Login, check_fresh, make_private_home, read_login, read_owner
from armarius.errors import DataError, HostError
from support.run_world import World, script

LATER = 4_102_444_800
KEY = "sk-test-1234567890"


ENDLESS = b'{"exp": 1e999}'


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    return encoded(json.dumps(value).encode())


def jwt(**claims: Any) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}.c2ln"


ACCOUNT = {"email": "a@example.org", "https://api.openai.com/auth": {"chatgpt_plan_type": "plus"}}
TOKENS = {
    "id_token": jwt(exp=LATER, **ACCOUNT),
    "access_token": jwt(exp=LATER, **ACCOUNT),
    "refresh_token": "rt_secret",
    "account_id": "acc",
}
REFRESHED = {"last_refresh": "2026-11-20T00:00:00Z"}


def write_login(codex_home: Path, content: Any) -> Path:
    codex_home.mkdir(parents=True, exist_ok=True)
    path = codex_home / "auth.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return codex_home


def write_config(codex_home: Path, content: "dict[str, Any] | bytes") -> Path:
    codex_home.mkdir(parents=True, exist_ok=True)
    (codex_home / "config.toml").write_bytes(content if isinstance(content, bytes) else tomli_w.dumps(content).encode())
    return codex_home


LOGINS = {
    "key": ({"auth_mode": "apikey", "OPENAI_API_KEY": KEY}, "api_key"),
    "key without a mode": ({"OPENAI_API_KEY": KEY, "tokens": None}, "api_key"),
    "tokens": ({"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": TOKENS} | REFRESHED, "chatgpt"),
    "tokens without a mode": ({"OPENAI_API_KEY": None, "tokens": TOKENS} | REFRESHED, "chatgpt"),
    "both without a mode": ({"OPENAI_API_KEY": KEY, "tokens": TOKENS} | REFRESHED, "api_key"),
    "both, a key by mode": ({"auth_mode": "apikey", "OPENAI_API_KEY": KEY, "tokens": TOKENS} | REFRESHED, "api_key"),
    "both, tokens by mode": ({"auth_mode": "chatgpt", "OPENAI_API_KEY": KEY, "tokens": TOKENS} | REFRESHED, "chatgpt"),
    "tokens from outside": ({"auth_mode": "chatgptAuthTokens", "tokens": TOKENS} | REFRESHED, "chatgpt"),
}


@pytest.mark.parametrize("name", LOGINS)
def test_which_login_counts_is_what_codex_itself_says(name: str, codex: Path, tmp_path: Path) -> None:
    content, mode = LOGINS[name]
    codex_home = write_login(tmp_path, content)
    assert read_login(codex_home).mode == mode
    environ = {"HOME": str(tmp_path), "CODEX_HOME": str(codex_home), "PATH": os.environ["PATH"]}
    said = subprocess.run([codex, "login", "status"], env=environ, capture_output=True, text=True, check=True).stderr
    assert {"api_key": "API key", "chatgpt": "using ChatGPT"}[mode] in said


@pytest.mark.parametrize(
    ("content", "login"),
    [
        ({}, Login("none")),
        ({"tokens": {}}, Login("none")),
        ({"auth_mode": "chatgpt"}, Login("chatgpt", stated="chatgpt")),
        ({"auth_mode": "bedrockApiKey"}, Login("api_key", stated="bedrockApiKey")),
        ({"auth_mode": "personalAccessToken"}, Login("chatgpt", stated="personalAccessToken")),
        ({"auth_mode": "a mode of tomorrow", "OPENAI_API_KEY": KEY}, Login("chatgpt", stated="a mode of tomorrow")),
    ],
)
def test_an_unknown_account_is_taken_for_one_that_can_lose_a_subscription(
    tmp_path: Path, content: dict[str, Any], login: Login
) -> None:
    assert read_login(write_login(tmp_path, content)) == login


@pytest.mark.parametrize(
    ("token", "expires_at_us"),
    [
        (jwt(exp=1_700_000_000), 1_700_000_000_000_000),
        (jwt(exp=1_700_000_000.25), 1_700_000_000_250_000),
        (jwt(exp=0), 0),
        (jwt(), None),
        (jwt(exp="soon"), None),
        (jwt(exp=None), None),
        (f"h.{encoded(ENDLESS)}.s", None),
        (f"h.{part([1])}.s", None),
        ("h.!!!.s", None),
        ("h.e30.s.x", None),
        ("opaque", None),
        ("h.größe.s", None),
    ],
)
def test_an_access_token_tells_when_it_expires_and_any_other_text_does_not(
    tmp_path: Path, token: str, expires_at_us: int | None
) -> None:
    login = read_login(write_login(tmp_path, {"auth_mode": "chatgpt", "tokens": {"access_token": token}}))
    assert login == Login("chatgpt", expires_at_us, "chatgpt")


@given(claims=st.text())
def test_no_token_makes_reading_the_login_fail(tmp_path_factory: pytest.TempPathFactory, claims: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-token"
    token = f"h.{encoded(claims.encode())}.s"
    assert read_login(write_login(folder, {"auth_mode": "chatgpt", "tokens": {"access_token": token}})).mode


BROKEN = {
    "empty": b"",
    "torn": b'{"tokens": {"access_token": "se-cr-et',
    "list": b'["se-cr-et"]',
    "text": b'"se-cr-et"',
    "null": b"null",
    "tokens are text": b'{"tokens": "se-cr-et"}',
    "a token is a number": b'{"tokens": {"access_token": 7}}',
    "a mode is a list": b'{"auth_mode": ["se-cr-et"]}',
    "not UTF-8": b'{"OPENAI_API_KEY": "se-cr-et\xff"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_login_is_an_error_with_a_way_out_and_shows_nothing_of_itself(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"auth\.json is not a login that codex can read") as caught:
        read_owner(write_login(tmp_path, content))
    assert (caught.value.code, caught.value.hint) == ("login-broken", "run `codex login` again")
    assert "se-cr-et" not in str(caught.value)


def test_no_token_is_part_of_what_is_known_of_an_owner(tmp_path: Path) -> None:
    owner = read_owner(write_login(tmp_path, LOGINS["both, tokens by mode"][0]))
    assert owner.login.expires_at_us == LATER * 1_000_000
    told = msgspec.json.encode(msgspec.structs.asdict(owner) | {"codex_home": ""}).decode()
    assert not any(secret in told for secret in (KEY, *TOKENS.values()))


PROVIDER = {
    "name": "Ours",
    "base_url": "https://models.example.org/v1",
    "env_key": "OURS_KEY",
    "env_http_headers": {"x-team": "OURS_TEAM", "x-org": "OURS_ORG"},
    "http_headers": {"x-app": "1"},
}


@pytest.mark.parametrize(
    ("config", "provider", "model", "variables"),
    [
        ({}, {}, None, ()),
        ({"model": "gpt-5.5", "sandbox_mode": "danger-full-access"}, {}, "gpt-5.5", ()),
        (
            {"model_provider": "ours", "model_providers": {"ours": PROVIDER, "other": {"env_key": "OTHER"}}},
            {"model_provider": "ours", "model_providers": {"ours": PROVIDER}},
            None,
            ("OURS_KEY", "OURS_TEAM", "OURS_ORG"),
        ),
        ({"model_providers": {"ours": PROVIDER}}, {}, None, ()),
        ({"model_provider": "elsewhere"}, {"model_provider": "elsewhere"}, None, ()),
        ({"openai_base_url": "http://127.0.0.1:1/v1"}, {"openai_base_url": "http://127.0.0.1:1/v1"}, None, ()),
    ],
    ids=["nothing", "model", "provider", "unused provider", "unknown provider", "built-in provider"],
)
def test_of_a_configuration_only_the_provider_in_use_and_the_model_are_taken(
    tmp_path: Path, config: dict[str, Any], provider: dict[str, Any], model: str | None, variables: tuple[str, ...]
) -> None:
    owner = read_owner(write_config(tmp_path, config))
    assert (owner.provider, owner.model, owner.key_variables) == (provider, model, variables)
    assert owner.login == Login("none")


@pytest.mark.parametrize(
    "content",
    [
        b"model = ",
        b"model = 7\n",
        b"model_providers = 'x'\n",
        b"model_provider = ['x']\n",
        b"[model_providers.openai]\nenv_key = 7\n",
        b"[model_providers.other]\nenv_http_headers = 'x'\n",
        b"model = '\xff'\n",
        b"model_context_window = 1" + b"0" * 5000,
        b"notify = " + b"[" * 5000,
    ],
    ids=range(9),
)
def test_a_configuration_that_codex_cannot_read_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"config\.toml: ") as caught:
        read_owner(write_config(tmp_path, content))
    assert caught.value.code == "codex-config"


@pytest.mark.parametrize("name", ["auth.json", "config.toml"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is a pipe"):
        read_owner(tmp_path)


def test_a_home_that_is_no_folder_is_named_with_the_variable_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="file is not a folder; set CODEX_HOME"):
        read_owner(tmp_path / "file")


def test_a_home_that_is_not_there_is_a_home_without_login(tmp_path: Path) -> None:
    owner = read_owner(tmp_path / "gone")
    assert (owner.login, owner.provider) == (Login("none"), {})


@pytest.mark.parametrize(("until", "fresh"), [(-1, True), (0, False), (1, False)])
def test_a_login_that_ends_before_the_work_is_refused(tmp_path: Path, until: int, *, fresh: bool) -> None:
    owner = read_owner(write_login(tmp_path, LOGINS["tokens"][0]))
    if fresh:
        check_fresh(owner, LATER * 1_000_000 + until)
        return
    with pytest.raises(HostError, match="expires before the work could end"):
        check_fresh(owner, LATER * 1_000_000 + until)


def test_a_login_without_an_end_is_always_fresh(tmp_path: Path) -> None:
    check_fresh(read_owner(write_login(tmp_path, LOGINS["key"][0])), 1 << 60)


@pytest.mark.parametrize("store", ["keyring", "auto"])
def test_a_login_in_a_keyring_counts_as_a_subscription_and_cannot_be_lent(tmp_path: Path, store: str) -> None:
    owner = read_owner(write_config(tmp_path / "owner", {"cli_auth_credentials_store": store}))
    assert owner.login == Login("keyring")
    with pytest.raises(HostError, match="keyring") as caught:
        make_private_home(tmp_path / "private", owner)
    assert 'cli_auth_credentials_store = "file"' in caught.value.hint
    # A file beside it proves nothing: `auto` asks the keyring first.
    assert read_owner(write_login(tmp_path / "owner", LOGINS["tokens"][0])).login == Login("keyring")


def test_a_login_that_others_may_read_or_that_lies_elsewhere_says_so(tmp_path: Path) -> None:
    real = write_login(tmp_path / "real", LOGINS["tokens"][0]) / "auth.json"
    (tmp_path / "auth.json").symlink_to(real)
    assert read_login(real.parent).flaws == ()
    assert read_login(tmp_path).flaws == ("link",)
    real.chmod(0o640)
    assert read_login(real.parent).flaws == ("exposed",)
    assert read_login(tmp_path).flaws == ("link", "exposed")
    real.unlink()
    assert read_login(tmp_path) == Login("none", flaws=("link",))


def rich_home(codex_home: Path, provider: dict[str, Any]) -> None:
    """A home as a person has it: rules, hooks, servers, notes, skills, and a login."""
    write_login(codex_home, LOGINS["tokens"][0])
    config = {
        "model": "gpt-5.5",
        "model_reasoning_effort": "low",
        "model_provider": "scripted",
        "model_providers": {"scripted": provider, "other": PROVIDER},
        "sandbox_mode": "danger-full-access",
        "approval_policy": "on-request",
        "notify": ["/bin/touch", "notified"],
        "mcp_servers": {"db": {"command": "/bin/false"}},
        "shell_environment_policy": {"set": {"OWNER": "canary"}},
        "projects": {"/": {"trust_level": "trusted"}},
    }
    write_config(codex_home, config)
    (codex_home / "AGENTS.md").write_text("canary of the owner")
    (codex_home / "rules").mkdir()
    (codex_home / "rules" / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")\n')
    (codex_home / "hooks.json").write_text("{}")
    (codex_home / "skills" / "mine").mkdir(parents=True)
    (codex_home / "skills" / "mine" / "SKILL.md").write_text("---\nname: mine\ndescription: canary\n---\n")


def test_a_private_home_holds_the_provider_the_model_and_a_link_to_the_login_and_nothing_else(tmp_path: Path) -> None:
    rich_home(tmp_path / "owner", PROVIDER)
    private = make_private_home(tmp_path / "private", read_owner(tmp_path / "owner"))
    assert tomllib.loads((private / "config.toml").read_text()) == {
        "model": "gpt-5.5",
        "model_reasoning_effort": "low",
        "model_provider": "scripted",
        "model_providers": {"scripted": PROVIDER},
        "analytics": {"enabled": False},
        "features": {"plugins": False, "unbounded_connection_retries": False},
        "skills": {"bundled": {"enabled": False}},
        "project_root_markers": [],
    }
    assert sorted(path.name for path in private.iterdir()) == ["auth.json", "config.toml"]
    assert (private / "auth.json").readlink() == (tmp_path / "owner" / "auth.json").resolve()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "config.toml").stat().st_mode) == 0o600


def test_a_private_home_can_be_made_again_and_follows_a_link_to_its_end(tmp_path: Path) -> None:
    write_login(tmp_path / "real", LOGINS["key"][0])
    owner_home = tmp_path / "owner"
    owner_home.mkdir()
    (owner_home / "auth.json").symlink_to(tmp_path / "real" / "auth.json")
    private = make_private_home(tmp_path / "private", read_owner(owner_home))
    assert make_private_home(private, read_owner(owner_home)) == private
    assert (private / "auth.json").readlink() == tmp_path / "real" / "auth.json"


def test_without_a_login_there_is_nothing_to_link(tmp_path: Path) -> None:
    private = make_private_home(tmp_path / "private", read_owner(tmp_path / "gone"))
    assert [path.name for path in private.iterdir()] == ["config.toml"]


def test_codex_in_a_private_home_shows_the_model_nothing_of_the_owner(each_world: World) -> None:
    world = each_world
    config = tomllib.loads((world.codex_home / "config.toml").read_text())
    rich_home(world.codex_home, config["model_providers"]["scripted"])
    private = make_private_home(world.folder / "private" / ".codex", read_owner(world.codex_home))
    prompt = script({"sh": "env; touch made-outside-the-sandbox"}, {"say": "bye"})
    with world.runner() as runner:
        result = runner.run(world.request(prompt, home=str(private.parent), codex_home=str(private)))
    assert (result.state, result.sandbox_seen) == ("succeeded", "read-only")
    sent = [record.body.decode() for record in world.server.records]
    assert len(sent) == 2
    assert not any("canary" in body for body in sent)
    assert list(world.project.iterdir()) == []
    assert (private / "auth.json").is_symlink()
    assert json.loads((world.codex_home / "auth.json").read_bytes()) == LOGINS["tokens"][0]
