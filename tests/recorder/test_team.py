"""A recorder and its team: snapshots trigger evolution, which publishes skills, which are pulled. And who may not."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from armarius.clock import SystemClock
from armarius.errors import ArmariusError, HostError, Refused, UsageError
from armarius.recorder.beside import Beside
from armarius.recorder.callback import CALLBACK_PATH, CallGate, callback_secret, signed_headers
from armarius.recorder.evolution import Api, Evolution
from armarius.recorder.outbound import Outbound, hub_reader, parse_endpoint
from armarius.recorder.pull import Skills
from armarius.recorder.snapshots import read_session
from armarius.recorder.team import Team, TeamPlan, open_team
from armarius.skills.bundle import Bundle, bundle_of
from armarius.skills.hub import MANIFEST, Listing, key_of, manifest_line
from armarius.skills.managed import Managed
from armarius.store.objects import Missing, open_objects
from armarius.testing.clock import FakeClock
from armarius.testing.evolve_service import EvolveService
from armarius.testing.model_server import ModelServer
from recorder.test_recorder_with_codex import Recorded
from support.codex_world import wait_for
from support.recorder_world import Client, Provider, Recorder


def skill(name: str, says: str = "x") -> dict[str, bytes]:
    return {"SKILL.md": f"---\nname: {name}\ndescription: about {name}\n---\n{says}\n".encode()}


@pytest.fixture
def service() -> Iterator[EvolveService]:
    with EvolveService(lambda sessions: {"learned": skill("learned", f"from {len(sessions)}")}) as service:
        yield service


def plan(folder: Path, **more: Any) -> TeamPlan:
    return TeamPlan(folder / "team", folder / "codex", folder / "journal", **more)


# -------------------------------------------------------------------- the whole loop


@pytest.mark.parametrize("api", ["jobs", "skillclaw"])
def test_a_session_of_codex_becomes_a_skill_that_the_next_session_has(
    tmp_path: Path, codex_wheel: Path, service: EvolveService, api: Api
) -> None:
    complaints = list[str]()
    wanted = plan(
        tmp_path,
        skills=f"{service.url}/hub",
        inject="catalogue",
        reload="off",
        snapshots=str(tmp_path / "group"),
        evolve=service.url,
        api=api,
    )
    with (
        ModelServer() as model,
        open_team(wanted, SystemClock(), complaints.append) as team,
        Recorded(tmp_path, codex_wheel, model, team=team) as world,
    ):
        first = world.exec(script=[{"say": "one"}])
        wait_for(lambda: bool(team.skills and team.skills.skills), "the skill")
        second = world.exec(script=[{"say": "two"}])
        turns = {one.identity.session: one.injected for one in world.recorder.exchanges()}
        state = world.recorder.state
    assert turns == {first: (), second: ("learned",)}
    sent = [json.loads(record.body)["input"] for record in model.records]
    told = [item["content"][0]["text"] for item in sent[-1] if item["role"] == "developer"][-1]
    assert f"(file: {tmp_path}/team/skills/injected/learned/SKILL.md)" in told
    assert (tmp_path / "team" / "skills" / "injected" / "learned" / "SKILL.md").exists()
    assert read_session(open_objects(str(tmp_path / "group"), {}), second).turns[0].injected_skills == ["learned"]
    if api == "jobs":
        keys = open_objects(str(tmp_path / "group"), {}).keys("sessions")
        assert service.orders[0]["sessions"][0] in keys
    else:
        assert ("POST", "/trigger", 200) in service.requests
    assert complaints == []
    assert state.skills
    assert state.snapshots
    assert (state.skills.skills, state.snapshots.trouble) == (1, None)


def test_with_injection_off_codex_own_catalogue_has_the_teams_skills(tmp_path: Path, codex_wheel: Path) -> None:
    mine = tmp_path / "codex" / "skills" / "mine"
    with ModelServer() as model:
        (tmp_path / "hub").mkdir()
        for name in ("learned", "mine"):
            (tmp_path / "hub" / name).mkdir()
            (tmp_path / "hub" / name / "SKILL.md").write_bytes(skill(name, "of the team")["SKILL.md"])
        wanted = plan(tmp_path, skills=str(tmp_path / "hub"))
        world = Recorded(tmp_path, codex_wheel, model)
        mine.mkdir(parents=True)
        (mine / "SKILL.md").write_bytes(skill("mine", "of the user")["SKILL.md"])
        with open_team(wanted, SystemClock(), list[str]().append) as team, world:
            world.exec(script=[{"say": "one"}])
            assert team.inject is None
            assert team.skills
            assert "not ours" in team.skills.kept[0]
    body = model.records[-1].body.decode()
    assert "- learned: about learned (file: " in body
    assert "<team_skills>" not in body
    assert "of the user" in (mine / "SKILL.md").read_text()


# -------------------------------------------------------------------- jobs


class Orders:
    """An evolution whose thread is the test."""

    def __init__(self, folder: Path, service: EvolveService, **options: Any) -> None:
        self.folder, self.url, self.options = folder, service.url, options
        self.pulls = 0
        self.evolution = self.start()

    def start(self) -> Evolution:
        outbound = Outbound(parse_endpoint(self.url))
        self.evolution = Evolution(outbound, self.folder / "kept", FakeClock(), self._pull, **self.options)
        return self.evolution

    def _pull(self) -> None:
        self.pulls += 1

    def until_done(self) -> None:
        for _ in range(60):
            if self.evolution.step() is None:
                return
        raise AssertionError("it goes on for ever")


def test_what_is_written_while_a_job_runs_makes_the_next_one(tmp_path: Path, service: EvolveService) -> None:
    service.looks = 3
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    orders.evolution.step()
    for number in (2, 3):
        orders.evolution.note(f"sessions/a-00000{number}.json")
    orders.until_done()
    assert [order["sessions"] for order in service.orders] == [
        ["sessions/a-000001.json"],
        ["sessions/a-000002.json", "sessions/a-000003.json"],
    ]
    assert (orders.pulls, orders.evolution.state.done) == (2, 2)


@pytest.mark.parametrize("fault", [500, 503, 429, 408])
def test_a_service_in_trouble_is_asked_again_with_the_same_key_and_works_once(
    tmp_path: Path, service: EvolveService, fault: int
) -> None:
    orders = Orders(tmp_path, service)
    service.faults = [fault, fault]
    orders.evolution.note("sessions/a-000001.json")
    waits = [orders.evolution.step() for _ in range(2)]
    assert waits[0] is not None
    assert waits[1] is not None
    assert waits[1] > waits[0] > 1
    assert str(fault) in str(orders.evolution.state.trouble)
    orders.until_done()
    assert (len(service.orders), orders.pulls, orders.evolution.state.trouble) == (1, 1, None)


@pytest.mark.parametrize("at", [1, 2])
def test_a_recorder_that_is_killed_goes_on_with_the_same_job(tmp_path: Path, service: EvolveService, at: int) -> None:
    """3 POSTs for one cycle, elsewhere."""
    service.looks = 2
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    for _ in range(at):
        orders.evolution.step()
    if at == 1:  # the answer with the job's id was lost
        kept = next((tmp_path / "kept").iterdir())
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"job": None}))
    orders.start()
    orders.until_done()
    assert (len(service.orders), len(service.jobs), orders.pulls) == (1, 1, 1)


@pytest.mark.parametrize("fault", [400, 401, 404, 302])
def test_a_refusal_ends_the_order_and_is_said(tmp_path: Path, service: EvolveService, fault: int) -> None:
    orders = Orders(tmp_path, service)
    service.faults = [fault]
    orders.evolution.note("sessions/a-000001.json")
    orders.until_done()
    assert (orders.pulls, orders.evolution.state.failed, len(service.orders)) == (0, 1, 0)
    assert orders.evolution.state.trouble
    orders.evolution.note("sessions/a-000002.json")
    orders.until_done()
    assert orders.pulls == 1


def test_a_job_that_failed_publishes_nothing(tmp_path: Path, service: EvolveService) -> None:
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    orders.evolution.step()
    [job] = service.jobs.values()
    job |= {"state": "failed", "error": "no budget"}
    orders.until_done()
    assert orders.pulls == 0
    assert "no budget" in str(orders.evolution.state.trouble)


@pytest.mark.parametrize("kept", [b'{"job": "\xff"}', b'{"waiting": ' + b"[" * 100_000, b"", b"[]"])
def test_what_was_kept_of_orders_and_cannot_be_read_stops_no_recorder(
    tmp_path: Path, service: EvolveService, kept: bytes
) -> None:
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    orders.until_done()
    next((tmp_path / "kept").iterdir()).write_bytes(kept)
    orders.start()
    orders.evolution.note("sessions/a-000002.json")
    orders.until_done()
    assert orders.pulls == 2


def test_a_job_that_the_service_forgot_is_ordered_again_with_its_key(tmp_path: Path, service: EvolveService) -> None:
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    orders.evolution.step()
    [name] = service.jobs
    service.jobs.clear()  # it was started again, and keeps nothing
    assert orders.evolution.step()
    assert "forgotten" in str(orders.evolution.state.trouble)
    orders.until_done()
    assert (list(service.jobs), orders.pulls, orders.evolution.state.failed) == ([name], 1, 0)


def test_a_service_that_forgets_every_job_is_not_asked_for_ever(tmp_path: Path, service: EvolveService) -> None:
    orders = Orders(tmp_path, service)
    orders.evolution.note("sessions/a-000001.json")
    for _ in range(30):
        if orders.evolution.step() is None:
            break
        service.jobs.clear()
    assert (orders.pulls, orders.evolution.state.failed, len(service.orders)) == (0, 1, 4)
    assert "404" in str(orders.evolution.state.trouble)


def test_skillclaw_is_asked_once_even_if_its_answer_was_lost(tmp_path: Path, service: EvolveService) -> None:
    orders = Orders(tmp_path, service, api="skillclaw")
    orders.evolution.note("sessions/a-000001.json")
    orders.until_done()
    assert (orders.pulls, service.requests) == (1, [("POST", "/trigger", 200)])
    kept = next((tmp_path / "kept").iterdir())
    began = {"order": {"sessions": ["x"], "schema": "armarius.evolve_order.v1"}, "begun": True}
    kept.write_text(json.dumps(json.loads(kept.read_text()) | began))  # as a crash in the middle leaves it
    orders.start()
    orders.evolution.step()
    assert len(service.requests) == 1
    assert "not known" in str(orders.evolution.state.trouble)
    assert orders.pulls == 2  # it may have published; to look costs nothing


def test_a_skillclaw_that_is_not_there_yet_is_asked_later(tmp_path: Path) -> None:
    gone = EvolveService(lambda _sessions: {"pdf": skill("pdf")})
    with gone:
        orders = Orders(tmp_path, gone, api="skillclaw")
    orders.evolution.note("sessions/a-000001.json")
    assert orders.evolution.step()
    assert "efused" in str(orders.evolution.state.trouble)
    assert (orders.pulls, gone.requests) == (0, [])
    assert json.loads(next((tmp_path / "kept").iterdir()).read_text())["begun"] is False


# -------------------------------------------------------------------- pulls


def test_a_poll_of_what_did_not_change_is_one_small_request(tmp_path: Path, service: EvolveService) -> None:
    service.publish("pdf", skill("pdf"))
    clock = FakeClock()
    with open_team(plan(tmp_path, skills=f"{service.url}/hub", reload="off"), clock, list[str]().append) as team:
        assert team.pull
        first = len(service.requests)
        team.pull()
        wait_for(lambda: len(service.requests) > first, "poll")
        assert service.requests[first:] == [("GET", "/hub/manifest.jsonl", 304)]
        service.publish("pdf", skill("pdf", "new"))
        team.pull()
        wait_for(lambda: "new" in (tmp_path / "codex" / "skills" / "pdf" / "SKILL.md").read_text(), "new skill")
        service.withdraw("pdf")
        team.pull()
        wait_for(lambda: not (tmp_path / "codex" / "skills" / "pdf").exists(), "its end")


def test_a_hub_in_trouble_changes_nothing_and_is_asked_more_rarely(tmp_path: Path, service: EvolveService) -> None:
    service.publish("pdf", skill("pdf"))
    said = list[str]()
    with open_team(plan(tmp_path, skills=f"{service.url}/hub", reload="off"), FakeClock(), said.append) as team:
        assert team.pull
        assert team.skills
        service.faults = [500, 302]
        team.pull()
        wait_for(lambda: "500" in str(team.skills and team.skills.trouble), "trouble")
        assert (tmp_path / "codex" / "skills" / "pdf" / "SKILL.md").exists()
        team.pull()
        wait_for(lambda: "leads elsewhere" in str(team.skills and team.skills.trouble), "no redirect is followed")
        assert said[0].startswith("SKILLS: ")
    assert ("GET", "/elsewhere", 404) not in service.requests


def test_of_many_skills_that_cannot_be_taken_some_are_named_and_the_rest_counted(
    tmp_path: Path, service: EvolveService
) -> None:
    service.hub[MANIFEST] = b"".join(b"line %d\n" % number for number in range(80))
    with open_team(plan(tmp_path, skills=f"{service.url}/hub"), FakeClock(), list[str]().append) as team:
        assert team.skills
        assert len(team.skills.kept) == 51
        assert team.skills.kept[-1] == "and 30 more"


def test_polls_have_jitter_and_back_off(tmp_path: Path) -> None:
    class Broken:
        broken = False

        def listing(self, etag: str | None) -> Listing | None:
            if self.broken:
                raise HostError("x", "y", "z")
            return Listing((), (), etag)

        def fetch(self, bundle: Bundle) -> dict[str, bytes]:
            raise AssertionError(bundle)

    source = Broken()
    managed = Managed(tmp_path / "skills", tmp_path / "own")
    skills = Skills(source, "x", managed, SystemClock(), every_s=30.0, text=False)
    waits = [skills.step([]) for _ in range(20)]
    assert all(wait and 30 <= wait <= 33 for wait in waits)
    assert len(set(waits)) > 5
    source.broken = True
    grown = [skills.step([]) or 0 for _ in range(8)]
    assert grown[0] < grown[1] < grown[2] <= 660
    assert 600 <= grown[-1] <= 660


@pytest.mark.parametrize(
    "wanted",
    [
        {"inject": "pinned"},
        {"reload": "callback"},
        {"evolve": "https://x.example"},
        {"snapshots": "s3://X"},
        {"snapshots": ""},
        {"skills": " "},
        {"snapshots": "x", "evolve": ""},
        {"callers": ("somebody",)},
        {"token": "a-token\n"},
    ],
)
def test_what_does_not_fit_together_is_an_error_of_usage(tmp_path: Path, wanted: dict[str, Any]) -> None:
    with pytest.raises(UsageError), open_team(plan(tmp_path, **wanted), FakeClock(), print):
        pass


def test_a_skill_of_the_hub_that_would_climb_out_stays_there(tmp_path: Path, service: EvolveService) -> None:
    """S4, S5: what a member of the group can write to the shared place writes to no other member's machine."""
    bundle = bundle_of("pdf", skill("pdf"))
    evil = manifest_line(bundle).replace(b'"SKILL.md","sha256"', b'"/etc/x","sha256"')
    service.publish("web", skill("web"))
    service.hub["manifest.jsonl"] += evil + manifest_line(bundle).replace(b'"pdf"', b'"../../pdf"')
    service.hub[key_of("pdf", "SKILL.md")] = skill("pdf")["SKILL.md"]
    with open_team(plan(tmp_path, skills=f"{service.url}/hub", reload="off"), FakeClock(), print) as team:
        assert team.skills
        assert len(team.skills.kept) == 2
    assert sorted(path.name for path in (tmp_path / "codex" / "skills").iterdir()) == ["web"]


