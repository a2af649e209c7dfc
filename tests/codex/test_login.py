"""What the real Codex says of a login, makes of one, and how one is refreshed, on both builds."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.codex.app_server import environ_for
from armarius.codex.billing import LOGGED_IN
from armarius.codex.home import read_login
from armarius.codex.login import login_status, refresh_login
from armarius.errors import HostError
from support.auth_server import AuthServer, write_login

LATER = 4_102_444_800
SOON = 1_000
KEY = "sk-test-1234567890abcdef"

LOG_IN = """
import sys
from pathlib import Path
from armarius.codex.login import make_login
from armarius.settings import load
print(make_login(Path(sys.argv[1]), Path(sys.argv[2]), load().environ, api_key=True).mode)
"""

REFRESH = """
import sys
from pathlib import Path
from armarius.codex.login import refresh_login
from armarius.settings import load
home = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
until_us = int(sys.argv[3]) * 1_000_000
print(refresh_login(Path(sys.argv[1]), home, load().environ, home.parent / "locks", until_us).expires_at_us)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "lane"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def ambient(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "CODEX_API_KEY": KEY, "OPENAI_API_KEY": KEY}


def test_what_codex_says_of_no_login_a_key_and_a_plan(
    codex: Path, home: Path, ambient: dict[str, str], tmp_path: Path
) -> None:
    cache = tmp_path / "logins.json"
    assert login_status(codex, home, ambient, cache) == "Not logged in"
    (home / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": KEY}))
    assert "API key" in login_status(codex, home, ambient, cache)  # the two builds word it differently
    write_login(home, SOON)
    assert login_status(codex, home, ambient, cache) == LOGGED_IN
    (home / "auth.json").write_text("{")
    assert login_status(codex, home, ambient, cache).startswith("Error ")
    (home / "auth.json").unlink()
    (home / "config.toml").write_text('cli_auth_credentials_store = "keyring"\n')
    assert login_status(codex, home, ambient, cache) != LOGGED_IN


def test_an_answer_is_kept_as_long_as_the_files_are_the_same(home: Path, tmp_path: Path) -> None:
    cache, calls = tmp_path / "logins.json", tmp_path / "calls"
    program = tmp_path / "codex"
    program.write_text(f'#!/bin/sh\necho x >> {calls}\necho "WARNING: odd" >&2\necho "Logged in using ChatGPT" >&2\n')
    program.chmod(0o755)
    write_login(home, LATER)

    def ask() -> int:
        assert login_status(program, home, {}, cache) == LOGGED_IN
        return calls.read_text().count("x")

    assert [ask(), ask()] == [1, 1]
    write_login(home, SOON)
    assert [ask(), ask()] == [2, 2]
    (home / "config.toml").touch()
    assert ask() == 3
    cache.write_text("[")
    assert ask() == 4


def test_codex_makes_the_login_of_a_key_in_the_lane_and_nowhere_else(
    codex: Path, home: Path, private_home: dict[str, str]
) -> None:
    argv = [sys.executable, "-c", LOG_IN, str(codex), str(home)]
    done = subprocess.run(argv, env=private_home, input=f"{KEY}\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "api_key\n")
    assert KEY not in done.stdout + done.stderr
    assert read_login(home).flaws == ()
    assert not (Path(private_home["CODEX_HOME"]) / "auth.json").exists()


# ---------------------------------------------------------------- refreshing


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[AuthServer]:
    with AuthServer(getattr(request, "param", LATER)).serving() as server:
        yield server


@pytest.fixture
def environ(home: Path, ambient: dict[str, str], server: AuthServer) -> dict[str, str]:
    lines = (f'chatgpt_base_url = "{server.url}/backend-api/"', f'openai_base_url = "{server.url}/v1"')
    (home / "config.toml").write_text("\n".join(lines))
    return environ_for(home, ambient, CODEX_REFRESH_TOKEN_URL_OVERRIDE=f"{server.url}/oauth/token")


def refresh(codex: Path, home: Path, environ: dict[str, str], until: int = LATER - 1) -> int | None:
    return refresh_login(codex, home, environ, home.parent / "locks", until * 1_000_000).expires_at_us


@pytest.mark.parametrize("expires_at", [SOON, LATER - 10], ids=["expired", "still good"])
def test_a_token_that_ends_within_the_work_is_refreshed_by_codex_itself(
    codex: Path, home: Path, environ: dict[str, str], server: AuthServer, expires_at: int
) -> None:
    write_login(home, expires_at)
    assert refresh(codex, home, environ) == LATER * 1_000_000
    assert server.spent
    assert server.refused == []
    # What the file holds now is what the next refresh needs.
    assert json.loads((home / "auth.json").read_bytes())["tokens"]["refresh_token"] == f"rt_{len(server.spent)}"


def test_a_link_to_a_login_is_refreshed_where_it_leads(
    codex: Path, home: Path, environ: dict[str, str], server: AuthServer
) -> None:
    (home.parent / "real").mkdir()
    real = write_login(home.parent / "real", SOON)
    (home / "auth.json").symlink_to(real)
    assert refresh(codex, home, environ) == LATER * 1_000_000
    assert (home / "auth.json").is_symlink()
    assert json.loads(real.read_bytes())["tokens"]["refresh_token"] == f"rt_{len(server.spent)}"


def test_of_many_who_ask_at_once_one_refreshes(
    codex_newest: Path, home: Path, environ: dict[str, str], server: AuthServer
) -> None:
    write_login(home, LATER - 10)
    argv = [sys.executable, "-c", REFRESH, str(codex_newest), str(home), str(LATER - 1)]
    asking = [
        subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [one.stdout.readline() for one in asking if one.stdout] == ["ready\n"] * 4
    # `communicate` closes the first one's input: let all of them go before it.
    for one in asking:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    assert [(one.communicate(timeout=60)[0], one.returncode) for one in asking] == [(f"{LATER * 1_000_000}\n", 0)] * 4
    assert server.refused == []
    assert server.spent == ["rt_first"]


@pytest.mark.parametrize("kind", ["lasting", "key"])
def test_what_outlasts_the_work_is_left_alone(home: Path, kind: str, tmp_path: Path) -> None:
    file = write_login(home, LATER)
    if kind == "key":
        file.write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": KEY}))
    before = file.read_bytes()
    login = refresh_login(tmp_path / "no-codex", home, {}, tmp_path / "locks", (LATER - 1) * 1_000_000)
    assert (login.mode, file.read_bytes()) == ("api_key" if kind == "key" else "chatgpt", before)


@pytest.mark.parametrize(
    ("server", "code"), [(None, "login-stale"), (LATER - 5, "login-expiring")], indirect=["server"], ids=["no", "short"]
)
def test_a_refresh_that_does_not_help_is_said(
    codex_newest: Path, home: Path, environ: dict[str, str], server: AuthServer, code: str
) -> None:
    write_login(home, LATER - 10)
    with pytest.raises(HostError) as caught:
        refresh(codex_newest, home, environ)
    assert caught.value.code == code
    assert "rt_" not in str(caught.value)
    assert set(server.refused) <= {"rt_first"}
