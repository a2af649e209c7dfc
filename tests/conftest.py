"""What every test may ask for: both real Codex programs, and a home that is nobody's.

Owns the fixtures of the whole tree. Does not own the fetching of Codex (`support/npm_codex.py`).
Invariant: no test sees the home, the login or the keys of whoever runs the tests.
"""

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from support import npm_codex, soaking

ROOT = Path(__file__).parents[1]
PRIVATE = ("ARMARIUS_", "CODEX_", "OPENAI_", "XDG_")
"""Variables with these beginnings say where somebody's things are, or what they pay with."""

# On a busy machine an example may take as long as it likes; the rest is hypothesis' own choice (on CI: repeatable).
hypothesis.settings.register_profile("armarius", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("armarius")


def home_below(folder: Path) -> dict[str, str]:
    """Where everything of a user lies, when all of it lies below `folder`."""
    home = folder / "own-home"
    places = {
        "HOME": home,
        "CODEX_HOME": home / ".codex",
        "ARMARIUS_HOME": home / ".local" / "share" / "armarius",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_DATA_HOME": home / ".local" / "share",
        "XDG_STATE_HOME": home / ".local" / "state",
        "XDG_CACHE_HOME": home / ".cache",
    }
    return {name: str(place) for name, place in places.items()}


def hide_owner(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in os.environ:
        if name.startswith(PRIVATE):
            monkeypatch.delenv(name)
    for name, value in home_below(folder).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """A job in the background is started deaf to SIGINT, and so would be every program of a test."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_owner_at_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that live longer than a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        hide_owner(monkeypatch, tmp_path_factory.mktemp("nobody"))
        yield


@pytest.fixture(scope="session")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a minute of the recorder's soak leaves, of which all workers have one."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "soak"


@pytest.fixture(scope="session", autouse=True)
def soak_begins_first(request: pytest.FixtureRequest, soak: Path) -> None:
    """It waits more than it works: begun with the first test, it is over when the one comes that asks for it."""
    asked = any(item.get_closest_marker("soak") for item in request.session.items)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if asked and worker in (None, "gw0"):
        soaking.begin(soak, os.getppid() if worker else os.getpid())


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a home of its own, so that none finds what another one left; it is not there yet."""
    hide_owner(monkeypatch, tmp_path)


@pytest.fixture
def private_home(tmp_path: Path) -> dict[str, str]:
    """The whole environment for a subprocess: the test's own home (made here), the PATH, and UTF-8."""
    places = home_below(tmp_path)
    Path(places["CODEX_HOME"]).mkdir(mode=0o700, parents=True)
    return places | {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def codex_wheel() -> Path:
    """The native Codex that comes with the package `openai-codex-cli-bin`."""
    package = importlib.util.find_spec("codex_cli_bin")
    assert package
    assert package.origin
    return Path(package.origin).parent / "bin" / "codex"


@pytest.fixture(scope="session")
def codex_newest() -> Path:
    """The native Codex that npm calls the newest; failing, never skipping, when it was not fetched."""
    try:
        return npm_codex.newest_binary(ROOT / ".make" / "codex-npm")
    except npm_codex.Unavailable as problem:
        pytest.fail(f"the newest Codex is missing ({problem}); run `make test`, which fetches it")


@pytest.fixture(scope="session", params=["wheel", "npm"])
def codex(request: pytest.FixtureRequest) -> Path:
    """Each of the two, in turn."""
    return request.getfixturevalue({"wheel": "codex_wheel", "npm": "codex_newest"}[request.param])
