"""Files of rules, held against what Codex makes of them.

Owns writing a template, the findings of files, their examples as Codex decides them, and what a decision means. Does
not own the findings about a single rule (policy.py) nor asking Codex (codex/execpolicy.py).
Invariant: a file that is there is never overwritten, and none is written that Codex does not take.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.audit.policy import TEMPLATES, Finding, commands_of, findings, lacks_login, read_rules
from armarius.codex.binary import Binary
from armarius.codex.execpolicy import Matched, ask
from armarius.errors import DataError, Refused
from armarius.files import read_bounded, write_atomic

__all__ = [
    "PolicyExample",
    "PolicyExplained",
    "PolicyReport",
    "PolicyTest",
    "PolicyWritten",
    "check_files",
    "explain",
    "try_examples",
    "write_template",
]

_LARGEST = 1 << 20
_STRICTNESS = ("allow", "prompt", "forbidden")
_MEANS = {
    "allow": "it runs OUTSIDE of the sandbox, with your rights, and nobody is asked",
    "prompt": "a person is asked; where nobody can be, as in `codex exec`, it is rejected",
    "forbidden": "it is not run, also as a part of a longer command line",
    None: "no rule meets it: the sandbox and the approval policy alone decide",
}


class PolicyWritten(msgspec.Struct, frozen=True):
    """What `policy init` answers (`armarius.policy_init.v1`); `is_new` is false where the same was there before."""

    file: str
    template: str
    rules: int
    examples: int
    is_new: bool
    schema: str = "armarius.policy_init.v1"


class PolicyReport(msgspec.Struct, frozen=True):
    """What `policy check` answers (`armarius.policy_check.v1`). `rules` are those that are literal."""

    files: tuple[str, ...]
    rules: int
    findings: tuple[Finding, ...]
    schema: str = "armarius.policy_check.v1"

    def fails(self, *, strict: bool) -> bool:
        return any(one.severity == "error" or strict for one in self.findings)


class PolicyExample(msgspec.Struct, frozen=True):
    """An example, and what the rules together say of it. `wanted` is what its own rule says; None: not to be met."""

    file: str
    line: int
    command: tuple[str, ...]
    wanted: str | None
    decision: str | None
    holds: bool


class PolicyTest(msgspec.Struct, frozen=True):
    """What `policy test` answers (`armarius.policy_test.v1`). `unread` statements are no literal rules."""

    examples: tuple[PolicyExample, ...]
    unread: int
    schema: str = "armarius.policy_test.v1"


class PolicyExplained(msgspec.Struct, frozen=True):
    """What `policy explain` answers (`armarius.policy_explain.v1`)."""

    command: tuple[str, ...]
    decision: str | None
    means: str
    matched: tuple[Matched, ...]
    files: tuple[str, ...]
    schema: str = "armarius.policy_explain.v1"


def write_template(binary: Binary, template: str, file: Path) -> PolicyWritten:
    """Write a template, unless the same is there already; Refused where something else is."""
    text = TEMPLATES[template]
    with tempfile.TemporaryDirectory(prefix="armarius-rules-") as folder:
        trial = Path(folder) / "trial.rules"
        trial.write_text(text)
        ask(binary, [trial], ["true"])
    is_new = not (file.exists() or file.is_symlink())
    if not is_new and read_bounded(file, _LARGEST) != text.encode():
        raise Refused("rules-there", f"{file} is there, with other rules", "name another file with --to")
    if is_new:
        write_atomic(file, text.encode())
    read = read_rules(text)
    return PolicyWritten(str(file), template, len(read.rules), len(commands_of(read)), is_new)


def check_files(binary: Binary, files: Sequence[Path], *, for_worker: bool) -> PolicyReport:
    """What speaks against these files, each by itself and, for a worker's home, all together."""
    found, rules, taken = list[Finding](), 0, list[Path]()
    for file in files:
        read = None
        try:
            read = read_rules(_text(file))  # before Codex, which would wait for a pipe
            ask(binary, [file], ["true"])
            taken.append(file)
        except DataError as error:
            found.append(Finding(str(file), 0, error.code, "error", error.message, error.hint))
        if read is not None:
            rules += len(read.rules)
            found += findings(str(file), read)
    if for_worker:
        lacks = lacks_login(lambda command: bool(taken) and ask(binary, taken, command).decision == "forbidden")
        found += [] if lacks is None else [lacks]
    return PolicyReport(tuple(map(str, files)), rules, tuple(found))


def try_examples(binary: Binary, files: Sequence[Path]) -> PolicyTest:
    """Every example, as Codex decides it by all files together.

    It holds when its rule is met, or not met, as it says, and what is decided is the rule's word or a stricter one.
    """
    done, unread = list[PolicyExample](), 0
    texts = {file: _text(file) for file in files}
    ask(binary, files, ["true"])  # no example may be there to show that Codex takes none of it
    for file, text in texts.items():
        read = read_rules(text)
        unread += len(read.unread)
        for rule, command, is_met in commands_of(read):
            decided = ask(binary, files, command)
            own = any(len(one.prefix) == len(rule.pattern) and rule.meets(one.prefix) for one in decided.matched)
            strong = decided.decision is not None and _at_least(decided.decision, rule.decision)
            wanted = rule.decision if is_met else None
            holds = own and strong if is_met else not own
            done.append(PolicyExample(str(file), rule.line, command, wanted, decided.decision, holds))
    return PolicyTest(tuple(done), unread)


def explain(binary: Binary, files: Sequence[Path], command: tuple[str, ...]) -> PolicyExplained:
    """What the rules say of a command."""
    for file in files:
        _text(file)  # a pipe would keep Codex waiting
    decided = ask(binary, files, command)
    means = _MEANS[decided.decision]
    return PolicyExplained(command, decided.decision, means, decided.matched, tuple(map(str, files)))


def _at_least(decision: str, wanted: str) -> bool:
    return _STRICTNESS.index(decision) >= _STRICTNESS.index(wanted)


def _text(file: Path) -> str:
    try:
        return read_bounded(file, _LARGEST).decode()
    except UnicodeDecodeError as error:
        raise DataError("rules", f"{file}: byte {error.start} is not UTF-8", "save it as UTF-8") from error
