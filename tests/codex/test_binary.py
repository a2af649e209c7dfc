"""Which codex is taken, and that it is asked once: real builds, and shell scripts in npm's layout."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import armarius
from armarius.codex.binary import OLDEST, REQUIRED_FLAGS, Binary, ask_version, find, locate
from armarius.codex.editors import editor_programs
from armarius.errors import HostError

MACHINE = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
PLATFORM = f"codex-{sys.platform}-{MACHINE}"
HELP = " ".join(sorted(REQUIRED_FLAGS))
LAYOUTS = {
    "nested": f"codex/node_modules/@openai/{PLATFORM}/vendor/some-triple/bin/codex",
    "sibling": f"{PLATFORM}/vendor/some-triple/bin/codex",
    "one package": "codex/vendor/some-triple/bin/codex",
}


class Npm:
    """`@openai/codex` as npm installs it, with a program that counts how often it is asked."""

    def __init__(self, folder: Path, layout: str = "nested") -> None:
        self.folder = folder
        scope = folder / "node_modules" / "@openai"
        self.program = scope / LAYOUTS[layout]
        self.program.parent.mkdir(parents=True)
        self.script = scope / "codex" / "bin" / "codex.js"
        self.script.parent.mkdir(parents=True, exist_ok=True)
        self.script.write_text("#!/usr/bin/env node\n")
        self.script.chmod(0o755)
        self.asked = folder / "asked"
        self.asked.touch()
        self.answers()

    def answers(self, version: str = "codex-cli 0.163.0", help_text: str = HELP) -> None:
        self.program.write_text(
            f"#!/bin/sh\necho \"$*\" >> '{self.asked}'\n"
            f"case \"$1\" in --version) echo '{version}';; exec) echo '{help_text}';; esac\n"
        )
        self.program.chmod(0o755)

    def questions(self) -> list[str]:
        return self.asked.read_text().splitlines()

    def find(self) -> Binary:
        return find(setting=str(self.script), search_path="", cache=self.folder / "probes.json")


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    return Npm(tmp_path)


def put_on_path(folder: Path, target: Path) -> str:
    """A folder with a `codex` that links to `target`, as a search path."""
    folder.mkdir()
    (folder / "codex").symlink_to(target)
    return str(folder)


def test_a_real_build_tells_its_version_and_everything_that_a_run_needs(codex: Path, tmp_path: Path) -> None:
    binary = find(setting=str(codex), search_path="", cache=tmp_path / "probes.json")
    assert (binary.path, binary.origin) == (str(codex.resolve()), "setting")
    assert tuple(map(int, binary.version.split("."))) >= OLDEST
    assert binary.version == ask_version(codex)
    assert all(binary.has(flag) for flag in REQUIRED_FLAGS)
    assert not binary.has("--no-such-flag")


def test_a_setting_goes_before_the_path_and_the_path_before_the_wheel(
    npm: Npm, codex_wheel: Path, tmp_path: Path
) -> None:
    path = put_on_path(tmp_path / "bin", codex_wheel)
    assert locate(setting=str(npm.script), search_path=path) == (npm.program, "setting")
    assert locate(setting=None, search_path=path) == (codex_wheel.resolve(), "PATH")
    assert locate(setting=None, search_path="") == (codex_wheel, "wheel")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_behind_npms_script_its_native_program_is_found(tmp_path: Path, layout: str) -> None:
    npm = Npm(tmp_path, layout)
    link = tmp_path / "node_modules" / ".bin"
    link.mkdir()
    (link / "codex").symlink_to("../@openai/codex/bin/codex.js")
    assert locate(setting=None, search_path=str(link)) == (npm.program, "PATH")
    assert locate(setting=str(npm.script), search_path="") == (npm.program, "setting")


def test_a_home_may_be_written_as_a_tilde(npm: Npm) -> None:
    home = Path(os.environ["HOME"])
    home.mkdir()
    (home / "my-codex").symlink_to(npm.script)
    assert locate(setting="~/my-codex", search_path="") == (npm.program, "setting")


def test_on_the_path_only_an_executable_file_in_an_absolute_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codex_wheel: Path
) -> None:
    (tmp_path / "a-folder" / "codex").mkdir(parents=True)
    (tmp_path / "not-executable").mkdir()
    (tmp_path / "not-executable" / "codex").write_text("text")
    put_on_path(tmp_path / "brought-along", Path("/bin/true"))
    monkeypatch.chdir(tmp_path / "brought-along")
    right = put_on_path(tmp_path / "right", codex_wheel)
    folders = ["", ".", "../brought-along", f"{tmp_path}/gone", f"{tmp_path}/a-folder", f"{tmp_path}/not-executable"]
    assert locate(setting=None, search_path=":".join([*folders, right])) == (codex_wheel.resolve(), "PATH")


def test_a_setting_that_leads_nowhere_is_not_replaced_by_another_codex(tmp_path: Path, codex_wheel: Path) -> None:
    path = put_on_path(tmp_path / "bin", codex_wheel)
    with pytest.raises(HostError, match=r"no codex at /no/such/codex") as caught:
        locate(setting="/no/such/codex", search_path=path)
    assert (caught.value.code, caught.value.exit_code) == ("codex-missing", 4)


EXTENSION = f"{sys.platform}-{platform.machine().lower()}"


class Home:
    """A user's home with editors in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, version: str, editor: str = ".vscode", machine: str = EXTENSION, *, mode: int = 0o755) -> Path:
        program = self.folder / editor / "extensions" / f"openai.chatgpt-{version}" / "bin" / machine / "codex"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
        return program

    def found(self) -> list[tuple[Path, str]]:
        return [(one.path, one.editor) for one in editor_programs(self.folder).programs]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_of_the_editors_the_newest_extension_is_taken_after_the_path(
    home: Home, tmp_path: Path, codex_wheel: Path
) -> None:
    old = home.install("0.4.9-linux-x64", ".cursor")
    newest = home.install("26.304.20706", ".vscode-server")
    newer = home.install("0.4.10", ".vscode")
    assert home.found() == [(newest, "VS Code server"), (newer, "VS Code"), (old, "Cursor")]
    assert locate(setting=None, search_path="", user_home=home.folder) == (newest, "VS Code server")
    path = put_on_path(tmp_path / "bin", codex_wheel)
    assert locate(setting=None, search_path=path, user_home=home.folder) == (codex_wheel.resolve(), "PATH")
    assert locate(setting=None, search_path="", user_home=tmp_path) == (codex_wheel, "wheel")


