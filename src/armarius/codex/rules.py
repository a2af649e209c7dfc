"""The rules by which Codex lets commands out of its sandbox.

Owns finding the files of the user's and of a project's. Does not own what they say.
Invariant: a file that says anything is found; `codex exec` can be told to ignore them, an app-server cannot, and a
rule that allows a command lets it run outside the sandbox without a question.
"""

from pathlib import Path

__all__ = ["find_rules", "rules_files"]

_MOST = 1 << 20


def find_rules(codex_home: Path, cwd: Path) -> Path | None:
    """A file of rules that would hold for work in `cwd`; None when none says anything."""
    return next((file for file in rules_files(codex_home, cwd) if _says_something(file)), None)


def rules_files(codex_home: Path, cwd: Path) -> tuple[Path, ...]:
    """Every file of rules that would hold for work in `cwd`, if Codex trusts the project; the home's first."""
    places = [codex_home / "rules", *(folder / ".codex" / "rules" for folder in (cwd, *cwd.parents))]
    found = [file for place in dict.fromkeys(places) for file in sorted(place.glob("*.rules"))]
    return tuple(dict.fromkeys(found))


def _says_something(file: Path) -> bool:
    if not file.is_file():
        return file.exists()
    try:
        with file.open("rb") as opened:
            lines = opened.read(_MOST + 1).splitlines()
    except OSError:
        return True  # Codex may be able to read it
    return any(line.strip() and not line.strip().startswith(b"#") for line in lines) or file.stat().st_size > _MOST
