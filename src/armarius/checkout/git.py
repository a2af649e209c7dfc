"""git, asked so that nothing of anybody's configuration is run.

Owns the environment and options of every call, finding a repository, and the bare repositories of our own that
share its objects. Does not own what is done with them.
Invariant: no hook, filter, merge driver, monitor, helper, signer, pager or transport but the local one is ever
started; neither the user's nor the machine's configuration is read; what a call says is bounded. A repository of
somebody else is refused, as git itself does.

Where a file of a working tree has to be compared, git is given a repository of ours (`own_store`) with a copy of
the index: of the repository's own configuration only keys that name no program (`_PLAIN`) are handed over.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from armarius import files
from armarius.errors import DataError, Failed, HostError, Refused
from armarius.files import private_folder
from armarius.programs import run

__all__ = [
    "EXACT",
    "Git",
    "Repository",
    "bring",
    "find",
    "locked",
    "own_store",
    "share_objects",
    "shown",
    "user_environ",
]

_SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "core.attributesFile": "/dev/null",
    "core.alternateRefsCommand": "true",
    "core.sshCommand": "false",
    "core.pager": "cat",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # Sixteen checkouts at once wait for each other's references instead of failing.
    "core.filesRefLockTimeout": "20000",
    "core.packedRefsTimeout": "20000",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "fetch.bundleURI": "",
    "fetch.fsckObjects": "true",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    # Who owns it is looked at by `find`, which knows whether the caller allowed a stranger's.
    "safe.directory": "*",
    "submodule.recurse": "false",
}
_PLAIN = ("core.filemode", "core.symlinks", "core.ignorecase", "core.precomposeunicode", "core.autocrlf", "core.eol")
_SPARSE = ("core.sparsecheckout", "core.sparsecheckoutcone")
EXACT = b"* -text -eol -ident -filter -working-tree-encoding\n"
"""The attributes under which files are the bytes of their blobs, whatever a commit or configuration says."""

_PRINTABLE = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
_MOST = 512 << 20
_SLOWEST_S = 600.0


def user_environ(search_path: str, user_home: Path) -> dict[str, str]:
    """The environment of every git: the PATH, and of the user's home only the list of ignored files."""
    return {
        "PATH": search_path,
        "HOME": "/dev/null",
        "LC_ALL": "C.UTF-8",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_ASKPASS": "false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.excludesFile",
        "GIT_CONFIG_VALUE_0": str(user_home / ".config" / "git" / "ignore"),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


class Git(msgspec.Struct, frozen=True):
    """git in one folder, with one environment and further plain configuration."""

    cwd: Path
    environ: dict[str, str]
    config: dict[str, str] = {}

    def __call__(self, *words: str, data: bytes = b"", codes: tuple[int, ...] = (0,)) -> bytes:
        """What git says; Failed when it ends with another code than `codes`."""
        return self.answer(*words, data=data, codes=codes)[1]

    def line(self, *words: str, data: bytes = b"", codes: tuple[int, ...] = (0,)) -> str:
        """The one line that git says, whatever bytes are in it; nothing when it says none."""
        return os.fsdecode(self(*words, data=data, codes=codes).removesuffix(b"\n"))

    def answer(self, *words: str, data: bytes = b"", codes: tuple[int, ...] = (0,)) -> tuple[int, bytes]:
        """The exit code, one of `codes`, and what git said."""
        options = [word for name, value in (self.config | _SAFE).items() for word in ("-c", f"{name}={value}")]
        done = run(
            ["git", "--no-pager", *options, *words],
            cwd=self.cwd,
            environ=self.environ,
            timeout=_SLOWEST_S,
            most=_MOST,
            data=data,
        )
        if done.code is None:
            raise HostError(
                "git-slow", f"git {words[0]} did not end within {_SLOWEST_S:g} s in {self.cwd}", "see what holds it up"
            )
        if len(done.stdout) >= _MOST:
            raise DataError("git-much", f"git {words[0]} says more than {_MOST:,} bytes in {self.cwd}", "use less")
        if done.code not in codes:
            said = " ".join(shown(done.stderr).split())[:600] or f"exit code {done.code}"
            raise Failed("git", f"git {words[0]} in {shown(str(self.cwd))}: {said}", "see what git says about it")
        return done.code, done.stdout

    def plus(self, environ: dict[str, str]) -> "Git":
        """The same with more in its environment."""
        return Git(self.cwd, self.environ | environ, self.config)


class Repository(msgspec.Struct, frozen=True):
    """Somebody's repository. `own` holds HEAD and the index, `common` the objects and references.

    `top` is None for a bare one; `prefix` is where below `top` the caller stood.
    """

    top: Path | None
    own: Path
    common: Path
    prefix: str
    object_format: str
    config: dict[str, str]
    environ: dict[str, str]

    @property
    def git(self) -> Git:
        return Git(self.common, self.environ | {"GIT_DIR": str(self.own)})

    @property
    def is_sparse(self) -> bool:
        return self.config.get("core.sparsecheckout") == "true"

    def commit_of(self, name: str) -> str | None:
        """The commit that a branch, tag or id stands for."""
        return (
            self.git.line(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", codes=(0, 1, 128)
            )
            or None
        )

    def move_ref(self, ref: str, new: str | None, old: str | None, reason: str = "armarius") -> None:
        """Set or delete a reference, if it stands at `old` (None: is not there); Failed when it does not."""
        none = "0" * (64 if self.object_format == "sha256" else 40)
        words = ("-d", ref, old or none) if new is None else (ref, new, old or none)
        who = {"GIT_COMMITTER_NAME": "Armarius", "GIT_COMMITTER_EMAIL": "armarius@armarius.invalid"}
        self.git.plus(who)("update-ref", "--no-deref", "-m", reason, *words)


def shown(data: bytes | str) -> str:
    """A path or a saying of git, fit to be printed and stored."""
    return os.fsencode(data).decode(errors="backslashreplace")


def find(path: Path, environ: dict[str, str], *, foreign: bool = False) -> Repository:
    """The repository that `path` lies in; DataError when there is none, Refused when it is somebody else's.

    `environ` is what `user_environ` gives. With `foreign` another owner's repository is taken too.
    """
    if not path.is_dir():
        raise DataError("repository", f"{path} is no folder", "name a folder of a repository")
    git = Git(path, environ)
    try:
        own = Path(git.line("rev-parse", "--absolute-git-dir"))
    except Failed as error:
        raise DataError("repository", f"no repository at {path}: {error.message}", "name a folder of one") from error
    common = Path(git.line("rev-parse", "--path-format=absolute", "--git-common-dir"))
    flags = git.line("rev-parse", "--is-bare-repository", "--is-inside-work-tree", "--show-object-format").split()
    inside = flags[:2] == ["false", "true"]
    top = Path(git.line("rev-parse", "--show-toplevel")) if inside else None
    if flags[0] == "false" and not inside:
        raise DataError("repository", f"{path} lies in a repository's own folder", "name its working tree")
    for folder in (own, common, *((top,) if top else ())):
        if folder.stat().st_uid != os.geteuid() and not foreign:
            raise Refused(
                "repository-owner",
                f"{folder} belongs to user {folder.stat().st_uid}",
                "run as its owner, or say that it may be",
            )
    listed = os.fsdecode(git("config", "--list", "-z")).split("\0")
    config = {key: value for key, _, value in (entry.partition("\n") for entry in listed if entry)}
    prefix = git.line("rev-parse", "--show-prefix").rstrip("/") if inside else ""
    return Repository(top, own, common, prefix, flags[2], config, environ)


def own_store(folder: Path, repo: Repository, *, head: str, index: bool = False) -> Git:
    """A fresh bare repository of ours at `folder` that shares the objects of `repo`, its HEAD at commit `head`.

    With `index` it has a copy of the repository's index, and its working tree is the repository's: what git then
    says of that tree follows from no configuration that names a program.
    """
    Git(folder.parent, repo.environ)(
        "init", "--quiet", "--bare", "--template=", f"--object-format={repo.object_format}", str(folder)
    )
    share_objects(folder, repo)
    (folder / "HEAD").write_text(f"{head}\n")
    environ = repo.environ | {"GIT_DIR": str(folder), "GIT_INDEX_FILE": str(folder / "index")}
    config = {"core.ignoreCase": "false"}
    cwd = folder
    if index:
        assert repo.top is not None  # a bare repository has no index to be asked for
        for file in (repo.own / "index", *repo.own.glob("sharedindex.*")):
            if file.exists():
                shutil.copy2(file, folder / file.name)
        config = {key: repo.config[key] for key in (*_PLAIN, *_SPARSE) if key in repo.config}
        environ["GIT_WORK_TREE"] = str(repo.top)
        cwd = repo.top
    return Git(cwd, environ, config)


def share_objects(git_dir: Path, repo: Repository) -> None:
    """Let the repository at `git_dir` read the objects of `repo`, and cut off and ignore what that does."""
    for folder in (git_dir / "objects" / "info", git_dir / "info"):
        folder.mkdir(exist_ok=True)
    (git_dir / "objects" / "info" / "alternates").write_bytes(_quoted(repo.common / "objects"))
    for source, target in (
        (repo.common / "shallow", git_dir / "shallow"),
        (repo.common / "info" / "exclude", git_dir / "info" / "exclude"),
        (repo.own / "info" / "sparse-checkout", git_dir / "info" / "sparse-checkout"),
    ):
        if source.is_file():
            target.write_bytes(source.read_bytes())


def _quoted(path: Path) -> bytes:
    """A line of `alternates`; quoted as C does, because a path may hold a newline."""
    plain = (chr(byte) if byte in _PRINTABLE else f"\\{byte:03o}" for byte in os.fsencode(path))
    return f'"{"".join(plain)}"\n'.encode()


def bring(repo: Repository, store: Git, commit: str) -> None:
    """Copy a commit of our store and what it needs into the repository; its objects are checked on the way.

    No reference moves: killed in the middle, it leaves objects that nobody sees and git's clean-up removes.
    """
    store("update-ref", "refs/heads/armarius", commit)
    try:
        repo.git(
            *(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--no-prune",
                "--no-prune-tags",
                "--no-auto-maintenance",
            ),
            *(
                "--no-write-commit-graph",
                "--upload-pack=git-upload-pack",
                store.environ["GIT_DIR"],
                "refs/heads/armarius",
            ),
        )
        repo.git("cat-file", "-e", commit)
    except Failed as error:
        raise DataError(
            "checkout-objects",
            f"the repository does not take {commit}: {error.message}",
            "look at the checkout by hand",
        ) from error


@contextmanager
def locked(repo: Repository) -> Generator[Path]:
    """One at a time among all who change this repository through us; gives a private folder inside it.

    The kernel frees the lock of whoever dies.
    """
    folder = private_folder(repo.common / "armarius")
    with files.locked(folder / "lock"):
        yield folder
