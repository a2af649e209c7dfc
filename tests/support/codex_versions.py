"""Any version of Codex that npm has, for the conformance table.

Owns how versions were packed over time, and the folder they are unpacked to. Does not own asking npm
(`npm_codex`), nor running what was fetched.
Invariant: a version's folder is there whole or not at all.

    FOLDER/VERSION/…/codex      the native program, with what lies beside it in its package

A build for each platform exists since 0.100; before, one package held those of all, first as
`bin/codex-TRIPLE`, then as `vendor/TRIPLE/codex/codex`.
"""

import gzip
import json
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from support.npm_codex import PACKAGE, Unavailable, npm, platform_name

__all__ = ["binary"]

_TRIPLES = {
    "linux-x64": "x86_64-unknown-linux-musl",
    "linux-arm64": "aarch64-unknown-linux-musl",
    "darwin-x64": "x86_64-apple-darwin",
    "darwin-arm64": "aarch64-apple-darwin",
}
_CHUNK = 1 << 20


def binary(folder: Path, version: str) -> Path:
    """The program of that version, fetched if it is not there; Unavailable when it cannot be."""
    build = folder / version
    if not build.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder) as name:
            whole = Path(name) / "whole"
            _unpack(_pack(Path(name), version), whole)
            whole.rename(build)
    return _program(build)


def _pack(temporary: Path, version: str) -> Path:
    for build in (f"{version}-{platform_name()}", version):
        try:
            answer = json.loads(npm(temporary, "pack", f"{PACKAGE}@{build}", "--json", "--ignore-scripts"))
        except Unavailable as problem:
            if build != version and "notarget" in str(problem):
                continue
            raise
        return temporary / answer[0]["filename"]
    raise Unavailable(f"npm has no {PACKAGE} {version}")


def _unpack(archive: Path, build: Path) -> None:
    """The files for this machine: plain files with plain paths, or nothing."""
    triple = _TRIPLES.get(platform_name())
    if triple is None:
        raise Unavailable(f"there is no old Codex for {platform_name()}")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.parts[1:3] == ("vendor", triple) or path.parts[1:] == ("bin", f"codex-{triple}"):
                    file = tar.extractfile(member) if member.isreg() else None
                    if file is None or ".." in path.parts or path.is_absolute():
                        raise Unavailable(f"{archive.name} holds {member.name!r}, which is no plain file")
                    target = build.joinpath(*path.parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("xb") as copy:
                        shutil.copyfileobj(file, copy, _CHUNK)
                    target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Unavailable(f"{archive.name} cannot be unpacked: {error}") from error
    _program(build)


def _program(build: Path) -> Path:
    found = [path for shape in ("vendor/*/*/codex", "bin/codex-*") for path in build.glob(shape) if path.is_file()]
    if len(found) != 1:
        raise Unavailable(f"{build} holds {len(found)} programs called codex, not one")
    return found[0]