# -------------------------------------------------------------------- threat 12: where we go ourselves


def reach(text: str, addresses: list[str], allowed: tuple[str, ...] = ()) -> None:
    outbound = Outbound(parse_endpoint(text), allowed=frozenset(allowed), resolve=lambda _host, _port: addresses)
    outbound.ask("GET", "/x", seconds=0.2)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("https://127.1/x", ["127.0.0.1"]),
        ("https://0x7f.1/x", ["127.0.0.1"]),
        ("https://2130706433/x", ["127.0.0.1"]),
        ("https://hub.example", ["::ffff:127.0.0.1"]),
        ("https://[::ffff:127.0.0.1]", ["::ffff:127.0.0.1"]),
        ("https://hub.example", ["::ffff:10.0.0.1"]),
        ("https://169.254.169.254", ["169.254.169.254"]),
        ("https://metadata.example", ["169.254.169.254"]),
        ("https://hub.example", ["10.1.2.3"]),
        ("https://hub.example", ["192.168.0.1"]),
        ("https://hub.example", ["fd00::1"]),
        ("https://hub.example", ["fe80::1%eth0"]),
        ("https://hub.example", ["0.0.0.0"]),
        ("https://hub.example", ["224.0.0.1"]),
        ("https://hub.example", ["100.64.0.1"]),
        ("https://hub.example", ["93.184.216.34", "127.0.0.1"]),
    ],
)
def test_threat_12_no_name_leads_to_this_machine_or_a_private_network(text: str, addresses: list[str]) -> None:
    with pytest.raises(Refused, match="no public address"):
        reach(text, addresses)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "127.0.0.1", "::1"])
