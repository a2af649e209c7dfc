"""Who says what: defaults, the user's file, the project's file, the environment.

Owns reading the environment and both configuration files; no other module does. Flags are applied
by the command that has them. Does not own what a setting means.
Invariant: the project's file is hostile input, because a cloned repository brings it. It may name
a skill and a task file inside the project and make limits smaller. Anything else in it is refused,
known or not, so that a new setting is never open to projects by accident.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
import platformdirs

from armarius.budget import NO_BUDGET, Budget
from armarius.errors import DataError, Refused, nearest
from armarius.files import read_bounded

_File = TypeVar("_File", "UserFile", "ProjectFile")

__all__ = [
    "PROJECT_FILE",
    "RESOURCE_NAME",
    "ContainersSpec",
    "CounterSpec",
    "GpuSpec",
    "ProbeSpec",
    "ProcessesSpec",
    "ResourceSpec",
    "Settings",
    "check_database",
    "is_repository",
    "load",
    "local_zone",
    "pays",
    "project_root",
]

PROJECT_FILE = ".armarius.toml"
_MOST = 10_000_000
_LONGEST_FILE = 16 << 10  # tomllib takes seconds for a long dotted key


RESOURCE_NAME = r"^[a-z][a-z0-9_-]{0,63}\Z"
_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_Percent: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
_Words: TypeAlias = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^\0]*$")]], msgspec.Meta(min_length=1, max_length=64)
]


class GpuSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="gpu"):
    """GPUs that nvidia-smi shows. One is free with at most so much memory (MiB), utilisation (%) and programs."""

    most_memory: Annotated[int, msgspec.Meta(ge=0)] = 500
    most_utilisation: _Percent = 10.0
    most_apps: Annotated[int, msgspec.Meta(ge=0)] = 0


class ProcessesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="processes"):
    """Free while no process of this host has a command line that matches one of the patterns (RE2)."""

    patterns: _Words
    units: _Number = 1


class ContainersSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="containers"):
    """Free while none of the containers uses more than so much CPU (% of one core); being up is not being busy."""

    names: _Words
    most_cpu: _Percent = 5.0
    units: _Number = 1


class ProbeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="probe"):
    """Free when the command (no shell) ends with 0 within `timeout` seconds."""

    command: _Words
    timeout: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 10.0
    units: _Number = 1


class CounterSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="counter"):
    """So many of something that is only counted."""

    units: _Number = 1


ResourceSpec: TypeAlias = GpuSpec | ProcessesSpec | ContainersSpec | ProbeSpec | CounterSpec
"""What the user may say of a resource: `[resources.NAME]` with its `kind`."""


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[budget.run]`: what each run may use up, `[budget.day]`: all runs of a day (UTC) together."""

    run: Budget = NO_BUDGET
    day: Budget = NO_BUDGET


class UserFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user's `config.toml`. `timeout` in seconds; `mcp` are tools of `armarius mcp` that may change something."""

    codex: str | None = None
    model: str | None = None
    effort: str | None = None
    timeout: float | None = None
    workers: int | None = None
    skill_roots: list[str] = []
    resources: dict[Annotated[str, msgspec.Meta(pattern=RESOURCE_NAME)], ResourceSpec] = {}
    lane: str | None = None
    drop_keys: bool = False
    budget: Budgets = Budgets()
    database: str | None = None
    mcp: list[str] = []


class ProjectFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project's `.armarius.toml`. Paths are relative to the project and stay inside it."""

    skill: str | None = None
    tasks: str | None = None
    timeout: float | None = None
    max_tasks: int | None = None
    budget: Budgets = Budgets()


