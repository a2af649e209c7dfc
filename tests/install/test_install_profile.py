"""The recorder's profile: written beside `config.toml`, which stays what it was, and gone without a trace."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.errors import DataError, UsageError
from armarius.install.detour import detour
from armarius.install.profile import Profile, client_token, profile_text, without_leftovers
from armarius.lanes.billing import billing_of
from armarius.recorder.access import parse_listen
from armarius.settings import load
from support.auth_server import write_login

LISTEN = parse_listen("127.0.0.1:8377")
TOKEN = "t" * 43
LATER = 4_000_000_000
MINE = '# my own\nmodel = "gpt-5.5"   # the best\n\n[profiles.other]\nmodel = "x"\n'
LEFT = (
    '# my own\nmodel = "gpt-5.5"   # the best\nprofile = "armarius"\n\n[profiles.armarius]\n'
    'model_provider = "armarius"\n'
    '[profiles.armarius.features]\nx = true\n[profiles.other]\nmodel = "x"\n'
)
SKILLCLAW = (
    'model = "skillclaw-model"\nmodel_provider = "skillclaw"\nprofile = "skillclaw"\n[model_providers.skillclaw]\n'
    'name = "SkillClaw"\n[profiles.skillclaw]\na = 1\n[profiles.skillclaw.features]\nb = 2\n[tui]\ntheme = "x"\n'
)


@pytest.fixture
def codex_home(tmp_path: Path) -> Path:
    home = tmp_path / "codex"
    home.mkdir()
    return home


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_one_file_and_touches_no_other(codex_home: Path, tmp_path: Path) -> None:
    (codex_home / "config.toml").write_text(MINE)
    report = Profile(codex_home, tmp_path / "own").install(LISTEN, TOKEN)
    assert report.changed
    assert files(codex_home).keys() == {"config.toml", "armarius.config.toml"}
    assert (codex_home / "config.toml").read_text() == MINE
    assert (codex_home / "armarius.config.toml").stat().st_mode & 0o777 == 0o600
    assert TOKEN not in report.diff
    assert not Profile(codex_home, tmp_path / "own").install(LISTEN, TOKEN).changed


@pytest.mark.parametrize("config", [None, MINE, LEFT, SKILLCLAW, "", f"\ufeff{MINE}", f"\ufeff{LEFT}"])
@pytest.mark.parametrize("own", [None, 'model = "mine"\n'])
def test_what_was_there_before_comes_back_byte_for_byte(
    codex_home: Path, tmp_path: Path, config: str | None, own: str | None
) -> None:
    for name, text in (("config.toml", config), ("armarius.config.toml", own), ("skillclaw.config.toml", own)):
        if text is not None:
            (codex_home / name).write_text(text)
            (codex_home / name).chmod(0o640)
    before = files(codex_home)
    profile = Profile(codex_home, tmp_path / "own")
    profile.install(LISTEN, TOKEN)
    profile.install(parse_listen("127.0.0.1:9000"), TOKEN, remove_legacy=True)
    assert "skillclaw" not in "".join(data.decode() for data in files(codex_home).values())
    profile.uninstall()
    assert files(codex_home) == before
    assert {path.stat().st_mode & 0o777 for path in codex_home.iterdir()} <= {0o640}
    assert not profile.uninstall().changed


def test_leftovers_of_our_own_are_shown_and_taken_out_and_nothing_else(codex_home: Path, tmp_path: Path) -> None:
    """Codex since 0.131 refuses `-p` while `config.toml` chooses a profile, or has a table of that name."""
    (codex_home / "config.toml").write_text(LEFT)
    profile = Profile(codex_home, tmp_path / "own")
    shown = profile.install(LISTEN, TOKEN, dry_run=True)
    assert files(codex_home) == {"config.toml": LEFT.encode()}
    for line in ('-profile = "armarius"', "-[profiles.armarius]", "-[profiles.armarius.features]", "-x = true"):
        assert line in shown.diff.splitlines()
    assert "other" not in "".join(line for line in shown.diff.splitlines() if line.startswith("-"))
    profile.install(LISTEN, TOKEN)
    assert (codex_home / "config.toml").read_text() == MINE


def test_a_mark_of_the_byte_order_stays_where_codex_reads_over_it(codex_home: Path, tmp_path: Path) -> None:
    (codex_home / "config.toml").write_text("\ufeff" + LEFT.removeprefix("# my own\n"))
    profile = Profile(codex_home, tmp_path / "own")
    assert profile.is_hindered()
    profile.install(LISTEN, TOKEN)
    assert (codex_home / "config.toml").read_text() == "\ufeff" + MINE.removeprefix("# my own\n")
    assert not profile.is_hindered()


def test_a_profile_has_a_port_that_stays(codex_home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="port"):
        Profile(codex_home, tmp_path / "own").install(parse_listen("127.0.0.1:0"), TOKEN)
    assert files(codex_home) == {}


PROXY = {"HTTP_PROXY": "http://proxy.example:3128"}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        (PROXY, "HTTP_PROXY"),
        ({"http_proxy": "proxy.example:3128"}, "http_proxy"),
        ({"HTTPS_PROXY": "http://proxy.example"}, None),
        ({"all_proxy": "socks5://proxy.example"}, "all_proxy"),
        ({"HTTP_PROXY": "", "http_proxy": "http://proxy.example"}, None),
        ({"HTTP_PROXY": "", "ALL_PROXY": "http://proxy.example"}, "ALL_PROXY"),
        (PROXY | {"REQUEST_METHOD": "GET"}, None),
        (PROXY | {"NO_PROXY": "127.0.0.1"}, None),
        (PROXY | {"NO_PROXY": "127.0.0.0/8"}, None),
        (PROXY | {"no_proxy": " x.example , 127.0.0.1 "}, None),
        (PROXY | {"NO_PROXY": "", "no_proxy": "127.0.0.1"}, "HTTP_PROXY"),
        (PROXY | {"NO_PROXY": "*"}, "HTTP_PROXY"),
        (PROXY | {"NO_PROXY": "localhost"}, "HTTP_PROXY"),
        (PROXY | {"NO_PROXY": "127.0.0.1:8377"}, "HTTP_PROXY"),
        (PROXY | {"NO_PROXY": "127."}, "HTTP_PROXY"),
    ],
)
def test_threat_19_a_proxy_of_the_environment_that_would_read_the_login_is_seen(
    environ: dict[str, str], name: str | None
) -> None:
    """Each of these was tried with Codex itself: whether the proxy got its requests for 127.0.0.1."""
    assert detour(environ, "127.0.0.1") == name


def test_a_skillclaw_is_reported_and_stays_unless_its_removal_is_asked_for(codex_home: Path, tmp_path: Path) -> None:
    (codex_home / "config.toml").write_text(SKILLCLAW)
    (codex_home / "skillclaw.config.toml").write_text("x = 1\n")
    profile = Profile(codex_home, tmp_path / "own")
    assert profile.install(LISTEN, TOKEN).legacy == ("skillclaw.config.toml", "config.toml")
    assert (codex_home / "config.toml").read_text() == SKILLCLAW
    assert profile.install(LISTEN, TOKEN, remove_legacy=True).legacy == ()
    assert tomllib.loads((codex_home / "config.toml").read_text()) == {"tui": {"theme": "x"}}


def test_what_was_edited_since_is_not_overwritten_by_the_uninstall(codex_home: Path, tmp_path: Path) -> None:
    (codex_home / "config.toml").write_text(LEFT)
    profile = Profile(codex_home, tmp_path / "own")
    profile.install(LISTEN, TOKEN)
    edited = MINE + 'effort = "high"\n'
    (codex_home / "config.toml").write_text(edited)
    (codex_home / "armarius.config.toml").write_text("mine = 1\n")
    report = profile.uninstall()
    assert files(codex_home) == {"config.toml": edited.encode()}
    [kept] = report.kept
    assert kept.startswith("config.toml, which was edited since")
    assert (Path(report.copies) / "config.toml").read_text() == LEFT
    assert any("mine = 1" in path.read_text() for path in Path(report.copies).iterdir())


@pytest.mark.parametrize(
    "config",
    [
        "profiles = { armarius = { a = 1 } }\nx = 1\n",
        "profiles.armarius.a = 1\n",
        "[profiles]\narmarius.a = 1\n",
        'x = """\n[profiles.armarius]\n"""\n[profiles.armarius]\na = 1\n',
    ],
)
def test_what_cannot_be_taken_out_exactly_is_refused_and_nothing_is_changed(
    codex_home: Path, tmp_path: Path, config: str
) -> None:
    (codex_home / "config.toml").write_text(config)
    with pytest.raises(DataError, match="cannot be taken out exactly"):
        Profile(codex_home, tmp_path / "own").install(LISTEN, TOKEN)
    assert files(codex_home) == {"config.toml": config.encode()}


def test_quoted_names_comments_and_strings_that_look_like_tables_are_told_apart() -> None:
    text = 'a = "[profiles.armarius]"\n[ profiles . "armarius" ] # ours\nb = 1\n[[other]]\nc = 1\n'
    assert without_leftovers(text, "armarius", "x") == 'a = "[profiles.armarius]"\n[[other]]\nc = 1\n'


def test_the_gate_before_money_admits_exactly_this_profile(codex_home: Path, tmp_path: Path) -> None:
    """The one provider change that a ChatGPT plan may see: our own, on loopback, with Codex's login."""
    write_login(codex_home, LATER)
    Profile(codex_home, tmp_path / "own").install(LISTEN, TOKEN)
    settings = load(environ={"HOME": str(tmp_path), "CODEX_HOME": str(codex_home)})
    billing = billing_of(settings, codex_home, kind="chatgpt", profile="armarius")
    assert billing.objections == ()
    assert (billing.plan, billing.provider) == ("chatgpt", "armarius")
    path = codex_home / "armarius.config.toml"
    good = profile_text(LISTEN, TOKEN)
    for old, new in (
        ("127.0.0.1", "10.0.0.1"),
        ("http://", "https://"),
        ("requires_openai_auth = true", "requires_openai_auth = false"),
        ("wire_api", 'env_key = "OPENAI_API_KEY"\nwire_api'),
        ("x-armarius-token", "authorization"),
        ('model_provider = "armarius"', 'model_provider = "other"'),
        ('model_provider = "armarius"', 'model_provider = "armarius"\nopenai_base_url = "http://127.0.0.1:1"'),
    ):
        assert old in good
        path.write_text(good.replace(old, new))
        assert billing_of(settings, codex_home, kind="chatgpt", profile="armarius").objections, new


def test_the_token_is_made_once_kept_private_and_never_a_weak_one(tmp_path: Path) -> None:
    token = client_token(tmp_path / "own", SystemClock())
    assert len(token) >= 43
    assert client_token(tmp_path / "own", SystemClock()) == token
    assert (tmp_path / "own" / "token").stat().st_mode & 0o777 == 0o600
    with ThreadPoolExecutor(8) as pool:  # as when it is installed and started at the same moment
        made = list(pool.map(client_token, [tmp_path / "first"] * 8, [SystemClock()] * 8))
    assert len(set(made)) == 1
    (tmp_path / "own" / "token").write_text("short")
    with pytest.raises(DataError):
        client_token(tmp_path / "own", SystemClock())