def as_it_is(_: Path) -> None:
    pass


def not_executable(program: Path) -> None:
    program.chmod(0o644)


def writable(program: Path) -> None:
    program.chmod(0o777)


def world_writable(program: Path) -> None:
    program.parents[2].chmod(0o777)


def owned_by_another(program: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(program.parent, 12345, -1)


def linked(program: Path) -> None:
    program.rename(program.with_name("elsewhere"))
    program.symlink_to("/bin/sh")


def folder_linked(program: Path) -> None:
    program.parent.rename(program.parents[3] / "real")
    program.parent.symlink_to(program.parents[3] / "real")


@pytest.mark.parametrize(
    ("version", "machine", "spoil", "reason"),
    [
        ("1.2.3", EXTENSION, not_executable, "it may not be executed"),
        ("1.2.3", EXTENSION, writable, "anybody may write to codex"),
        ("1.2.3", EXTENSION, world_writable, "anybody may write to openai.chatgpt-1.2.3"),
        ("1.2.3", EXTENSION, owned_by_another, "belongs to another user"),
        ("1.2.3", EXTENSION, linked, "codex is a link"),
        ("1.2.3", EXTENSION, folder_linked, f"{EXTENSION} is a link"),
        ("1.2.3", "plan9-mips", as_it_is, "no program for this machine"),
        ("latest", EXTENSION, as_it_is, "no version in its name"),
        ("1" * 40, EXTENSION, as_it_is, "no version in its name"),
        ("1.2.3\n4", EXTENSION, as_it_is, "no version in its name"),
    ],
)
def test_an_extension_that_cannot_be_trusted_is_passed_over_with_its_reason(
    home: Home, version: str, machine: str, spoil: Callable[[Path], None], reason: str
) -> None:
    sound = home.install("0.1.0")
    spoil(home.install(version, machine=machine))
    assert home.found() == [(sound, "VS Code")]
    [line] = editor_programs(home.folder).skipped
    assert reason in line


WITHOUT_WHEEL = """
from armarius.codex.binary import locate
from armarius.errors import HostError
try:
    locate(setting=None, search_path="/no/such/folder")
except HostError as error:
    print(error.code, error, sep="|")
"""


def test_without_any_codex_the_way_to_get_one_is_said(tmp_path: Path, codex_wheel: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for package in codex_wheel.parents[2].iterdir():
        if not package.name.startswith("codex_cli_bin"):
            (site / package.name).symlink_to(package)
    source = Path(armarius.__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT_WHEEL],
        env={"PYTHONPATH": f"{source}:{site}"},
        capture_output=True,
        check=True,
        text=True,
    )
    code, message = answer.stdout.strip().split("|")
    assert code == "codex-missing"
    assert "/no/such/folder" in message
    assert "npm install -g @openai/codex" in message


def test_a_shim_of_another_kind_is_taken_as_it_is(tmp_path: Path, codex_wheel: Path) -> None:
    shim = tmp_path / "codex"
    shim.write_text(f'#!/bin/sh\nexec {codex_wheel} "$@"\n')
    shim.chmod(0o755)
    binary = find(setting=None, search_path=str(tmp_path), cache=tmp_path / "probes.json")
    assert (binary.path, binary.origin) == (str(shim), "PATH")
    assert binary.has("--ephemeral")


def test_a_script_without_its_program_is_refused_and_not_run(npm: Npm) -> None:
    npm.program.unlink()
    with pytest.raises(HostError, match="the program it starts was not found") as caught:
        npm.find()
    assert (caught.value.code, npm.questions()) == ("codex-wrapper", [])


@pytest.mark.parametrize(
    ("program", "code"),
    [("/bin/true", "codex-unknown"), ("/bin/echo", "codex-unknown"), ("/etc/passwd", "codex-broken")],
)
def test_what_is_no_codex_is_told_from_an_old_one(tmp_path: Path, program: str, code: str) -> None:
    with pytest.raises(HostError, match=Path(program).name) as caught:
        find(setting=program, search_path="", cache=tmp_path / "probes.json")
    assert (caught.value.code, caught.value.exit_code) == (code, 4)


@pytest.mark.parametrize(
    ("version", "help_text", "said"),
    [
        ("codex-cli 0.42.0", HELP, r"codex 0\.42\.0 at .* is too old; 0\.150\.0 or newer is needed"),
        ("codex-cli 0.149.9", HELP, r"0\.149\.9 .* too old"),
        ("codex 0.9.200", HELP, r"0\.9\.200 .* too old"),
        ("codex-cli 1.0.0", HELP.replace("--ephemeral", ""), r"its exec lacks --ephemeral\)"),
        ("codex-cli 1.0.0", "--json-lines --sandboxed", r"its exec lacks --ephemeral, --ignore-rules, --json, "),
    ],
)
def test_what_is_too_old_is_refused_with_both_versions_or_what_it_lacks(
    npm: Npm, version: str, help_text: str, said: str
) -> None:
    npm.answers(version, help_text)
    with pytest.raises(HostError, match=said) as caught:
        npm.find()
    assert caught.value.code == "codex-old"
    assert "npm install -g @openai/codex" in caught.value.hint


@pytest.mark.parametrize("version", ["codex-cli 0.150.0", "codex-cli 0.170.0-alpha.3", "codex 12.0.1"])
def test_what_is_new_enough_is_taken(npm: Npm, version: str) -> None:
    npm.answers(version)
    assert npm.find().version in version


def test_a_program_is_asked_once_and_again_when_its_file_changed(npm: Npm) -> None:
    assert npm.find() == npm.find()
    assert npm.questions() == ["--version", "exec --help"]
    npm.answers("codex-cli 0.169.0")
    assert (npm.find().version, npm.find().version) == ("0.169.0", "0.169.0")
    assert len(npm.questions()) == 4


def test_two_programs_keep_their_answers_side_by_side(npm: Npm, tmp_path: Path) -> None:
    other = Npm(tmp_path / "other")
    other.answers("codex-cli 0.155.0")
    cache = tmp_path / "probes.json"
    for _ in range(2):
        versions = [find(setting=str(n.script), search_path="", cache=cache).version for n in (npm, other)]
        assert versions == ["0.163.0", "0.155.0"]
    assert (len(npm.questions()), len(other.questions())) == (2, 2)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"a": 1}', b'{"a": {"stamp": [1, 2, 3]}}', b'{"\xff": 1}', b"[" * 100_000],
    ids=["empty", "torn", "null", "list", "wrong", "other fields", "not UTF-8", "deep"],
)
def test_a_broken_cache_is_asked_again_and_mended(npm: Npm, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "probes.json").write_bytes(content)
    assert npm.find().version == "0.163.0"
    assert npm.find().version == "0.163.0"
    assert len(npm.questions()) == 2


def test_a_codex_is_asked_without_the_environment_of_the_caller(
    npm: Npm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "seen")
    npm.program.write_text(f"#!/bin/sh\nenv > '{tmp_path}/environ'\necho codex-cli 0.163.0 {HELP}\n")
    npm.find()
    assert "CANARY" not in (tmp_path / "environ").read_text()