class Settings(msgspec.Struct, frozen=True):
    """Everything that was said, resolved. Times in seconds.

    `environ` is the caller's whole environment: it is handed to `codex.command`, which picks from
    it by its allow-list, and to nobody else. `config` is the user's own file, which names programs.
    """

    home: Path
    config: Path
    cache: Path
    user_home: Path
    codex_home: Path
    search_path: str
    environ: dict[str, str]
    codex: str | None = None
    model: str | None = None
    effort: str | None = None
    timeout: float = 3600.0
    workers: int = 4
    skill_roots: tuple[Path, ...] = ()
    resources: dict[str, ResourceSpec] = {}
    project_skill: Path | None = None
    project_tasks: Path | None = None
    max_tasks: int = 40
    lane: str | None = None
    drop_keys: bool = False
    database: str | None = None
    run_budget: Budget = NO_BUDGET
    day_budget: Budget = NO_BUDGET
    mcp: tuple[str, ...] = ()

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.sqlite"

    @property
    def has_ledger(self) -> bool:
        """Whether something was ever recorded, as far as that can be told without asking a server."""
        return self.database is not None or self.ledger.exists()

    @property
    def session_index(self) -> Path:
        return self.home / "sessions.sqlite"

    @property
    def lanes(self) -> Path:
        return self.home / "lanes"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def hook_events(self) -> Path:
        """Where our hooks in Codex say what happens."""
        return self.home / "hooks" / "events.jsonl"

    @property
    def databases(self) -> Path | None:
        """Where the user's Codex keeps its databases, if not in its home."""
        elsewhere = self.environ.get("CODEX_SQLITE_HOME")
        return Path(elsewhere) if elsewhere else None

    @property
    def claude_home(self) -> Path:
        return Path(self.environ.get("CLAUDE_CONFIG_DIR") or self.user_home / ".claude").absolute()

    @property
    def recorder(self) -> Path:
        """The recorder's folder: its token, its journal, copies of what its profile changed."""
        return self.home / "recorder"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def api_keys(self) -> tuple[str, ...]:
        """Names of the variables that are set and with which somebody other than a plan could be billed."""
        return tuple(sorted(name for name, value in self.environ.items() if value and pays(name)))


