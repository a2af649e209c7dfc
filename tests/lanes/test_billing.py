"""Who would be billed, over environments, logins and layers of configuration: each row a pass or a named refusal."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from armarius import settings as configuration
from armarius.codex.billing import Billing, hold
from armarius.errors import ArmariusError, DataError, HostError, Refused
from armarius.lanes.billing import admit, billing_of
from support.auth_server import write_login

LATER = 4_102_444_800
KEY = "sk-test-1234567890abcdef"

RECORDER = """
model_provider = "armarius"
[model_providers.armarius]
name = "Armarius"
base_url = "http://127.0.0.1:8765/v1"
wire_api = "responses"
requires_openai_auth = true
"""
PROVIDER = '[model_providers.p]\nname = "p"\nbase_url = "https://u:pw@p.example.org/v1?key=pw"\nenv_key = "P_TOKEN"\n'


class Desk:
    """A home, a project in a repository, and an administrator's folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "lane"
        self.system = folder / "etc"
        self.project = folder / "project"
        self.cwd = self.project / "deep" / "er"
        for place in (self.home, self.system, self.cwd, self.project / ".git"):
            place.mkdir(parents=True)
        (self.project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        self.auth = write_login(self.home, LATER)

    def write(self, where: str, text: str) -> Path:
        place = {
            "user": self.home / "config.toml",
            "system": self.system / "config.toml",
            "managed": self.system / "managed_config.toml",
            "requirements": self.system / "requirements.toml",
            "root": self.project / ".codex" / "config.toml",
            "cwd": self.cwd / ".codex" / "config.toml",
            "outside": self.project.parent / ".codex" / "config.toml",
        }.get(where, self.home / f"{where}.config.toml")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        return place

    def ask(
        self, *, kind: Literal["chatgpt", "api"] | None = "chatgpt", environ: dict[str, str] | None = None, **more: Any
    ) -> Billing:
        settings = configuration.load(environ=dict(os.environ) | (environ or {}))
        return billing_of(settings, self.home, kind=kind, cwd=self.cwd, system=self.system, **more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def codes(billing: Billing) -> list[str]:
    return [found.code for found in billing.objections]


def test_a_plan_with_nothing_beside_it_is_billed(desk: Desk) -> None:
    billing = desk.ask()
    assert (billing.plan, billing.provider, billing.objections) == ("chatgpt", "openai", ())
    assert [fact.where for fact in billing.because] == [str(desk.auth), "built in"]


@pytest.mark.parametrize(
    "name", ["CODEX_API_KEY", "OPENAI_API_KEY", "CODEX_ACCESS_TOKEN", "OPENAI_BASE_URL", "TEAM_API_KEY"]
)
def test_a_variable_that_could_be_billed_is_refused_aloud_unless_it_may_be_dropped(desk: Desk, name: str) -> None:
    billing = desk.ask(environ={name: KEY})
    assert codes(billing) == ["ambient-key"]
    with pytest.raises(Refused, match=f"{name} is set beside a ChatGPT login") as caught:
        hold(billing)
    assert "drop_keys = true" in caught.value.hint
    assert KEY not in repr(billing)
    assert codes(desk.ask(environ={name: ""})) == []
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "armarius" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("drop_keys = true\n")
    dropped = desk.ask(environ={name: KEY})
    assert (codes(dropped), dropped.because[-1].where) == ([], name)


@pytest.mark.parametrize("line", ["OPENAI_API_KEY=x", " export  TEAM_API_KEY = 'x'", 'A="\nOPENAI_BASE_URL=x"'])
def test_a_key_that_codex_would_read_from_its_home_by_itself_is_refused(desk: Desk, line: str) -> None:
    (desk.home / ".env").write_text(f"PLAIN=1\n{line}\n")
    [refused] = desk.ask().objections
    assert (refused.code, str(desk.home / ".env") in refused.message, "PLAIN" in refused.message) == (
        *("dotenv-key", True, False),
    )
    desk.auth.write_text(say("apikey"))
    assert codes(desk.ask(kind="api")) == []


LAYERS = {
    # where it stands, what it says, the refusal
    "the plan's own provider, said": ("user", 'model_provider = "openai"', None),
    "a provider that is not used": ("user", PROVIDER, None),
    "the login said to be a plan": ("user", 'forced_login_method = "chatgpt"', None),
    "the login said to be in the file": ("user", 'cli_auth_credentials_store = "file"', None),
    "something else": ("user", 'model = "gpt-5.5"\nsandbox_mode = "danger-full-access"', None),
    "a project that says nothing of money": ("root", 'model = "gpt-5.5"', None),
    "a project above the repository": ("outside", 'model_provider = "p"', None),
    "another provider": ("user", f'model_provider = "p"\n{PROVIDER}', "user-config"),
    "another provider, by the administrator": ("system", f'model_provider = "p"\n{PROVIDER}', "system-config"),
    "another provider, managed": ("managed", 'model_provider = "p"', "managed-config"),
    "another provider, required": ("requirements", 'model_provider = "p"', "requirements-config"),
    "another provider, in the project": ("root", 'model_provider = "p"', "project-config"),
    "another provider, where it works": ("cwd", 'model_provider = "p"', "project-config"),
    "a provider, defined by a project": ("root", PROVIDER, "project-config"),
    "the plan's own provider, by a project": ("root", 'model_provider = "openai"', "project-config"),
    "the built-in provider, redefined": ("user", '[model_providers.openai]\nbase_url = "http://x"', "user-config"),
    "the recorder, defined beside its profile": ("user", '[model_providers.armarius]\nname = "x"', "user-config"),
    "another address": ("user", 'openai_base_url = "https://e.example.org/v1"', "user-config"),
    "another address of the account": ("user", 'chatgpt_base_url = "https://e.example.org"', "user-config"),
    "a key forced": ("user", 'forced_login_method = "api"', "user-config"),
    "a key forced by a project": ("cwd", 'forced_login_method = "api"', "project-config"),
    "a plan forced by a project": ("root", 'forced_login_method = "chatgpt"', "project-config"),
    "a key preferred": ("user", 'preferred_auth_method = "apikey"', "user-config"),
    "a keyring by a project": ("root", 'cli_auth_credentials_store = "keyring"', "project-config"),
    "another workspace by a project": ("root", 'forced_chatgpt_workspace_id = "w"', "project-config"),
    "a workspace": ("user", 'forced_chatgpt_workspace_id = "w"', None),
    "another hearer by a project": (
        *("cwd", 'experimental_thread_store_endpoint = "https://e.example.org"', "project-config"),
    ),
    "only keys allowed": ("requirements", 'allowed_login_methods = ["api"]', "requirements-config"),
    "plans allowed": ("requirements", 'allowed_login_methods = ["chatgpt", "api"]', None),
    "an old profile": ("user", 'profile = "x"', "user-config"),
    "a number for a provider": ("user", "model_provider = 7", "user-config"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_no_layer_takes_the_plan_s_place(desk: Desk, name: str) -> None:
    where, text, code = LAYERS[name]
    place = desk.write(where, text)
    billing = desk.ask()
    assert codes(billing)[:1] == ([] if code is None else [code])
    if code is not None:
        assert billing.objections[0].message.startswith(f"{place} sets `")
        assert billing.objections[0].exit_code == 5


@pytest.mark.parametrize(
    ("override", "code"),
    [
        ("model_verbosity=low", None),
        ("features.model_provider=true", None),
        ("model_provider=p", "override-config"),
        ("model_provider=openai", "override-config"),
        (' "model_provider" = "p"', "override-config"),
        ("model_providers.p.base_url=x", "override-config"),
        ("forced_login_method=api", "override-config"),
        ("forced_chatgpt_workspace_id=w", "override-config"),
        ("openai_base_url=x", "override-config"),
        ("chatgpt_base_url=x", "override-config"),
        ("cli_auth_credentials_store=keyring", "override-config"),
        ("profiles.x.model_provider=p", "override-config"),
        ("model_provider", "override-config"),
    ],
)
def test_no_override_touches_money(desk: Desk, override: str, code: str | None) -> None:
    assert codes(desk.ask(overrides=(override,))) == ([] if code is None else [code])


PROFILES = {
    "the recorder": ("armarius", RECORDER, None),
    "the recorder with a model": ("armarius", 'model = "gpt-5.5"\n' + RECORDER, None),
    "a harmless one": ("work", 'model = "gpt-5.5"', None),
    "the recorder's words under another name": ("work", RECORDER, "profile-config"),
    "a recorder elsewhere": ("armarius", RECORDER.replace("127.0.0.1", "10.0.0.1"), "profile-config"),
    "a recorder by a name": ("armarius", RECORDER.replace("127.0.0.1", "127.0.0.1.example.org"), "profile-config"),
    "a recorder by a user": ("armarius", RECORDER.replace("127.0.0.1", "127.0.0.1:1@e.org"), "profile-config"),
    "a recorder with a key": ("armarius", RECORDER + 'env_key = "K"', "profile-config"),
    "a recorder with a token": ("armarius", RECORDER + 'experimental_bearer_token = "K"', "profile-config"),
    "a recorder without the login": ("armarius", RECORDER.replace("= true", "= false"), "profile-config"),
    "a recorder and a login": ("armarius", 'forced_login_method = "api"\n' + RECORDER, "profile-config"),
    "a recorder and another": ("armarius", RECORDER + PROVIDER, "profile-config"),
    "a provider": ("work", f'model_provider = "p"\n{PROVIDER}', "profile-config"),
    "a provider that is only defined": ("work", PROVIDER, "profile-config"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_recorder_s_own_profile_is_the_one_change_of_provider(desk: Desk, name: str) -> None:
    profile, text, code = PROFILES[name]
    desk.write(profile, text)
    billing = desk.ask(profile=profile)
    assert codes(billing)[:1] == ([] if code is None else [code])
    if code is None:
        assert billing.plan == "chatgpt"
    assert codes(desk.ask()) == []


@pytest.mark.parametrize(("profile", "code"), [("gone", "profile-missing"), ("../lane/x", "profile-name")])
def test_a_profile_that_codex_would_pass_over_in_silence_is_an_error(desk: Desk, profile: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        desk.ask(profile=profile)
    assert caught.value.code == code


def a_link(desk: Desk) -> None:
    desk.auth.rename(desk.home / "real.json")
    desk.auth.symlink_to(desk.home / "real.json")


def say(mode: Any) -> str:
    return json.dumps({"auth_mode": mode, "OPENAI_API_KEY": KEY, "tokens": {"access_token": "t", "refresh_token": "r"}})


def without_mode(desk: Desk) -> None:
    login = json.loads(desk.auth.read_bytes())
    del login["auth_mode"]
    desk.auth.write_text(json.dumps(login))


LOGINS: dict[str, tuple[Callable[[Desk], object], str, type[ArmariusError]]] = {
    "a link": (a_link, "login-link", Refused),
    "a file that others may read": (lambda desk: desk.auth.chmod(0o644), "login-exposed", Refused),
    "no mode": (without_mode, "login-mode", Refused),
    "a mode of tomorrow": (lambda desk: desk.auth.write_text(say("agentIdentity")), "login-mode", Refused),
    "another spelling": (lambda desk: desk.auth.write_text(say("ChatGPT")), "login-mode", Refused),
    "a key": (lambda desk: desk.auth.write_text(say("apikey")), "login-api-key", Refused),
    "a key without a mode": (lambda desk: desk.auth.write_text(say(None)), "login-api-key", Refused),
    "no login": (lambda desk: desk.auth.unlink(), "login-missing", HostError),
    "a huge file": (lambda desk: desk.auth.write_text(" " * (1 << 20) + "{}"), "too-large", DataError),
    "no JSON": (lambda desk: desk.auth.write_text('{"auth_mode": "chatg'), "login-broken", DataError),
    "deep JSON": (lambda desk: desk.auth.write_text('{"x":' * 50_000), "login-broken", DataError),
    "a folder": (lambda desk: (desk.auth.unlink(), desk.auth.mkdir()), "not-a-file", DataError),
    "a pipe": (lambda desk: (desk.auth.unlink(), os.mkfifo(desk.auth)), "not-a-file", DataError),
    "a keyring": (
        lambda desk: desk.write("user", 'cli_auth_credentials_store = "keyring"'),
        "login-keyring",
        HostError,
    ),
    "perhaps a keyring": (
        lambda desk: desk.write("system", 'cli_auth_credentials_store = "auto"'),
        "login-keyring",
        HostError,
    ),
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_that_is_not_exactly_a_plan_in_the_lane_is_refused(desk: Desk, name: str) -> None:
    change, code, kind = LOGINS[name]
    change(desk)
    with pytest.raises(kind) as caught:
        hold(desk.ask())
    assert (caught.value.code, KEY in str(caught.value)) == (code, False)
    assert caught.value.hint


def test_where_the_login_lies_is_what_the_strongest_layer_of_the_owner_says(desk: Desk) -> None:
    desk.write("user", 'cli_auth_credentials_store = "keyring"')
    assert codes(desk.ask()) == ["login-keyring"]
    desk.write("managed", 'cli_auth_credentials_store = "file"')
    assert codes(desk.ask()) == []
    desk.write("root", 'cli_auth_credentials_store = "keyring"')
    assert codes(desk.ask()) == ["project-config"]


HOSTILE = {
    "no TOML": "model_provider = ",
    "long": "x = 1\n" * 20_000,
    "nested": "notify = " + "[" * 30_000,
    "providers that are none": 'model_providers = "x"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_project_s_file_that_cannot_be_read_is_an_error_that_names_it(desk: Desk, name: str) -> None:
    place = desk.write("root", HOSTILE[name])
    with pytest.raises(DataError, match=str(place)):
        desk.ask()


@pytest.mark.parametrize(
    ("kind", "login", "code"),
    [
        ("api", "apikey", None),
        ("api", "chatgpt", "login-plan"),
        ("api", None, "login-missing"),
        (None, "apikey", None),
        (None, "chatgpt", None),
        (None, None, None),  # whoever needs none, such as a model on loopback, has none
    ],
)
def test_a_lane_for_a_key_takes_a_key_and_the_caller_s_own_home_what_it_has(
    desk: Desk, kind: Literal["api"] | None, login: str | None, code: str | None
) -> None:
    desk.auth.unlink()
    if login is not None:
        desk.auth.write_text(say(login))
        desk.auth.chmod(0o600)
    billing = desk.ask(kind=kind)
    assert codes(billing) == ([] if code is None else [code])
    if login is not None:
        assert billing.plan == {"apikey": "api", "chatgpt": "chatgpt"}[login]


def test_what_the_owner_of_a_home_chose_is_billed_and_named_without_its_secrets(desk: Desk) -> None:
    place = desk.write("user", f'model_provider = "p"\n{PROVIDER}')
    billing = desk.ask(kind=None, environ={"OPENAI_API_KEY": KEY})
    assert (billing.plan, billing.provider, billing.key_variables, codes(billing)) == (
        "provider",
        "p",
        ("P_TOKEN",),
        [],
    )
    assert billing.base_url == "https://p.example.org/v1"
    said = {fact.fact: (fact.value, fact.where) for fact in billing.because}
    assert said["provider"] == ("p", str(place))
    assert said["key variable"] == ("P_TOKEN", str(place))
    assert "pw" not in repr(billing)
    desk.write("root", 'forced_login_method = "api"')
    assert codes(desk.ask(kind=None)) == ["project-config"]


def test_who_has_no_login_is_told_so_before_codex_asks_openai_and_may_have_none_elsewhere(
    desk: Desk, codex: Path
) -> None:
    settings = configuration.load()
    desk.auth.unlink()
    with pytest.raises(HostError, match="says 'Not logged in'") as caught:
        admit(settings, desk.home, program=codex)
    assert (caught.value.code, caught.value.hint) == ("login-missing", "run `codex login`")
    desk.write("user", 'openai_base_url = "http://127.0.0.1:1/v1"')
    assert admit(settings, desk.home, program=codex).plan == "nobody"


def test_codex_itself_has_the_last_word_on_a_plan(desk: Desk, codex: Path, tmp_path: Path) -> None:
    settings = configuration.load()
    settings.home.mkdir(parents=True)
    assert admit(settings, desk.home, kind="chatgpt", program=codex).plan == "chatgpt"
    other = tmp_path / "codex"
    other.write_text('#!/bin/sh\necho "Logged in using personal access token" >&2\n')
    other.chmod(0o755)
    with pytest.raises(Refused, match="says 'Logged in using personal access token'") as caught:
        admit(settings, desk.home, kind="chatgpt", program=other)
    assert caught.value.code == "login-status"
