"""Codex's hooks, provisioned with trust, so that sessions say what happens instead of being asked.

Owns the order of the steps and their undoing. Does not own the text of the files (`codex/hooks_file.py`,
`codex/trust.py`) nor what the hooks report (`codex/hooks.py`).
Invariant: only our own hooks become trusted. Trust is written before the hooks, and means nothing
without them; `hooks.json` is replaced in one step. Whenever the process is killed, Codex therefore runs
none of our hooks or all of them, and the next install or uninstall finds in the record what is left to do.
"""

import difflib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.codex import hook_program
from armarius.codex.app_server import Server, environ_for
from armarius.codex.hooks import EVENTS, command_of, groups_of, is_command_of, is_plans_command
from armarius.codex.hooks_file import Place, places_of, with_groups, without
from armarius.codex.trust import give_trust, key_of, list_hooks, moved_trust, trusted, with_endings, without_trust
from armarius.errors import ArmariusError, HostError, Refused
from armarius.files import private_folder, write_atomic
from armarius.install.record import Installed, Kept, Records, Theirs, digest

__all__ = ["Hooks", "HooksReport"]

_HOOKS = "hooks.json"
_CONFIG = "config.toml"
_PROGRAM = "report.py"


class HooksReport(msgspec.Struct, frozen=True):
    """What was done, or would be (`armarius.hooks.v1`). `trust` holds what Codex was told to run."""

    action: Literal["install", "uninstall"]
    codex_home: str
    changed: bool
    dry_run: bool
    events: tuple[str, ...]
    events_file: str
    command: str
    diff: str
    trust: dict[str, str]
    schema: str = "armarius.hooks.v1"


class _Undone(msgspec.Struct, frozen=True):
    """Both files as they are without us; None: not there."""

    hooks: bytes | None
    config: bytes | None
    moves: dict[str, str]