def load(project: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings for work in `project` (None: for no project); weakest first.

    DataError for a bad file or variable, Refused for a project file that asks for too much.
    """
    environ = dict(os.environ if environ is None else environ)
    home = Path(environ["ARMARIUS_HOME"]) if environ.get("ARMARIUS_HOME") else _data_folder()
    user_home = Path(environ.get("HOME") or Path.home())
    settings = Settings(
        home=home.expanduser().absolute(),
        config=Path(platformdirs.user_config_dir("armarius", appauthor=False)) / "config.toml",
        cache=Path(platformdirs.user_cache_dir("armarius", appauthor=False)),
        user_home=user_home,
        codex_home=Path(environ.get("CODEX_HOME") or user_home / ".codex").absolute(),
        search_path=environ.get("PATH", os.defpath),
        environ=environ,
    )
    settings = _apply_user(settings, settings.config)
    limits = _from_environ(environ)
    settings = msgspec.structs.replace(settings, **limits)
    if project is not None:
        settings = _apply_project(settings, project_root(project))
    return settings


def local_zone(settings: Settings) -> str:
    """The name of this machine's time zone, UTC when it has none."""
    said = settings.environ.get("TZ", "").removeprefix(":")
    if said:
        return said
    _, _, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    return name or "UTC"


def pays(name: str) -> bool:
    """Whether a variable of that name could bill somebody other than a plan."""
    return name.endswith("_API_KEY") or name.startswith("OPENAI_") or name == "CODEX_ACCESS_TOKEN"


def check_database(address: str) -> str:
    """The address of a ledger; DataError, which does not repeat it, for a file's name and what would become one."""
    if not address.startswith(("postgresql://", "postgres://")):
        what = "a ledger that is named lives at an address that begins with postgresql://"
        raise DataError("ledger-address", what, "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return address


def project_root(folder: Path) -> Path:
    """The repository `folder` lies in, or `folder` itself when it lies in none."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if is_repository(place)), folder)


def is_repository(folder: Path) -> bool:
    """Whether `folder` is the top of a repository, or of a worktree of one.

    An empty `.git` is none: Codex's own sandbox leaves such folders behind, in the temp folder too.
    """
    git = folder / ".git"
    try:
        return git.is_file() or os.path.lexists(git / "HEAD")
    except OSError:  # a name too long, a circle of links: git cannot enter it either
        return False


def _data_folder() -> Path:
    return Path(platformdirs.user_data_dir("armarius", appauthor=False))


def _apply_user(settings: Settings, path: Path) -> Settings:
    table = _read(path)
    if table is None:
        return settings
    for key in table:
        if key not in UserFile.__struct_fields__:
            hint = nearest(key, UserFile.__struct_fields__)
            raise DataError("setting-unknown", f"{path}: unknown setting `{key}`", hint)
    said = _convert(table, UserFile, path)
    named = {
        name: getattr(said, name) for name in ("codex", "model", "effort", "lane", "database", "timeout", "workers")
    }
    _check_limits(named, str(path))
    if said.database is not None:
        check_database(said.database)
    return msgspec.structs.replace(
        settings,
        skill_roots=tuple(Path(root).expanduser() for root in said.skill_roots),
        resources=said.resources,
        drop_keys=said.drop_keys,
        mcp=tuple(said.mcp),
        run_budget=said.budget.run,
        day_budget=said.budget.day,
        **{name: value for name, value in named.items() if value is not None},
    )


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("codex", "model", "effort", "lane", "database"):
        if text := environ.get(f"ARMARIUS_{name.upper()}"):
            said[name] = check_database(text) if name == "database" else text
    for name, kind in (("timeout", float), ("workers", int)):
        if text := environ.get(f"ARMARIUS_{name.upper()}"):
            try:
                said[name] = kind(text)
            except ValueError:
                raise DataError(
                    "setting-type",
                    f"ARMARIUS_{name.upper()}: expected a number, got {text!r}",
                    "unset or correct it",
                ) from None
    _check_limits(said, "the environment")
    return said


def _apply_project(settings: Settings, root: Path) -> Settings:
    path = root / PROJECT_FILE
    table = _read(path)
    if table is None:
        return settings
    for key in table:
        if key not in ProjectFile.__struct_fields__:
            raise _forbidden(path, key)
    said = _convert(table, ProjectFile, path)
    _check_limits({"timeout": said.timeout, "max_tasks": said.max_tasks}, str(path))
    return msgspec.structs.replace(
        settings,
        project_skill=_inside(root, said.skill, path),
        project_tasks=_inside(root, said.tasks, path),
        timeout=_narrow("timeout", settings.timeout, said.timeout, path),
        max_tasks=_narrow("max_tasks", settings.max_tasks, said.max_tasks, path),
        run_budget=_narrow_budget(settings.run_budget, said.budget, path),
    )


def _forbidden(path: Path, key: str) -> Refused:
    allowed = ", ".join(ProjectFile.__struct_fields__).replace("budget", "budget.run")
    return Refused(
        "project-file",
        f"{path}: a project may not set `{key}`",
        f"it may only name or narrow: {allowed}; settings of yours belong in your own config.toml",
    )


def _narrow(name: str, ours: Any, theirs: Any, path: Path) -> Any:
    if theirs is not None and theirs > ours:
        raise Refused(
            "project-file",
            f"{path}: a project may not raise `{name}` from {ours:g} to {theirs:g}",
            "lower it there, or raise your own",
        )
    return ours if theirs is None else theirs


def _narrow_budget(ours: Budget, theirs: Budgets, path: Path) -> Budget:
    """What a run in the project may use up; a day's budget is no project's business."""
    if theirs.day:
        raise _forbidden(path, "budget.day")
    wider = theirs.run.wider(ours)
    if wider is not None:
        _narrow(f"budget.run.{wider}", getattr(ours, wider), getattr(theirs.run, wider), path)
    return ours.joined(theirs.run)


def _inside(root: Path, name: str | None, path: Path) -> Path | None:
    if name is None:
        return None
    try:
        resolved = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a NUL character
        raise DataError("project-file", f"{path}: {name!r} is no path: {error}", "name a path inside") from error
    if not resolved.is_relative_to(root.resolve()):
        raise Refused(
            "project-file", f"{path}: `{name}` leads to {resolved}, outside the project", "name a path inside"
        )
    return resolved


def _check_limits(said: Mapping[str, Any], where: str) -> None:
    for name in ("timeout", "workers", "max_tasks"):
        value = said.get(name)
        if value is not None and not 0 < value < _MOST:  # also refuses NaN
            raise DataError("setting-range", f"{where}: {name} is {value}", f"it must be above 0 and below {_MOST:,}")


def _read(path: Path) -> dict[str, Any] | None:
    if not os.path.lexists(path):
        return None
    try:
        text = read_bounded(path, _LONGEST_FILE).decode()
    except UnicodeDecodeError as error:
        raise DataError("config-encoding", f"{path}: byte {error.start} is not UTF-8", "save it as UTF-8") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number or a nesting without measure
        raise DataError("config-syntax", f"{path}: {error}", "correct the file") from error


def _convert(table: dict[str, Any], kind: type[_File], path: Path) -> _File:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise DataError("setting-type", f"{path}: {error}", "correct the file") from error