def test_threat_12_what_no_server_has_is_not_allowed_by_allowing_its_name(address: str) -> None:
    with pytest.raises(Refused):
        reach("https://hub.corp", [address], ("hub.corp",))


@pytest.mark.parametrize("address", ["10.255.255.1", "::ffff:10.255.255.1"])
def test_threat_12_a_private_server_is_asked_when_it_is_allowed_by_name(address: str) -> None:
    with pytest.raises(HostError):  # nobody is there, but it was tried
        reach("https://hub.corp", [address], ("hub.corp",))


def test_threat_12_a_name_that_changes_is_looked_at_each_time() -> None:
    answers = [["10.255.255.1"], ["127.0.0.1"]]
    resolved = list[str]()

    def flip(host: str, _port: int) -> list[str]:
        resolved.append(host)
        return answers.pop(0)

    outbound = Outbound(parse_endpoint("https://hub.corp"), allowed=frozenset({"hub.corp"}), resolve=flip)
    with pytest.raises(HostError):
        outbound.ask("GET", "/x", seconds=0.2)
    with pytest.raises(Refused):
        outbound.ask("GET", "/x", seconds=0.2)
    assert resolved == ["hub.corp"] * 2  # once for each, and it is the checked one that was connected to


def test_an_address_that_does_not_answer_is_not_in_the_way_of_the_next(service: EvolveService) -> None:
    endpoint = parse_endpoint(service.url.replace("127.0.0.1", "localhost"))
    outbound = Outbound(endpoint, resolve=lambda _host, _port: ["127.0.0.9", "127.0.0.1"])
    assert outbound.ask("GET", "/v1/jobs/none").status == 404


