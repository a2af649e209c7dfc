"""The recorder's profile in Codex: `codex -p armarius` goes through the proxy, `codex` goes as ever.

Owns the profile file, the leftovers of older ways in `config.toml`, and the undoing of both. Does not own the
proxy.
Invariant: `config.toml` changes by nothing but whole tables and lines of ours (or of SkillClaw, when asked to),
which are shown first; what was there before is kept, and put back byte for byte. No provider's key is written.
"""

import contextlib
import difflib
import hashlib
import os
import re
import tomllib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import tomli_w

from armarius.clock import Clock
from armarius.codex.config_file import parse_config
from armarius.errors import DataError, HostError, UsageError
from armarius.files import locked, private_folder, read_bounded, write_atomic
from armarius.install.record import Kept, Theirs, digest
from armarius.recorder.access import DEFAULT_LISTEN, TOKEN_HEADER, Listen
from armarius.recorder.secret import made_once

__all__ = ["PROFILE", "Profile", "ProfileReport", "client_token", "profile_text", "read_token", "serve_command"]

PROFILE = "armarius"
_LEGACY = "skillclaw"
_CONFIG = "config.toml"
_LARGEST = 8 << 20
_MARK = "\ufeff"
_HEADER = re.compile(r"\s*\[\[?([^\]]+)\]\]?\s*(?:#.*)?$")


class ProfileReport(msgspec.Struct, frozen=True):
    """What was done, or would be (`armarius.proxy_profile.v1`). `legacy` is what SkillClaw left behind, `skills` are
    those of the team that were taken out, `kept` says which were not, and why.
    """

    action: Literal["install", "uninstall"]
    codex_home: str
    profile: str
    changed: bool
    dry_run: bool
    diff: str
    legacy: tuple[str, ...]
    copies: str
    skills: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    schema: str = "armarius.proxy_profile.v1"


class _Record(msgspec.Struct, frozen=True):
    """How the files of one CODEX_HOME were before, by name."""

    files: dict[str, Kept]


def client_token(folder: Path, clock: Clock) -> str:
    """The token without which nobody may use the recorder of this user; made once."""
    return read_token(made_once(folder / "token", clock))


def read_token(path: Path) -> str:
    """The token in a file; DataError when there is none."""
    token = read_bounded(path, 1024).decode("ascii", "replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{32,}", token):
        raise DataError("token", f"{path} holds no token", "remove it, and run `armarius proxy install` again")
    return token


def profile_text(listen: Listen, token: str) -> str:
    """The file that `codex -p armarius` reads beside `config.toml`."""
    provider = {
        "name": "Armarius",
        "base_url": listen.url,
        "wire_api": "responses",
        "requires_openai_auth": True,
        "supports_websockets": False,
        "http_headers": {TOKEN_HEADER: token},
    }
    return tomli_w.dumps({"model_provider": PROFILE, "model_providers": {PROFILE: provider}})


def serve_command(base_url: str) -> str:
    """What starts the recorder that a profile with `base_url` leads to."""
    listen = urlsplit(base_url).netloc
    return "armarius proxy serve" + ("" if listen == DEFAULT_LISTEN else f" --listen {listen}")


