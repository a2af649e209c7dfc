"""Who may say what, and that a project's file, which a stranger wrote, may say almost nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.budget import Budget
from armarius.errors import ArmariusError, DataError, Refused
from armarius.sessions.repositories import spot_of
from armarius.settings import PROJECT_FILE, GpuSpec, ProbeSpec, Settings, load, project_root

HOME = "/home/somebody"
ENVIRON = {"ARMARIUS_MODEL": "of the environment", "ARMARIUS_TIMEOUT": "400", "ARMARIUS_CODEX": "/e/codex"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "project" / ".git" / "HEAD").touch()
    return tmp_path / "project"


def say_user(text: str | bytes) -> Path:
    path = Path(platformdirs.user_config_dir("armarius", appauthor=False)) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def say_project(project: Path, text: str | bytes) -> Path:
    path = project / PROJECT_FILE
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def loaded(project: Path | None = None, environ: dict[str, str] | None = None) -> Settings:
    return load(project, {"HOME": HOME, "PATH": "/bin"} | (environ or {}))


def answer(project: Path) -> Settings | ArmariusError:
    try:
        return loaded(project)
    except ArmariusError as error:
        return error


def test_with_nothing_said_there_are_defaults_in_the_places_of_the_platform() -> None:
    settings = loaded()
    data = Path(platformdirs.user_data_dir("armarius", appauthor=False))
    assert (settings.home, settings.ledger, settings.runs) == (data, data / "ledger.sqlite", data / "runs")
    assert settings.cache == Path(platformdirs.user_cache_dir("armarius", appauthor=False))
    assert (settings.user_home, settings.codex_home) == (Path(HOME), Path(HOME, ".codex"))
    assert (settings.codex, settings.model, settings.effort) == (None, None, None)
    assert (settings.timeout, settings.workers, settings.max_tasks) == (3600.0, 4, 40)
    assert (settings.project_skill, settings.project_tasks, settings.skill_roots) == (None, None, ())


@pytest.mark.parametrize(
    ("environ", "field", "value"),
    [
        ({"ARMARIUS_HOME": "/data/armarius"}, "home", Path("/data/armarius")),
        ({"ARMARIUS_HOME": "relative"}, "home", Path("relative").absolute()),
        ({"CODEX_HOME": "/data/codex"}, "codex_home", Path("/data/codex")),
        ({"CODEX_HOME": ""}, "codex_home", Path(HOME, ".codex")),
        ({"PATH": "/a:/b"}, "search_path", "/a:/b"),
        ({"ARMARIUS_CODEX": "/opt/codex"}, "codex", "/opt/codex"),
        ({"ARMARIUS_MODEL": "gpt-5.5"}, "model", "gpt-5.5"),
        ({"ARMARIUS_MODEL": ""}, "model", None),
        ({"ARMARIUS_EFFORT": "high"}, "effort", "high"),
        ({"ARMARIUS_TIMEOUT": "1.5"}, "timeout", 1.5),
        ({"ARMARIUS_WORKERS": "8"}, "workers", 8),
    ],
)
def test_the_environment_says_where_things_are_and_how_they_are_done(
    environ: dict[str, str], field: str, value: Any
) -> None:
    assert getattr(loaded(environ=environ), field) == value


def test_what_is_said_later_is_stronger(project: Path) -> None:
    assert loaded(project).timeout == 3600
    say_user('model = "of the user"\neffort = "low"\ntimeout = 500\nworkers = 2\ncodex = "/u/codex"\n')
    said = loaded(project)
    assert (said.model, said.effort, said.timeout, said.workers, said.codex) == (
        *("of the user", "low", 500.0, 2, "/u/codex"),
    )
    said = loaded(project, ENVIRON)
    assert (said.model, said.effort, said.timeout, said.workers, said.codex) == (
        *("of the environment", "low", 400.0, 2, "/e/codex"),
    )
    say_project(project, 'timeout = 300\nmax_tasks = 5\nskill = "skills/a"\ntasks = "tasks.json"\n')
    said = loaded(project, {"ARMARIUS_TIMEOUT": "400"})
    assert (said.timeout, said.max_tasks, said.workers) == (300.0, 5, 2)
    assert (said.project_skill, said.project_tasks) == (project / "skills" / "a", project / "tasks.json")


def test_folders_of_skills_may_be_written_as_a_tilde() -> None:
    say_user('skill_roots = ["~/skills", "/shared"]\n')
    assert loaded().skill_roots == (Path(os.environ["HOME"], "skills"), Path("/shared"))


def test_the_user_s_own_file_declares_resources_and_their_probes() -> None:
    say_user(
        "[resources.gpu]\nkind = 'gpu'\nmost_memory = 900\n"
        "[resources.hw]\nkind = 'probe'\ncommand = ['/bin/is-free', 'a b']\ntimeout = 3\n"
    )
    assert loaded().resources == {"gpu": GpuSpec(900), "hw": ProbeSpec(["/bin/is-free", "a b"], 3.0)}


def test_the_keys_that_could_change_who_pays_are_known_by_name_only() -> None:
    settings = loaded(environ={"OPENAI_API_KEY": "sk-x", "CODEX_API_KEY": "", "API_KEYS": "o", "openai_api_key": "x"})
    assert settings.api_keys == ("OPENAI_API_KEY",)
    others = {"CODEX_ACCESS_TOKEN": "x", "OPENAI_BASE_URL": "x", "TEAM_API_KEY": "x", "CODEX_HOME": "/x"}
    assert loaded(environ=others).api_keys == ("CODEX_ACCESS_TOKEN", "OPENAI_BASE_URL", "TEAM_API_KEY")
    assert loaded(environ={"OPENAI_API_KEY": "a", "CODEX_API_KEY": "b"}).api_keys == ("CODEX_API_KEY", "OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("timout = 3\n", "setting-unknown", "unknown setting `timout`; did you mean 'timeout'?"),
        ("[codex]\npath = 'x'\n", "setting-type", "Expected `str | null`, got `object` - at `$.codex`"),
        ("timeout = 'lots'\n", "setting-type", "Expected `float | null`, got `str` - at `$.timeout`"),
        ("timeout = true\n", "setting-type", "got `bool`"),
        ("workers = 1.5\n", "setting-type", "got `float`"),
        ("skill_roots = 'x'\n", "setting-type", "got `str`"),
        ("timeout = 0\n", "setting-range", "timeout is 0.0; it must be above 0"),
        ("timeout = -1\n", "setting-range", "timeout is -1.0"),
        ("timeout = nan\n", "setting-range", "timeout is nan"),
        ("timeout = inf\n", "setting-range", "timeout is inf"),
        ("workers = 0\n", "setting-range", "workers is 0"),
        ("workers = 10000000\n", "setting-range", "below 10,000,000"),
        ("resources = 1\n", "setting-type", "at `$.resources`"),
        ("[resources.X]\nkind = 'counter'\n", "setting-type", "matching regex"),
        ("[resources.'a\\n']\nkind = 'counter'\n", "setting-type", "matching regex"),
        ("[resources.\"a\\n\"]\nkind = 'counter'\n", "setting-type", "matching regex"),
        ("[resources.a]\n", "setting-type", "missing required field `kind`"),
        ("[resources.a]\nkind = 'magic'\n", "setting-type", "Invalid value 'magic'"),
        ("[resources.a]\nkind = 'counter'\nunits = 0\n", "setting-type", ">= 1"),
        ("[resources.a]\nkind = 'counter'\ncommand = ['x']\n", "setting-type", "unknown field `command`"),
        ("[resources.a]\nkind = 'probe'\ncommand = 'x'\n", "setting-type", "Expected `array`, got `str`"),
        ("[resources.a]\nkind = 'probe'\ncommand = []\n", "setting-type", "length >= 1"),
        ("[resources.a]\nkind = 'probe'\ncommand = ['x']\ntimeout = nan\n", "setting-type", "> 0"),
        ("[resources.gpu]\nkind = 'gpu'\nmost_utilisation = inf\n", "setting-type", "<= 100000"),
        ("timeout = \n", "config-syntax", "at line 1, column 11"),
        ("a = 1\na = 2\n", "config-syntax", "Cannot overwrite a value"),
        ("timeout = 1" + "0" * 5000, "config-syntax", "4300 digits"),
        ("timeout = 1" + "0" * 400, "setting-type", "out of range"),
        ("a = " + "[" * 5000, "config-syntax", "recursion"),
        (b"model = '\xff'\n", "config-encoding", "byte 9 is not UTF-8"),
        (b"#" * 20_000, "too-large", "20,000 bytes"),
    ],
)
def test_each_bad_line_of_the_user_is_one_clear_error(text: str | bytes, code: str, said: str) -> None:
    path = say_user(text)
    with pytest.raises(DataError) as caught:
        loaded()
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ARMARIUS_TIMEOUT", "soon", "setting-type"),
        ("ARMARIUS_TIMEOUT", "nan", "setting-range"),
        ("ARMARIUS_TIMEOUT", "0", "setting-range"),
        ("ARMARIUS_TIMEOUT", "-5", "setting-range"),
        ("ARMARIUS_TIMEOUT", "1e9", "setting-range"),
        ("ARMARIUS_WORKERS", "1.5", "setting-type"),
        ("ARMARIUS_WORKERS", "0", "setting-range"),
        ("ARMARIUS_WORKERS", "9" * 5000, "setting-type"),
    ],
)
def test_each_bad_variable_is_one_clear_error(name: str, value: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        loaded(environ={name: value})
    assert caught.value.code == code
    assert name.removeprefix("ARMARIUS_").lower() in str(caught.value).lower()


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def device(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path)


def nowhere(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("gone")


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("make", [folder, device, circle, nowhere, pipe])
@pytest.mark.parametrize("whose", ["user", "project"])
def test_a_file_of_settings_that_is_no_file_is_neither_waited_for_nor_passed_over(
    project: Path, make: Callable[[Path], None], whose: str
) -> None:
    user = Path(platformdirs.user_config_dir("armarius", appauthor=False)) / "config.toml"
    make(user if whose == "user" else project / PROJECT_FILE)
    with pytest.raises(DataError, match=r"\.toml"):
        loaded(project)


def test_a_place_for_settings_that_is_no_folder_holds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null")
    assert loaded().model is None


FORBIDDEN = """
codex = "./codex"
"codex" = "./codex"
'codex' = "./codex"
codex.path = "./codex"
"co\\u0064ex" = "./codex"
[codex]
Codex = "./codex"
model = "gpt-5.5"
effort = "high"
workers = 64
skill_roots = ["/"]
sandbox = "danger-full-access"
sandbox_mode = "danger-full-access"
sandbox_workspace_write.network_access = true
approval_policy = "on-request"
permissions = {}
env = { LD_PRELOAD = "./x.so" }
environ.PATH = "."
environment = ["A=B"]
shell_environment_policy.inherit = "all"
base_url = "http://evil.example.org"
openai_base_url = "http://evil.example.org"
model_provider = "evil"
[model_providers.evil]
login = "./auth.json"
auth = { file = "./auth.json" }
codex_home = "."
home = "/"
ledger = "postgresql://evil.example.org"
probe = "touch /tmp/x"
mcp_servers.x.command = "/bin/sh"
[[hooks.Stop]]
notify = ["/bin/sh"]
budget.day.tokens = 1000000000
max_tokens = 1000000000
scope = ["/"]
add_dir = "/"
profile = "wide"
a_setting_of_tomorrow = true
"" = 1
"skill " = "x"
"timeout\\n" = 1
""".strip().splitlines()


@pytest.mark.parametrize("line", FORBIDDEN)
@pytest.mark.parametrize("before", ["", 'skill = "skills/a"\ntimeout = 1\n'], ids=["alone", "after good lines"])
def test_a_project_that_says_anything_else_is_refused_with_the_word_it_said(
    project: Path, line: str, before: str
) -> None:
    path = say_project(project, f"{before}{line}\n")
    with pytest.raises(Refused, match="a project may not set") as caught:
        loaded(project)
    assert (caught.value.code, caught.value.exit_code) == ("project-file", 5)
    assert str(path) in caught.value.message
    assert "skill, tasks, timeout, max_tasks" in caught.value.hint


@given(st.text(), st.sampled_from(["1", "true", '"x"', "[]", "{}"]))
def test_no_key_but_the_five_is_ever_open_to_a_project(key: str, value: str) -> None:
    known = ("skill", "tasks", "timeout", "max_tasks", "budget")
    folder = Path(os.environ["HOME"]) / "any"
    (folder / ".git").mkdir(parents=True, exist_ok=True)
    (folder / ".git" / "HEAD").touch()
    name = "".join(f"\\U{ord(letter):08x}" for letter in key)
    say_project(folder, f'"{name}" = {value}\n')
    if key not in known:
        with pytest.raises(Refused):
            loaded(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("timeout = 3601", "may not raise `timeout` from 3600 to 3601"),
        ("timeout = 9999999.0", "may not raise `timeout` from 3600 to 1e+07"),
        ("max_tasks = 41", "may not raise `max_tasks` from 40 to 41"),
    ],
)
def test_a_project_may_not_ask_for_more(project: Path, line: str, said: str) -> None:
    say_project(project, line)
    with pytest.raises(Refused) as caught:
        loaded(project)
    assert (said in str(caught.value), caught.value.exit_code) == (True, 5)


def test_what_a_project_may_not_raise_is_what_its_user_has_set(project: Path) -> None:
    say_user("timeout = 100\n")
    say_project(project, "timeout = 101\n")
    with pytest.raises(Refused, match="from 100 to 101"):
        loaded(project)
    assert loaded(project, {"ARMARIUS_TIMEOUT": "101"}).timeout == 101
    say_project(project, "timeout = 100\n")
    assert loaded(project).timeout == 100


NONSENSE = (
    *("timeout = nan", "timeout = inf", "timeout = 0", "timeout = -1", "max_tasks = 0", "max_tasks = -5"),
    *("max_tasks = 1.0", "max_tasks = '5'", "timeout = true", "skill = 7", "tasks = ['a']", "skill = {}"),
    *('skill = "a\\u0000b"', "not toml", "timeout = 1" + "0" * 5000, "skill = " + "[" * 5000),
)


@pytest.mark.parametrize("line", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_of_a_project_is_an_error_and_never_a_crash(project: Path, line: str) -> None:
    say_project(project, line + "\n")
    assert isinstance(answer(project), DataError)


OUTSIDE = (
    *("..", "../other", "a/../../other", "a/b/../../../other", "/etc/passwd", "/", "//etc", "link/passwd"),
    *("deep/link2", "link-to-parent/other", "./../other", "link/../etc"),
)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("key", ["skill", "tasks"])
def test_no_path_of_a_project_leads_out_of_it(project: Path, key: str, name: str) -> None:
    (project / "deep").mkdir()
    (project / "link").symlink_to("/etc")
    (project / "deep" / "link2").symlink_to("../../other")
    (project / "link-to-parent").symlink_to("..")
    (project.parent / "other").mkdir()
    say_project(project, f"{key} = '{name}'\n")
    with pytest.raises(Refused, match="outside the project") as caught:
        loaded(project)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        ("skills/a", "skills/a"),
        ("./skills/../skills/a", "skills/a"),
        ("inner-link/a", "skills/a"),
        ("not there yet", "not there yet"),
        ("..a", "..a"),
        ("~", "~"),
        ("$HOME/x", "$HOME/x"),
    ],
)
def test_a_path_inside_a_project_is_taken_where_it_leads(project: Path, name: str, leads_to: str) -> None:
    (project / "skills").mkdir()
    (project / "inner-link").symlink_to("skills")
    say_project(project, f"skill = '{name}'\n")
    assert loaded(project).project_skill == project / leads_to


def test_a_path_that_goes_round_in_circles_is_an_error_or_leads_nowhere_else(project: Path) -> None:
    (project / "circle").symlink_to("circle")
    say_project(project, "skill = 'circle/x'\n")
    found = answer(project)  # Python 3.13 takes a circle for its own end
    assert isinstance(found, DataError) or found == msgspec.structs.replace(
        loaded(), project_skill=project / "circle" / "x"
    )


def test_a_project_behind_a_link_is_the_same_project(project: Path) -> None:
    (project.parent / "way").symlink_to(project)
    say_project(project, "skill = 'skills/a'\n")
    assert loaded(project.parent / "way").project_skill == project / "skills" / "a"


def test_a_project_is_the_repository_around_a_folder_or_the_folder_itself(project: Path, tmp_path: Path) -> None:
    (project / "src" / "deep").mkdir(parents=True)
    (tmp_path / "worktree" / "src").mkdir(parents=True)
    (tmp_path / "worktree" / ".git").write_text("gitdir: elsewhere")
    assert project_root(project / "src" / "deep") == project
    assert project_root(project) == project
    assert project_root(tmp_path / "worktree" / "src") == tmp_path / "worktree"
    assert project_root(tmp_path / "alone") == tmp_path / "alone"
    say_project(project, "max_tasks = 7\n")
    say_project(project / "src", "max_tasks = 3\n")
    assert loaded(project / "src" / "deep").max_tasks == 7
    assert loaded().max_tasks == 40


def test_nothing_of_the_environment_becomes_a_setting_by_accident(project: Path) -> None:
    settings = loaded(project, {"ARMARIUS_MAX_TASKS": "1000", "ARMARIUS_SANDBOX": "danger-full-access", "MODEL": "x"})
    assert (settings.max_tasks, settings.model) == (40, None)
    assert settings.environ["ARMARIUS_SANDBOX"] == "danger-full-access"


def test_a_project_may_lower_what_a_run_may_use_up_and_never_raise_it(project: Path) -> None:
    say_user("[budget.run]\ntokens = 1000\nminutes = 5\n[budget.day]\ntokens = 9000\n")
    say_project(project, "[budget.run]\ntokens = 10\nrequests = 3\n")
    found = loaded(project)
    assert found.run_budget == Budget(tokens=10, requests=3, minutes=5.0)
    assert found.day_budget == Budget(tokens=9000)
    say_project(project, "[budget.run]\ntokens = 1001\n")
    with pytest.raises(Refused, match=r"may not raise `budget\.run\.tokens` from 1000 to 1001"):
        loaded(project)


@pytest.mark.parametrize("text", ["tokens = 0", 'tokens = "lots"', "minutes = nan", "minutes = -1", "tokns = 1"])
def test_a_budget_that_is_none_is_named_with_its_key(text: str) -> None:
    path = say_user(f"[budget.run]\n{text}\n")
    with pytest.raises(DataError) as caught:
        loaded()
    assert str(path) in caught.value.message
    assert "budget.run" in caught.value.message


LEFT_BEHIND: dict[str, tuple[Callable[[Path], object], bool]] = {
    "an empty folder": (Path.mkdir, False),
    "a folder with a file": (lambda git: (git.mkdir(), (git / "config").touch()), False),
    "a repository": (lambda git: (git.mkdir(), (git / "HEAD").touch()), True),
    "one without a commit": (lambda git: (git.mkdir(), (git / "HEAD").symlink_to("refs/heads/unborn")), True),
    "a worktree": (lambda git: git.write_text("gitdir: elsewhere\n"), True),
    "a circle": (lambda git: git.symlink_to(git), False),
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_an_empty_git_folder_that_a_sandbox_left_is_no_repository(tmp_path: Path, what: str) -> None:
    leave, is_one = LEFT_BEHIND[what]
    inner = tmp_path / "place" / "deep"
    inner.mkdir(parents=True)
    leave(tmp_path / "place" / ".git")
    assert project_root(inner) == (tmp_path / "place" if is_one else inner)
    assert (spot_of(inner).store is not None) == is_one
    (tmp_path / "place" / PROJECT_FILE).write_text("timeout = 7\n")
    assert load(inner).timeout == (7 if is_one else 3600)