@pytest.mark.parametrize(
    "text",
    [
        *("http://hub.example", "http://10.0.0.1", "http://127.1", "ftp://x", "file:///etc/passwd", "https://u:p@x"),
        *("https://x/?q", "https://x/#f", "https://x/../y", "https://x/%2e%2e", "https://", "x", "https://a b/"),
        *("https://x:99999", "https://[::1", "gopher://127.0.0.1", "https://x\r\ny"),
    ],
)
def test_threat_12_an_address_is_https_or_on_this_machine(text: str) -> None:
    with pytest.raises((UsageError, Refused)):
        parse_endpoint(text)


def test_threat_19_the_token_goes_to_the_named_server_and_the_answer_has_a_limit(service: EvolveService) -> None:
    service.publish("pdf", skill("pdf", "x" * 5000))
    read = hub_reader(Outbound(parse_endpoint(f"{service.url}/hub"), token="t"))
    assert read("skills/pdf/SKILL.md", 10_000, None)
    with pytest.raises(ArmariusError, match="more than 100 bytes"):
        read("skills/pdf/SKILL.md", 100, None)
    with pytest.raises(Missing):
        read("skills/none/SKILL.md", 100, None)


# -------------------------------------------------------------------- threat 16: who calls back


@pytest.fixture
def called(provider: Provider, tmp_path: Path) -> Iterator[tuple[Recorder, list[int], bytes]]:
    pulls = list[int]()
    secret = callback_secret(tmp_path / "team", SystemClock())
    gate = CallGate(secret, SystemClock(), frozenset({"127.0.0.1"}))
    team = Team(calls=gate, pull=lambda: pulls.append(1))
    with Recorder(provider.url, tmp_path, team=team) as recorder:
        yield recorder, pulls, secret


