"""Lanes whose provider will not listen, and budgets of lanes and days; on real Codex, as somebody types it."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from armarius.clock import SystemClock
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from armarius.watch.ledger import RunEvents
from armarius.watch.signals import Kind
from support.terminal import Done, Terminal

Setting = dict[int, Fault]
LIMITED = {number: Fault("usage-limit") for number in range(1, 9)}


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


class Lanes:
    """Lanes with a key each, and a scripted model behind every one. Their state has a short path, for the sockets."""

    def __init__(self, terminal: Terminal, state: Path, codex: Path, stack: ExitStack) -> None:
        self._terminal = terminal
        self._stack = stack
        self.state = state
        self._environ = {"ARMARIUS_HOME": str(state), "ARMARIUS_CODEX": str(codex)}
        self.servers = dict[str, ModelServer]()

    def type(self, *words: str) -> Done:
        return self._terminal.type(*words, environ=self._environ)

    def configure(self, text: str) -> None:
        path = Path(self._terminal.environ["XDG_CONFIG_HOME"]) / "armarius" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def add(self, name: str, faults: Setting | None = None, tokens: int = 10**9) -> ModelServer:
        server = self.servers[name] = self._stack.enter_context(ModelServer(faults=faults or {}))
        made = self.type("lanes", "add", name, "--kind", "api", "--tokens-per-day", str(tokens))
        assert made.code == 0, made.err
        home = self.state / "lanes" / name
        with (home / "config.toml").open("a") as file:
            file.write(f'model = "gpt-5.5"\nopenai_base_url = "{server.base_url}"\n[analytics]\nenabled = false\n')
        (home / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": f"sk-test-{name}"}))
        (home / "auth.json").chmod(0o600)
        return server

    def events(self, run: str) -> list[dict[str, Any]]:
        return self.type("runs", "show", run, "--json").answer["events"]


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


@pytest.fixture
def lanes(terminal: Terminal, codex_newest: Path) -> Iterator[Lanes]:
    folder = Path(tempfile.mkdtemp(prefix="al"))
    with ExitStack() as stack:
        yield Lanes(terminal, folder / "h", codex_newest, stack)
    shutil.rmtree(folder)


@pytest.fixture
def each_lanes(terminal: Terminal, codex: Path) -> Iterator[Lanes]:
    folder = Path(tempfile.mkdtemp(prefix="al"))
    with ExitStack() as stack:
        yield Lanes(terminal, folder / "h", codex, stack)
    shutil.rmtree(folder)


def test_work_that_meets_a_limit_goes_on_in_another_lane_and_the_ledger_shows_both(each_lanes: Lanes) -> None:
    lanes = each_lanes
    first, second = lanes.add("first", LIMITED), lanes.add("second")
    assert lanes.type("lanes", "use", "first").code == 0
    done = lanes.type("run", script({"say": "from elsewhere"}), "--json")
    assert (done.code, done.answer["answer"]) == (0, "from elsewhere"), done.err
    assert (first.requests, second.requests) == (1, 1)
    events = lanes.events(done.answer["id"])
    assert [event["kind"] for event in events][2:5] == ["run_rate_limited", "attempt_failed", "run_rerouted"]
    assert events[4]["body"]["home"].endswith("/lanes/second")
    further = lanes.type("resume", done.answer["id"], script({"say": "still there"}), "--json")
    assert (further.answer["answer"], further.answer["thread_id"]) == ("still there", done.answer["thread_id"])
    assert (first.requests, second.requests) == (1, 2)


@pytest.mark.parametrize("words", [("--lane", "first"), ()], ids=["a lane that was named", "no other lane"])
def test_without_another_lane_a_limit_is_a_state_with_its_time(lanes: Lanes, words: tuple[str, ...]) -> None:
    lanes.add("first", LIMITED)
    if words:
        lanes.add("second")
    lanes.type("lanes", "use", "first")
    done = lanes.type("run", script({"say": "never"}), *words, "--json")
    assert (done.code, done.answer["problem"]["code"]) == (1, "rate-limited")
    [line] = lanes.type("runs", "list", "--json").answer["runs"]
    assert line["error"] == "rate-limited"
    assert line["retry_at"].startswith("20")
    assert "rate_limited" in lanes.type("runs", "list").out
    assert "rate_limited" in lanes.type("runs", "show", done.answer["id"]).out
    heard = RunEvents(lanes.state / "ledger.sqlite", SystemClock(), 0)
    signals = [signal for signal in heard.take() if signal.kind is Kind.RATE_LIMITED]
    heard.close()
    assert [signal.subject for signal in signals] == [done.answer["id"]]
    assert signals[0].retry_at_us is not None


def test_a_thread_goes_on_where_it_is_also_when_a_limit_is_met(lanes: Lanes) -> None:
    lanes.add("first", {2: Fault("usage-limit")})
    second = lanes.add("second")
    lanes.type("lanes", "use", "first")
    first = lanes.type("run", script({"say": "one"}), "--json").answer
    further = lanes.type("resume", first["id"], script({"say": "two"}), "--json")
    assert (further.code, further.answer["problem"]["code"], second.requests) == (1, "rate-limited", 0)


@pytest.mark.long
def test_a_lane_with_a_key_is_kept_within_its_budget_while_a_run_lives(lanes: Lanes) -> None:
    server = lanes.add("keys", tokens=25_000)
    steps = [{"sh": "true"}] * 4
    done = lanes.type("run", script(*steps, {"wait": 60}, {"say": "never"}), "--lane", "keys", "--json")
    assert (done.code, done.answer["problem"]["code"]) == (1, "budget-tokens"), done.out
    assert "lane keys" in done.answer["problem"]["message"]
    asked = server.requests
    again = lanes.type("run", script({"say": "no"}), "--lane", "keys", "--json")
    assert (again.code, again.error["code"], server.requests) == (5, "budget-tokens", asked)


@pytest.mark.long
def test_the_budget_of_a_day_is_for_all_runs_together(lanes: Lanes) -> None:
    server = lanes.add("keys")
    lanes.configure("[budget.day]\nrequests = 3\n[budget.run]\nrequests = 2\n")
    lanes.type("lanes", "use", "keys")
    one = lanes.type("run", script({"sh": "true"}, {"say": "one"}), "--json")
    assert one.code == 0, one.err
    two = lanes.type("run", script({"sh": "true"}, {"sh": "true"}, {"wait": 60}, {"say": "never"}), "--json")
    assert two.answer["problem"]["code"] == "budget-requests"
    assert "of the day" in two.answer["problem"]["message"]
    three = lanes.type("run", script({"say": "no"}), "--json")
    assert (three.code, three.error["code"]) == (5, "budget-requests")
    assert server.requests <= 5
    meter = lanes.type("runs", "show", one.answer["id"], "--json").answer["meter"]
    assert (meter["used"]["requests"], meter["limit"]["requests"]) == (2, 2)
    assert "2 / 2 requests" in lanes.type("runs", "show", one.answer["id"]).out


@pytest.mark.parametrize("budget", ["requests=3", "tokens=lots"])
def test_a_budget_that_is_wider_or_none_is_a_wrong_command_line(lanes: Lanes, budget: str) -> None:
    server = lanes.add("keys")
    lanes.configure("[budget.run]\nrequests = 2\n")
    done = lanes.type("run", script({"say": "no"}), "--lane", "keys", "--budget", budget, "--json")
    assert (done.code, done.error["code"], server.requests) == (2, "budget", 0)
