"""`armarius lanes` and `armarius doctor billing`, as somebody types them."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.auth_server import write_login
from support.terminal import Done, Terminal

KEY = "sk-test-1234567890abcdef"
LATER = 4_102_444_800
RESETS = 3_786_912_000


class Desk:
    """A machine whose state has a short path, because the sockets of a lane have to fit below it."""

    def __init__(self, terminal: Terminal, state: Path, codex: Path) -> None:
        self.terminal = terminal
        self.state = state
        self.environ = {"ARMARIUS_HOME": str(state), "ARMARIUS_CODEX": str(codex)}

    def type(self, *words: str, stdin: bytes = b"", **environ: str) -> Done:
        return self.terminal.type(*words, stdin=stdin, environ=self.environ | environ)

    def home(self, name: str) -> Path:
        return self.state / "lanes" / name


@pytest.fixture
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="al"))
    yield folder / "h"
    shutil.rmtree(folder)


@pytest.fixture
def desk(terminal: Terminal, state: Path, codex_newest: Path) -> Desk:
    return Desk(terminal, state, codex_newest)


@pytest.fixture
def each_desk(terminal: Terminal, state: Path, codex: Path) -> Desk:
    return Desk(terminal, state, codex)


def test_the_life_of_a_lane(desk: Desk, check: Callable[[Any], None]) -> None:
    made = desk.type("lanes", "add", "work", "--json")
    check(made.answer)
    assert made.answer | {"home": ""} == {
        "schema": "armarius.lane.v1",
        "name": "work",
        "kind": "chatgpt",
        "home": "",
        "is_default": False,
        "login": "none",
        "tokens_per_day": None,
    }
    assert desk.type("lanes", "add", "work").err.startswith("armarius: there is a lane 'work' already")
    write_login(desk.home("work"), LATER)
    check(desk.type("lanes", "use", "work", "--json").answer)
    listed = desk.type("lanes", "list", "--json").answer
    check(listed)
    assert [(row["name"], row["is_default"], row["login"]) for row in listed["lanes"]] == [
        ("own", False, "none"),
        ("work", True, "chatgpt"),
    ]
    assert desk.type("lanes", "list").out.splitlines()[2].split() == [
        *("*", "work", "chatgpt", "chatgpt", str(desk.home("work")))
    ]
    told = desk.type("lanes", "use", "own", ARMARIUS_LANE="work")
    assert (told.code, told.err) == (0, "armarius: note: your setting `lane` names 'work', and a setting comes first\n")
    assert desk.type("lanes", "remove", "work").code == 5
    gone = desk.type("lanes", "remove", "work", "--yes", "--json")
    check(gone.answer)
    assert [row["name"] for row in desk.type("lanes", "list", "--json").answer["lanes"]] == ["own"]
    assert not desk.home("work").exists()


def test_codex_s_own_login_lands_in_the_lane_and_only_if_it_is_of_its_kind(
    each_desk: Desk, check: Callable[[Any], None]
) -> None:
    desk = each_desk
    assert desk.type("lanes", "add", "keys", "--kind", "api").code == 5
    assert desk.type("lanes", "add", "keys", "--kind", "api", "--tokens-per-day", "many").code == 2
    made = desk.type("lanes", "add", "keys", "--kind", "api", "--tokens-per-day", "1.5M", "--json")
    assert (made.code, made.answer["tokens_per_day"]) == (0, 1_500_000)
    done = desk.type("lanes", "login", "keys", "--json", stdin=f"{KEY}\n".encode())
    assert done.code == 0, done.err
    check(json.loads(done.out.splitlines()[-1]))
    assert KEY not in done.out + done.err
    assert json.loads((desk.home("keys") / "auth.json").read_bytes())["OPENAI_API_KEY"] == KEY
    assert not (desk.terminal.codex_home / "auth.json").exists()
    assert desk.type("lanes", "login", "keys", stdin=b"").code in (1, 3)
    assert desk.type("lanes", "login", "own").code == 2
    assert desk.type("lanes", "login", "keys", "--device-auth").code == 2
    assert desk.type("lanes", "login", "nobody").code == 2
    # A plan in a lane for keys, and a key in a lane for plans.
    write_login(desk.home("keys"), LATER)
    assert desk.type("doctor", "billing", "--lane", "keys").code == 5
    desk.type("lanes", "add", "work")
    (desk.home("work") / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": KEY}))
    (desk.home("work") / "auth.json").chmod(0o600)
    assert "login-api-key" in desk.type("doctor", "billing", "--lane", "work").out


def rollout(home: Path, *, used: float, resets_at: int) -> None:
    now = datetime.now(UTC)
    stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    thread = "01a1f8e7-5676-70b3-858d-4ade9b9a49ef"
    window = {"used_percent": used, "window_minutes": 300, "resets_at": resets_at}
    usage = {"input_tokens": 700, "cached_input_tokens": 0, "output_tokens": 50}
    rows = (
        ("session_meta", {"id": thread, "cwd": "/", "cli_version": "0.169.0", "source": "exec"}),
        ("event_msg", {"type": "token_count", "info": None, "rate_limits": {"primary": window, "secondary": None}}),
        ("token_usage_record", {"response_id": "r", "turn_id": "t", "usage": usage}),
    )
    folder = home / "sessions" / "2026" / "11" / "20"
    folder.mkdir(parents=True)
    lines = (json.dumps({"timestamp": stamp, "type": kind, "payload": payload}) for kind, payload in rows)
    (folder / f"rollout-2026-11-20T10-00-00-{thread}.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_status_says_what_each_lane_may_still_do(desk: Desk, check: Callable[[Any], None]) -> None:
    for name, used in (("full", 100.0), ("half", 50.0)):
        desk.type("lanes", "add", name)
        write_login(desk.home(name), LATER)
        rollout(desk.home(name), used=used, resets_at=RESETS)
    desk.type("lanes", "add", "keys", "--kind", "api", "--tokens-per-day", "1000")
    (desk.home("keys") / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": KEY}))
    (desk.home("keys") / "auth.json").chmod(0o600)
    rollout(desk.home("keys"), used=0.0, resets_at=RESETS)
    desk.type("lanes", "add", "new")
    done = desk.type("lanes", "status", "--json")
    check(done.answer)
    assert done.code == 0
    rows = {row["lane"]["name"]: row for row in done.answer["lanes"]}
    assert rows["full"]["primary"] == {
        "used_percent": 100.0,
        "window_minutes": 300,
        "resets_at": "2090-01-01T00:00:00.000000Z",
    }
    assert (rows["full"]["room_percent"], rows["full"]["opens_at"]) == (0.0, "2090-01-01T00:00:00.000000Z")
    assert (rows["half"]["room_percent"], rows["half"]["objections"], rows["half"]["secondary"]) == (50.0, [], None)
    assert rows["half"]["expires_at"] == "2100-01-01T00:00:00.000000Z"
    assert (rows["keys"]["tokens_today"], rows["keys"]["room_percent"]) == (750, 100.0)
    assert [found["code"] for found in rows["new"]["objections"]] == ["login-missing"]
    shown = desk.type("lanes", "status").out
    assert "100% used, resets 2090-01-01T00:00:00.000000Z" in shown
    assert "750 of 1,000 tokens today" in shown
    assert desk.type("lanes", "status", "half").code == 0
    assert desk.type("lanes", "status", "new").code == 4
    assert desk.type("lanes", "status", "half", TEAM_API_KEY=KEY).code == 5
    assert desk.type("lanes", "status", "nobody").code == 2


def test_a_login_that_lasts_is_left_alone_by_refresh(desk: Desk, check: Callable[[Any], None]) -> None:
    desk.type("lanes", "add", "work")
    file = write_login(desk.home("work"), LATER)
    before = file.read_bytes()
    done = desk.type("lanes", "refresh", "work", "--json")
    assert (done.code, file.read_bytes()) == (0, before)
    check(done.answer)
    assert desk.type("lanes", "refresh", "nobody").code == 2


def test_doctor_says_who_pays_and_where_that_is_said(desk: Desk, check: Callable[[Any], None]) -> None:
    own = desk.terminal.codex_home
    none = desk.type("doctor", "billing", "--json")
    check(none.answer)
    assert (none.code, none.answer["billing"]["plan"], none.answer["lane"]) == (4, "nobody", "own")
    write_login(own, LATER)
    plan = desk.type("doctor", "billing")
    assert (plan.code, plan.err) == (0, "")
    assert plan.out.startswith(f"Lane own, {own}. Your ChatGPT plan would be billed.\n")
    assert "Logged in using ChatGPT" in plan.out
    refused = desk.type("doctor", "billing", CODEX_API_KEY=KEY)
    assert (refused.code, "Refused (ambient-key): CODEX_API_KEY is set" in refused.out) == (5, True)
    assert KEY not in refused.out + refused.err
    (desk.terminal.project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (desk.terminal.project / ".codex").mkdir()
    hostile = desk.terminal.project / ".codex" / "config.toml"
    hostile.write_text('forced_login_method = "\\u001b[31mapi"\n')
    done = desk.type("doctor", "billing", "--json")
    check(done.answer)
    assert (done.code, [found["code"] for found in done.answer["billing"]["objections"]]) == (5, ["project-config"])
    assert "\x1b" not in desk.type("doctor", "billing").out + done.out
    hostile.write_text("x =")
    broken = desk.type("doctor", "billing", "--json")
    assert (broken.code, broken.error["code"]) == (3, "codex-config")
    hostile.unlink()
    (own / "work.config.toml").write_text(
        'model_provider = "p"\n[model_providers.p]\nname = "p"\nbase_url = "https://u:pw@e.org/v1"\nenv_key = "P_KEY"\n'
    )
    other = desk.type("doctor", "billing", "--profile", "work")
    assert other.code == 5
    assert "The provider 'p' would be billed, with P_KEY." in other.out
    assert ["key", "variable", "P_KEY", f"{own}/work.config.toml"] in [line.split() for line in other.out.splitlines()]
    assert "pw" not in other.out
    assert desk.type("doctor", "billing", "--profile", "gone").code == 3
    assert desk.type("doctor", "billing", "--lane", "nobody").code == 2
    assert (own / "auth.json").exists()


def provide(desk: Desk, lane: str) -> None:
    """Let a lane use the provider that the terminal's own home uses."""
    config = (desk.terminal.codex_home / "config.toml").read_text()
    (desk.home(lane) / "config.toml").write_text(config)


