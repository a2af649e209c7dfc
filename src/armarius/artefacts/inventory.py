"""What lies in a repository, in short: the same for the same content, and made once.

Owns that analysis. Does not own where it is kept (`store.py`).
Invariant: from names and sizes alone; nothing of a file is read, and no name can break the text it stands in.
"""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Final

from armarius.artefacts.state import repository_of, state_of
from armarius.artefacts.store import Artefacts
from armarius.checkout.git import Git, Repository, shown
from armarius.errors import NoAnswer
from armarius.settings import Settings
from armarius.visible import reveal

__all__ = ["TOOL", "inventory_of", "inventory_text"]

TOOL: Final = "inventory"
_FORM: Final = {"form": "1"}
_MOST: Final = 40
_MANIFESTS: Final = frozenset(
    {
        *("pyproject.toml", "setup.py", "package.json", "Cargo.toml", "go.mod", "pom.xml", "build.gradle", "Makefile"),
        *(
            "CMakeLists.txt",
            "Gemfile",
            "composer.json",
            "tox.ini",
            "noxfile.py",
            "Dockerfile",
            "AGENTS.md",
            "README.md",
        ),
    }
)


def inventory_of(settings: Settings, artefacts: Artefacts, folder: Path) -> tuple[str, bool]:
    """The inventory of the repository at `folder`, and whether it was there already."""
    repo = repository_of(settings, folder)
    state = state_of(settings, repo)
    try:
        return artefacts.get(TOOL, _FORM, state)[1], True
    except NoAnswer:
        text = inventory_text(_paths(repo))
        if state_of(settings, repo) == state:  # else it is of two states at once, and of no use to the next
            artefacts.put(TOOL, _FORM, state, str(repo.top), text)
        return text, False


def inventory_text(paths: list[str]) -> str:
    """Folders, kinds of files, manifests and tests of these paths."""
    names = [PurePosixPath(path) for path in paths]
    folders = Counter(name.parts[0] + "/" if len(name.parts) > 1 else "." for name in names)
    kinds = Counter(name.suffix.lower() or "(none)" for name in names)
    manifests = sorted(str(name) for name in names if name.name in _MANIFESTS)
    tests = sorted({str(name.parent) for name in names if "test" in name.name.lower()})
    lines = [f"files: {len(names)}"]
    for title, counted in (("folders", folders), ("kinds", kinds)):
        best = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
        lines.append(f"{title}: " + ", ".join(f"{_safe(word)} {count}" for word, count in best[:_MOST]))
    for title, found in (("manifests", manifests), ("tests in", tests)):
        more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
        lines.append(f"{title}: " + (", ".join(map(_safe, found[:_MOST])) or "none") + more)
    return "\n".join(lines) + "\n"


def _paths(repo: Repository) -> list[str]:
    assert repo.top is not None  # `repository_of` refuses others
    words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    said = Git(repo.top, repo.environ | {"GIT_DIR": str(repo.own), "GIT_WORK_TREE": str(repo.top)})(*words)
    return sorted({shown(path) for path in said.split(b"\0") if path})


def _safe(word: str) -> str:
    return reveal(word).replace("\n", "\\n").replace("\t", "\\t")