def call(recorder: Recorder, headers: Mapping[str, str], body: bytes = b"{}", source: str = "127.0.0.1") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", recorder.port, timeout=20, source_address=(source, 0))
    try:
        connection.request("POST", CALLBACK_PATH.decode(), body, dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_a_call_of_the_service_pulls(called: tuple[Recorder, list[int], bytes]) -> None:
    recorder, pulls, secret = called
    assert call(recorder, signed_headers(secret, b"{}", SystemClock())) == 202
    assert call(recorder, signed_headers(secret, b"{}", SystemClock())) == 202
    assert len(pulls) == 2


def aged(secret: bytes, seconds: int) -> dict[str, str]:
    clock = FakeClock(SystemClock().now_us() + seconds * 1_000_000)
    return signed_headers(secret, b"{}", clock)


@pytest.mark.parametrize(
    "change",
    [
        {"x-armarius-signature": None, "x-armarius-nonce": None, "x-armarius-timestamp": None},
        *({"x-armarius-signature": text} for text in ("0" * 64, "", "\xfc" * 64)),
        *({"x-armarius-nonce": text} for text in ("a" * 32, "")),
        *({"x-armarius-timestamp": text} for text in ("1", "x", "9" * 40)),
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
    ],
)
def test_threat_16_a_call_that_is_missing_something_or_says_it_wrongly_does_nothing(
    called: tuple[Recorder, list[int], bytes], change: dict[str, str | None]
) -> None:
    recorder, pulls, secret = called
    headers = signed_headers(secret, b"{}", SystemClock()) | change
    assert call(recorder, {name: text for name, text in headers.items() if text is not None}) in (403, 421)
    assert pulls == []


def test_threat_16_a_call_that_is_old_or_early_or_signed_by_another_does_nothing(
    called: tuple[Recorder, list[int], bytes],
) -> None:
    recorder, pulls, secret = called
    for headers in (
        aged(secret, -400),
        aged(secret, 400),
        signed_headers(b"another secret", b"{}", SystemClock()),
        signed_headers(secret, b"another body", SystemClock()),
    ):
        assert call(recorder, headers) == 403
    assert pulls == []
    assert call(recorder, aged(secret, -100)) == 202


def test_threat_16_a_call_that_is_told_again_does_nothing(called: tuple[Recorder, list[int], bytes]) -> None:
    recorder, pulls, secret = called
    headers = signed_headers(secret, b"{}", SystemClock())
    assert [call(recorder, headers) for _ in range(3)] == [202, 403, 403]
    assert len(pulls) == 1


def test_threat_16_a_call_from_an_address_that_is_not_on_the_list_does_nothing(
    called: tuple[Recorder, list[int], bytes],
) -> None:
    recorder, pulls, secret = called
    assert call(recorder, signed_headers(secret, b"{}", SystemClock()), source="127.0.0.2") == 403
    assert pulls == []


def test_threat_29_a_call_has_a_size(called: tuple[Recorder, list[int], bytes]) -> None:
    recorder, pulls, secret = called
    body = b"x" * (65 << 10)
    assert call(recorder, signed_headers(secret, body, SystemClock()), body) == 413
    unmeasured = signed_headers(secret, b"{}", SystemClock()) | {"transfer-encoding": "chunked"}
    assert call(recorder, unmeasured, b"2\r\n{}\r\n0\r\n\r\n") == 413
    assert pulls == []


def test_where_nobody_asked_for_callbacks_there_are_none(recorder: Recorder) -> None:
    assert call(recorder, signed_headers(b"x" * 32, b"{}", SystemClock())) == 403
    with Client(recorder.port) as client:
        assert client.ask({}, path=CALLBACK_PATH.decode()).answer()[0] == 404


def test_the_service_calls_back_when_a_job_has_published(tmp_path: Path, provider: Provider) -> None:
    (tmp_path / "team").mkdir()
    secret = callback_secret(tmp_path / "team", SystemClock())
    assert (tmp_path / "team" / "callback-secret").stat().st_mode & 0o777 == 0o600
    with EvolveService(lambda _sessions: {"pdf": skill("pdf")}, secret=secret) as service:
        wanted = plan(tmp_path, skills=f"{service.url}/hub", reload="callback")
        with (
            open_team(wanted, SystemClock(), print) as team,
            Recorder(provider.url, tmp_path, team=team) as recorder,
        ):
            service.publish("pdf", skill("pdf"))
            assert service.call_back(recorder.base_url.removesuffix("/v1") + CALLBACK_PATH.decode()) == 202
            wait_for((tmp_path / "codex" / "skills" / "pdf").exists, "the skill")


# -------------------------------------------------------------------- work beside


def test_work_beside_gets_everything_in_order_and_survives_its_faults() -> None:
    got, said = list[int](), list[str]()
    begun = threading.Event()

    def step(told: list[int]) -> float | None:
        begun.set()
        got.extend(told)
        if 3 in told:
            raise ZeroDivisionError("three")
        return None

    with Beside("test", step, said.append, last=lambda: got.append(-1), patience_s=20) as beside:
        assert begun.wait(20)
        for number in range(100):
            beside.tell(number)
    assert got == [*range(100), -1]
    assert said == ["ZeroDivisionError: three"]

    def fail() -> None:
        raise KeyError("end")

    with Beside("test", step, said.append, last=fail, patience_s=20):
        pass
    assert said[1:] == ["KeyError: 'end'"]
