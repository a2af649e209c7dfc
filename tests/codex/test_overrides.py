"""What a caller may add to Codex's configuration, and which profiles may be used."""

from pathlib import Path

import pytest

from armarius.codex.overrides import HARMLESS, check_override, check_profile, parse_override
from armarius.errors import ArmariusError, DataError, Refused, UsageError

REFUSED = (
    *("model_provider", "model_providers.x.base_url", "openai_base_url", "chatgpt_base_url", "oss_provider"),
    *("forced_login_method", "preferred_auth_method", "cli_auth_credentials_store"),
    *("sandbox_mode", "sandbox_workspace_write.network_access", "permissions.x.filesystem", "default_permissions"),
    *("approval_policy", "approvals_reviewer", "allow_login_shell", "projects", "hooks.state", "notify"),
    *("mcp_servers.x.command", "shell_environment_policy.set.PATH", "shell_environment_policy.inherit"),
    *("features.unbounded_connection_retries", "features.hooks", "profile", "profiles.x.model", "zsh_path"),
    *("otel.exporter", "web_search", "a_key_of_tomorrow", "agents", "model_verbosity.x"),
    *('"model_verbosity"', "model verbosity", "a\nb", "MODEL_VERBOSITY", "\u202emodel_verbosity"),
)


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_known_to_be_harmless_is_refused_with_the_nearest_name(key: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_override(f"{key}=x")
    assert key.strip() in refused.value.message
    assert any(name in refused.value.hint for name in HARMLESS)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("model_verbosity=low", "model_verbosity", "low"),
        ('model_verbosity="low"', "model_verbosity", "low"),
        ("tool_output_token_limit=100", "tool_output_token_limit", 100),
        ("hide_agent_reasoning=true", "hide_agent_reasoning", True),
        ("developer_instructions=a = b, and more", "developer_instructions", "a = b, and more"),
        (" model_verbosity =low", "model_verbosity", "low"),
        ('compact_prompt=1\nsandbox_mode="x"', "compact_prompt", '1\nsandbox_mode="x"'),
    ],
)
def test_a_value_is_read_as_codex_reads_it(text: str, key: str, value: object) -> None:
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "=x", "model_verbosity", "model=gpt"),
        *("model_verbosity=[1]", "model_verbosity={a=1}", "service_tier=flex", "model_reasoning_effort=low"),
        "model_verbosity=1979-05-27",
    ],
)
def test_what_is_no_key_and_value_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_override(text)


def test_no_path_to_a_harmless_key_leads_elsewhere() -> None:
    for key in HARMLESS:
        check_override(key, "x")
        with pytest.raises(Refused):
            check_override(f"{key}.x", "x")


PROFILES: dict[str, tuple[str, type[ArmariusError] | None, str]] = {
    "good": ('model = "m"\nmodel_reasoning_effort = "low"\n[mcp_servers.docs]\ncommand = "docs"\n', None, ""),
    "empty": ("", None, ""),
    "sandbox": ('sandbox_mode = "danger-full-access"', Refused, "sandbox_mode"),
    "approval": ('approval_policy = "on-request"', Refused, "approval_policy"),
    "network": ("[sandbox_workspace_write]\nnetwork_access = true", Refused, "sandbox_workspace_write.network_access"),
    "provider": ('model_provider = "x"', Refused, "model_provider"),
    "address": ('openai_base_url = "http://x"', Refused, "openai_base_url"),
    "hooks": ('[[hooks.Stop]]\nmatcher = "x"', Refused, "hooks.Stop"),
    "bare-table": ("[shell_environment_policy]", Refused, "shell_environment_policy"),
    "features": ("[features]\nhooks = true", Refused, "features.hooks"),
    "broken": ("model = ", DataError, "broken.config.toml"),
    "old": ('model = "m"', DataError, "[profiles.old]"),
}


RECORDER = """
model_provider = "armarius"
[model_providers.armarius]
name = "Armarius"
base_url = "http://127.0.0.1:8765/v1"
wire_api = "responses"
requires_openai_auth = true
"""

NOT_THE_RECORDER = {
    "another host": RECORDER.replace("127.0.0.1", "10.0.0.1"),
    "another path": RECORDER.replace("/v1", "/v1/../other"),
    "a query": RECORDER.replace("/v1", "/v1?key=x"),
    "no port": RECORDER.replace(":8765", ""),
    "not encrypted, and no HTTP": RECORDER.replace("http:", "ftp:"),
    "somebody in front of the host": RECORDER.replace("127.0.0.1:8765", "127.0.0.1:8765@e.example.org:80"),
    "a key": RECORDER + 'env_key = "K"\n',
    "another header": RECORDER + 'http_headers = { Authorization = "Bearer x" }\n',
    "headers that are none": RECORDER + 'http_headers = "x-armarius-token"\n',
    "without the login": RECORDER.replace("= true", "= false"),
    "a login besides": 'forced_login_method = "api"\n' + RECORDER,
    "another provider besides": RECORDER + '[model_providers.p]\nname = "p"\n',
    "a provider that is none": 'model_provider = "armarius"\nmodel_providers = { armarius = 1 }\n',
    "providers that are none": 'model_provider = "armarius"\nmodel_providers = 1\n',
    "only the provider": RECORDER.replace('model_provider = "armarius"', ""),
    "a sandbox besides": 'sandbox_mode = "workspace-write"\n' + RECORDER,
}


@pytest.mark.parametrize("more", ["", 'model = "gpt-5.5"\n'])
def test_the_profile_of_the_recorder_may_be_used_under_its_name_alone(tmp_path: Path, more: str) -> None:
    for name in ("armarius", "other"):
        (tmp_path / f"{name}.config.toml").write_text(more + RECORDER + 'http_headers = { x-armarius-token = "t" }\n')
    assert check_profile(tmp_path, "armarius") == ({"model"} if more else set())
    with pytest.raises(Refused):
        check_profile(tmp_path, "other")


@pytest.mark.parametrize("name", NOT_THE_RECORDER)
def test_what_only_looks_like_the_recorder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "armarius.config.toml").write_text(NOT_THE_RECORDER[name])
    with pytest.raises(Refused) as refused:
        check_profile(tmp_path, "armarius")
    assert refused.value.code == "profile-key"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_read_before_codex_reads_it(tmp_path: Path, name: str) -> None:
    text, error, said = PROFILES[name]
    (tmp_path / "config.toml").write_text('[profiles.old]\nmodel = "x"\n')
    (tmp_path / f"{name}.config.toml").write_text(text)
    if error is None:
        check_profile(tmp_path, name)
        return
    with pytest.raises(error) as refused:
        check_profile(tmp_path, name)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "code"), [("nope", "profile-missing"), ("../x", "profile-name"), ("", "profile-name")]
)
def test_a_profile_that_codex_would_ignore_is_refused(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "nape.config.toml").write_text("")
    with pytest.raises(ArmariusError) as refused:
        check_profile(tmp_path, name)
    assert refused.value.code == code
    if code == "profile-missing":
        assert refused.value.hint == "did you mean 'nape'?"
