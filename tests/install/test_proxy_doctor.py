"""What the doctor of the recorder says of things that are not as they should be, and whom it asks."""

import threading
from pathlib import Path

import pytest

from armarius import settings as configuration
from armarius.clock import SystemClock
from armarius.install.profile import Profile, client_token
from armarius.install.proxy_doctor import ProxyFinding, examine
from armarius.recorder.access import parse_listen
from armarius.settings import Settings
from support.recorder_world import Provider, plain

ELSEWHERE = "0.0.0.0"  # nobody listens on it


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "codex"
    home.mkdir()
    loaded = configuration.load(
        environ={"HOME": str(tmp_path), "CODEX_HOME": str(home), "ARMARIUS_HOME": str(tmp_path / "a")}
    )
    token = client_token(loaded.recorder, SystemClock())
    Profile(home, loaded.recorder).install(parse_listen("127.0.0.1:1"), token)
    return loaded


def profile_finding(settings: Settings) -> ProxyFinding:
    return next(finding for finding in examine(settings).findings if finding.check == "profile")


@pytest.mark.parametrize(
    "spoilt",
    [b"\xff\xfe\0", b"", b"x" * 2000, b"another-token-of-the-same-length-012345678", None, "folder"],
    ids=["bytes", "empty", "long", "another", "missing", "a folder"],
)
def test_a_token_that_is_none_or_another_is_said(settings: Settings, spoilt: bytes | str | None) -> None:
    assert profile_finding(settings).verdict == "ok"
    token = settings.recorder / "token"
    token.unlink()
    if isinstance(spoilt, bytes):
        token.write_bytes(spoilt)
    elif spoilt is not None:
        token.mkdir()
    finding = profile_finding(settings)
    assert finding.verdict == "fail"
    assert finding.hint


def test_a_profile_that_leads_elsewhere_is_said_and_nobody_there_is_asked(settings: Settings) -> None:
    profile = settings.codex_home / "armarius.config.toml"
    asked = threading.Event()

    def answer(_seen: object) -> list[bytes]:
        asked.set()
        return plain(200, b"{}")

    with Provider(answer) as other:
        port = other.url.rpartition(":")[2]
        # It leads to this machine, but as an address it is none of loopback, and stands for all of those.
        profile.write_text(profile.read_text().replace("127.0.0.1:1/v1", f"{ELSEWHERE}:{port}"))
        finding = profile_finding(settings)
    assert finding.verdict == "fail"
    assert ELSEWHERE in finding.found
    assert not asked.is_set()