@pytest.mark.usefixtures("model")
def test_a_run_uses_the_login_of_its_lane_and_its_thread_stays_there(desk: Desk) -> None:
    assert desk.type("lanes", "add", "paid", "--kind", "api", "--tokens-per-day", "1000000").code == 0
    provide(desk, "paid")
    assert desk.type("lanes", "login", "paid", stdin=KEY.encode()).code == 0
    done = desk.type("run", "--lane", "paid", "--json", 'SCRIPT:[{"say": "in the lane"}]')
    assert done.code == 0, done.err
    first = done.answer
    assert first["answer"] == "in the lane"
    assert Path(first["rollout"]).is_relative_to(desk.home("paid"))
    own = desk.type("run", "--json", 'SCRIPT:[{"say": "in my own"}]').answer
    assert Path(own["rollout"]).is_relative_to(desk.terminal.codex_home)

    assert desk.type("lanes", "use", "paid").code == 0
    by_default = desk.type("run", "--json", 'SCRIPT:[{"say": "in the default"}]').answer
    assert Path(by_default["rollout"]).is_relative_to(desk.home("paid"))
    assert desk.type("lanes", "use", "own").code == 0
    for name in (first["id"], first["thread_id"]):
        again = desk.type("resume", name, "--json", 'SCRIPT:[{"say": "further"}]').answer
        assert (again["thread_id"], again["rollout"]) == (first["thread_id"], first["rollout"])
    listed = {one["id"] for one in desk.type("sessions", "list", "--json").answer["sessions"]}
    assert listed == {first["thread_id"], own["thread_id"], by_default["thread_id"]}


@pytest.mark.usefixtures("model")
def test_a_lane_for_a_plan_runs_nothing_that_a_plan_does_not_pay(desk: Desk) -> None:
    assert desk.type("lanes", "add", "work").code == 0
    write_login(desk.home("work"), LATER)
    provide(desk, "work")
    done = desk.type("run", "--lane", "work", "hi")
    assert (done.code, done.out) == (5, "")
    unknown = desk.type("run", "--lane", "wrok", "hi")
    assert (unknown.code, unknown.err) == (2, "armarius: there is no lane 'wrok'; did you mean 'work'?\n")