class Hooks:
    """The hooks of one CODEX_HOME. `home` is Armarius's own folder, `ambient` the caller's environment."""

    def __init__(self, codex_home: Path, home: Path, ambient: Mapping[str, str], clock: Clock) -> None:
        if not codex_home.is_dir():
            raise HostError("codex-home", f"{codex_home} is no folder", "run codex once, or name another one")
        self._link = codex_home / _HOOKS
        self._codex_home = codex_home.resolve()
        self._folder = home / "hooks"
        self._program = self._folder / _PROGRAM
        self._records = Records(self._folder)
        self._ambient = ambient
        self._clock = clock

    def install(self, codex: str, *, plans: bool = False, dry_run: bool = False) -> HooksReport:
        """Put our hooks in, trusted; nothing is done when they already are. `plans`: check those after a turn.

        Refused for a `hooks.json` that cannot be edited without guessing; HostError when this Codex
        does not run hooks, with everything as it was before.
        """
        with self._records.locked():
            hooks, config = self._theirs()
            clean = self._undone(hooks, config)
            text = (clean.hooks or b"").decode()
            merged = with_groups(text, groups_of(self._command, plans=plans), str(hooks.path))
            hashes = self._hashes(codex, merged, len(EVENTS) + plans)
            record = self._records.get(self._codex_home)
            done = record is not None and record.complete and hooks.text == merged and self._program_is_current()
            changed = not (done and hashes.items() <= trusted(config.text, str(config.path)).items())
            report = self._report("install", hooks.text, merged, hashes, changed=changed, dry_run=dry_run)
            if changed and not dry_run:
                if record is not None or self._our_places(hooks):
                    self._remove(hooks, config, clean)
                self._put(codex, merged, hashes)
            return report

    def uninstall(self, *, dry_run: bool = False) -> HooksReport:
        """Take our hooks and their trust out; the bytes of both files are as before, or as edited since."""
        with self._records.locked():
            hooks, config = self._theirs()
            record = self._records.get(self._codex_home)
            clean = self._undone(hooks, config)
            trust = record.hashes if record else {}
            changed = record is not None or (clean.hooks, clean.config) != (hooks.data, config.data)
            after = (clean.hooks or b"").decode()
            report = self._report("uninstall", hooks.text, after, trust, changed=changed, dry_run=dry_run)
            if changed and not dry_run:
                self._remove(hooks, config, clean)
            return report

    # ------------------------------------------------------------------- steps

    def _put(self, codex: str, merged: str, hashes: dict[str, str]) -> None:
        hooks, config = self._theirs()
        keep = self._records.keep
        record = Installed(
            at_us=self._clock.now_us(),
            created=_created(hooks.text),
            hashes=hashes,
            hooks=msgspec.structs.replace(keep(self._codex_home, _HOOKS, hooks), after=digest(merged.encode())),
            config=keep(self._codex_home, _CONFIG, config),
        )
        self._write_program()
        self._records.put(self._codex_home, record)
        try:
            environ = environ_for(self._codex_home, self._ambient)
            with Server(codex, environ=environ, cwd=self._codex_home) as server:
                give_trust(server, hashes)
                hooks.replace(merged.encode())
                self._verify(server, hashes)
        except ArmariusError:
            self._remove(*self._theirs(), self._undone(*self._theirs()))
            raise
        written = Theirs.read(config.path).data or b""
        after = msgspec.structs.replace(record.config, after=digest(written))
        self._records.put(self._codex_home, msgspec.structs.replace(record, config=after, complete=True))

    def _verify(self, server: Server, hashes: Mapping[str, str]) -> None:
        found = {hook.key: hook for hook in list_hooks(server, self._codex_home).hooks}
        for key, value in hashes.items():
            hook = found.get(key)
            if hook is None or (hook.current_hash, hook.trust_status, hook.enabled) != (value, "trusted", True):
                how = "does not list it" if hook is None else "switched it off" if not hook.enabled else "distrusts it"
                raise HostError(
                    "hooks-off",
                    f"Codex would not run the hook {key}: it {how}; everything is as before",
                    "see `features.hooks` and `[hooks]` in config.toml, and your organisation's requirements",
                )

    def _remove(self, hooks: Theirs, config: Theirs, clean: _Undone) -> None:
        record = self._records.get(self._codex_home)
        if record is not None:
            leaving = msgspec.structs.replace(record, complete=False, moves=clean.moves)
            self._records.put(self._codex_home, leaving)
            hooks = msgspec.structs.replace(hooks, mode=record.hooks.mode)
            config = msgspec.structs.replace(config, mode=record.config.mode)
        hooks.replace(clean.hooks)
        config.replace(clean.config)
        if not self._records.drop(self._codex_home):
            for name in (_PROGRAM, hook_program.EVENTS, hook_program.ROTATED):
                (self._folder / name).unlink(missing_ok=True)

    def _undone(self, hooks: Theirs, config: Theirs) -> _Undone:
        """Both files without us: the kept copies where nothing changed since, else an exact edit."""
        record = self._records.get(self._codex_home)
        where = str(hooks.path)
        keys = {key_of(where, place) for place in self._our_places(hooks)}
        keys |= record.hashes.keys() if record else set()
        if record and hooks.data is not None and digest(hooks.data) == record.hooks.after:
            plain, moves = self._records.copy_of(self._codex_home, _HOOKS, record.hooks), dict[str, str]()
        else:
            created = record.created if record else ()
            removed = without(hooks.text, self._is_ours, created, where)
            moves = {key_of(where, old): key_of(where, new) for old, new in removed.moved}
            plain = None if hooks.data is None else removed.text.encode()
            if (
                record
                and record.hooks.before is None
                and removed.text.strip()
                and msgspec.json.decode(removed.text) == {}
            ):
                plain = None
        moves = moves or (record.moves if record else {})
        return _Undone(plain, self._config_without(config, keys, moves, record), moves)

    def _config_without(
        self, config: Theirs, keys: set[str], moves: Mapping[str, str], record: Installed | None
    ) -> bytes | None:
        where = str(config.path)
        if not keys & trusted(config.text, where).keys():
            return config.data  # the keys of others move in the same write
        kept = record.config if record else Kept(None, config.mode)
        before = self._records.copy_of(self._codex_home, _CONFIG, kept)
        if not moves and config.data is not None and digest(config.data) == kept.after:
            return before
        was = (before or b"").decode()
        text = with_endings(without_trust(config.text, keys, was, where), was)
        if record and before is None and not text.strip():
            return None
        return moved_trust(text, moves).encode()

    # ---------------------------------------------------------------- our parts

    @property
    def _command(self) -> str:
        return command_of(self._program)

    def _is_ours(self, command: str) -> bool:
        return is_command_of(command, self._program) or is_plans_command(command)

    def _our_places(self, hooks: Theirs) -> tuple[Place, ...]:
        return places_of(hooks.text, self._is_ours, str(hooks.path))

    def _theirs(self) -> tuple[Theirs, Theirs]:
        if self._link.is_symlink():
            raise Refused(
                "hooks-link",
                f"{self._link} is a link to {self._link.resolve()}, which may be shared",
                "put a file of its own in its place, or add the hooks to the original yourself",
            )
        return Theirs.read(self._codex_home / _HOOKS), Theirs.read(self._codex_home / _CONFIG)

    def _hashes(self, codex: str, merged: str, needed: int) -> dict[str, str]:
        """What trust is given to, by key; asked of Codex about a home that holds nothing else."""
        with tempfile.TemporaryDirectory(dir=private_folder(self._folder), prefix="scratch-") as name:
            scratch = Path(name).resolve()
            write_atomic(scratch / _HOOKS, merged.encode())
            environ = environ_for(scratch, self._ambient, HOME=name)
            with Server(codex, environ=environ, cwd=scratch) as server:
                listed = list_hooks(server, scratch)
        ours = {hook.key: hook.current_hash for hook in listed.hooks if self._is_ours(hook.command or "")}
        complaints = [*(error.message for error in listed.errors), *listed.warnings]
        if complaints and not ours:
            raise Refused(
                "hooks-file",
                f"Codex does not use {self._codex_home / _HOOKS}: {' '.join(complaints)}",
                "correct the file; its other hooks do not run either",
            )
        place = str(scratch / _HOOKS)
        hashes = {f"{self._codex_home / _HOOKS}{key.removeprefix(place)}": value for key, value in ours.items()}
        if len(hashes) < needed:
            raise HostError(
                "hooks-unknown",
                f"{codex} knows {len(hashes)} of the {needed} hooks that are needed",
                "update Codex",
            )
        return hashes

    def _program_is_current(self) -> bool:
        return self._program.is_file() and self._program.read_bytes() == Path(hook_program.__file__).read_bytes()

    def _write_program(self) -> None:
        if not self._program_is_current():
            write_atomic(self._program, Path(hook_program.__file__).read_bytes())

    def _report(
        self,
        action: Literal["install", "uninstall"],
        before: str,
        after: str,
        trust: dict[str, str],
        *,
        changed: bool,
        dry_run: bool,
    ) -> HooksReport:
        name = str(self._codex_home / _HOOKS)
        diff = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
        return HooksReport(
            action=action,
            codex_home=str(self._codex_home),
            changed=changed,
            dry_run=dry_run,
            events=EVENTS,
            events_file=str(self._folder / hook_program.EVENTS),
            command=self._command,
            diff="\n".join(diff),
            trust=trust,
        )


def _created(text: str) -> tuple[str, ...]:
    """What will stand in `hooks.json` because of us."""
    hooks = msgspec.json.decode(text).get("hooks") if text.strip() else None
    return (*(() if hooks is not None else ("hooks",)), *(event for event in EVENTS if event not in (hooks or {})))