class Profile:
    """The profile of one CODEX_HOME; `folder` is the recorder's own."""

    def __init__(self, codex_home: Path, folder: Path) -> None:
        if not codex_home.is_dir():
            raise HostError("codex-home", f"{codex_home} is no folder", "run codex once, or set CODEX_HOME")
        self._codex_home = codex_home.resolve()
        self._folder = folder
        self._copies = folder / f"before-{hashlib.sha256(os.fsencode(self._codex_home)).hexdigest()[:12]}"
        self.path = self._codex_home / f"{PROFILE}.config.toml"

    def install(
        self, listen: Listen, token: str, *, remove_legacy: bool = False, dry_run: bool = False
    ) -> ProfileReport:
        """Write the profile, and take our leftovers out of `config.toml`."""
        if not listen.port:
            raise UsageError("listen", "a profile needs a port that stays", f"give one, as in {DEFAULT_LISTEN}")
        with self._locked():
            config = Theirs.read(self._codex_home / _CONFIG)
            plain = without_leftovers(config.text, PROFILE, str(config.path))
            if remove_legacy:
                plain = without_leftovers(plain, _LEGACY, str(config.path), provider=True)
            wanted: dict[str, bytes | None] = {self.path.name: profile_text(listen, token).encode()}
            if plain != config.text:
                wanted[_CONFIG] = plain.encode()
            legacy_file = f"{_LEGACY}.config.toml"
            if remove_legacy and (self._codex_home / legacy_file).exists():
                wanted[legacy_file] = None
            return self._put("install", wanted, dry_run=dry_run)

    def uninstall(self, *, dry_run: bool = False) -> ProfileReport:
        """Put back what was there before; a file that was edited since stays, but for the profile itself."""
        with self._locked():
            record = self._record()
            wanted, edited = dict[str, bytes | None](), list[str]()
            for name, kept in (record.files if record else self._unrecorded()).items():
                now = Theirs.read(self._codex_home / name).data
                hashed = None if now is None else digest(now)
                if hashed == kept.after or name == self.path.name:
                    wanted[name] = self._copy(name, kept)
                elif hashed != kept.before:
                    edited.append(f"{name}, which was edited since; what it was before is in {self._copies}")
            report = msgspec.structs.replace(self._put("uninstall", wanted, dry_run=dry_run), kept=tuple(edited))
            if not dry_run and record is not None:
                (self._copies / "record.json").unlink()
            return report

    def _unrecorded(self) -> dict[str, Kept]:
        """Our profile, where the record of it is lost; a file of that name that is somebody's own is none."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = tomllib.loads(self.path.read_text())
            if said.get("model_provider") == PROFILE and TOKEN_HEADER in str(said.get("model_providers")):
                return {self.path.name: Kept(None, 0o600)}
        return {}

    def is_hindered(self) -> bool:
        """Whether something of ours in `config.toml` makes Codex refuse the profile; DataError when nobody can say."""
        config = Theirs.read(self._codex_home / _CONFIG)
        return without_leftovers(config.text, PROFILE, str(config.path)) != config.text

    def legacy(self) -> tuple[str, ...]:
        """What SkillClaw left in this CODEX_HOME."""
        config = Theirs.read(self._codex_home / _CONFIG)
        found = list[str]()
        if (self._codex_home / f"{_LEGACY}.config.toml").exists():
            found.append(f"{_LEGACY}.config.toml")
        with contextlib.suppress(DataError):
            if without_leftovers(config.text, _LEGACY, str(config.path), provider=True) != config.text:
                found.append(_CONFIG)
        return tuple(found)

    def _put(
        self, action: Literal["install", "uninstall"], wanted: dict[str, bytes | None], *, dry_run: bool
    ) -> ProfileReport:
        files = {name: Theirs.read(self._codex_home / name) for name in wanted}
        diff = "\n".join(_diff(name, files[name].data, data) for name, data in sorted(wanted.items()))
        changed = any(files[name].data != data for name, data in wanted.items())
        if changed and not dry_run:
            if action == "install":
                self._keep(files, wanted)
            elif (edited := files.get(self.path.name)) is not None and edited.data is not None:
                write_atomic(private_folder(self._copies) / f"{self.path.name}.removed", edited.data)
            record = self._record()
            for name, data in wanted.items():
                kept = record.files.get(name) if record else None
                mode = kept.mode if kept and action == "uninstall" else files[name].mode
                msgspec.structs.replace(files[name], mode=mode).replace(data)
        return ProfileReport(
            action=action,
            codex_home=str(self._codex_home),
            profile=PROFILE,
            changed=changed,
            dry_run=dry_run,
            diff=diff.strip("\n"),
            legacy=self.legacy(),
            copies=str(self._copies),
        )

    def _keep(self, files: dict[str, Theirs], wanted: dict[str, bytes | None]) -> None:
        """Copy what is about to change, unless it is ours already; the first copy is the one that counts."""
        record = self._record() or _Record({})
        kept = dict(record.files)
        private_folder(self._copies)
        for name, file in files.items():
            after = wanted[name]
            earlier = kept.get(name)
            now = None if file.data is None else digest(file.data)
            if earlier is None or earlier.after != now:
                if file.data is not None:
                    write_atomic(self._copies / name, file.data)
                earlier = Kept(now, file.mode)
            kept[name] = msgspec.structs.replace(earlier, after=None if after is None else digest(after))
        write_atomic(self._copies / "record.json", msgspec.json.encode(_Record(kept)))

    def _copy(self, name: str, kept: Kept) -> bytes | None:
        if kept.before is None:
            return None
        data = read_bounded(self._copies / name, _LARGEST)
        if digest(data) != kept.before:
            raise DataError("copy-changed", f"the copy of {name} in {self._copies} is not what was kept", "see there")
        return data

    def _record(self) -> _Record | None:
        path = self._copies / "record.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(read_bounded(path, _LARGEST), type=_Record)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise DataError("record-broken", f"{path}: {error}", "see the copies beside it, then remove it") from error

    def _locked(self) -> AbstractContextManager[None]:
        busy = HostError("install-busy", "another armarius is installing the profile", "wait for it")
        return locked(private_folder(self._folder) / "lock", busy)


def _diff(name: str, before: bytes | None, after: bytes | None) -> str:
    old, new = ((data or b"").decode(errors="replace").splitlines() for data in (before, after))
    text = "\n".join(difflib.unified_diff(old, new, name, name, lineterm=""))
    return re.sub(rf'({TOKEN_HEADER}"? = ")[^"]+', r"\1…", text)


# -------------------------------------------------------------------- leftovers


def without_leftovers(text: str, name: str, where: str, *, provider: bool = False) -> str:
    """`text` without `[profiles.NAME]` and what lies below it, and without `profile = "NAME"`; with `provider`
    also without the provider of that name and the choice of it. DataError when that cannot be done exactly. A mark of
    the byte order, over which Codex reads, stays.
    """
    mark, text = text[: text.startswith(_MARK)], text.removeprefix(_MARK)
    said = parse_config(text, where)
    wanted = _pruned(said, name, provider=provider)
    if wanted == said:
        return mark + text
    result = _cut(text, name, provider=provider)
    if not _says(result, wanted):
        raise DataError(
            "codex-config",
            f"{where}: what belongs to the profile {name} is written in a way that cannot be taken out exactly",
            f'take `[profiles.{name}]` and `profile = "{name}"` out by hand',
        )
    return mark + result


def _pruned(said: dict[str, Any], name: str, *, provider: bool) -> dict[str, Any]:
    pruned = dict(said)
    for table in ("profiles", *(("model_providers",) if provider else ())):
        if isinstance(pruned.get(table), dict) and name in pruned[table]:
            pruned[table] = {key: value for key, value in pruned[table].items() if key != name}
            if not pruned[table]:
                del pruned[table]
    if pruned.get("profile") == name:
        del pruned["profile"]
    if provider and pruned.get("model_provider") == name:
        del pruned["model_provider"]
        if str(pruned.get("model", "")).startswith(name):
            del pruned["model"]
    return pruned


def _cut(text: str, name: str, *, provider: bool) -> str:
    """The lines of `text` that stay. Whether they are the right ones is checked by reading them again."""
    tables = {"profiles", *(("model_providers",) if provider else ())}
    keys = ("profile", *(("model_provider", "model") if provider else ()))
    ours = re.compile(rf"\s*({'|'.join(keys)})\s*=\s*[\"']{name}[\w-]*[\"']\s*(?:#.*)?$")
    kept, is_top, is_ours = list[str](), True, False
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header is not None:
            is_top = False
            path = [part.strip().strip("\"'") for part in header[1].split(".")]
            is_ours = len(path) > 1 and path[0] in tables and path[1] == name
        if not is_ours and not (is_top and ours.match(line)):
            kept.append(line)
    return "".join(kept)


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except ValueError:
        return False  # what was cut stood inside a string
