"""Rules about commands, as Codex's execpolicy has them: templates, and what speaks against a rule.

Owns the templates, reading the rules of a file as far as they are literal, and the findings. Pure. Does not own what
Codex decides (codex/execpolicy.py).
Invariant: a file is never run. What cannot be read without running it (a loop, a name, a call) is counted and said;
nothing is found fault with, or passed, on a guess.

A rule with the decision "allow" lets a command run outside of Codex's sandbox, with no question asked.
"""

import ast
import shlex
from collections.abc import Callable
from typing import Final, Literal

import msgspec

__all__ = ["TEMPLATES", "Finding", "Rule", "Rules", "commands_of", "findings", "lacks_login", "read_rules"]

Severity = Literal["error", "warning"]

_HEAD = """\
# Rules about commands, for Codex. It reads every *.rules file of CODEX_HOME/rules when it starts.
# "forbidden" and "prompt" narrow. "allow" lets a command run OUTSIDE of the sandbox, and asks nobody.
# `match` and `not_match` are checked by Codex itself whenever it reads this file.
"""
_LOGIN = """
prefix_rule(
    pattern = ["codex", "login", ["--with-api-key", "--with-access-token"]],
    decision = "forbidden",
    justification = "a key would be billed in place of the plan, and the login of this home would be gone",
    match = ["codex login --with-api-key", "codex login --with-access-token"],
    not_match = ["codex login status", "codex exec hello"],
)
prefix_rule(
    pattern = ["codex", "logout"],
    decision = "forbidden",
    justification = "the login of this home belongs to its owner",
    match = ["codex logout"],
    not_match = ["codex login status"],
)
"""
_OUTSIDE = """
prefix_rule(
    pattern = ["git", "push"],
    decision = "forbidden",
    justification = "what is published is for a person to decide",
    match = ["git push", "git push --force origin main"],
    not_match = ["git status", "git diff"],
)
prefix_rule(
    pattern = [["npm", "pnpm", "yarn", "cargo", "twine", "uv"], "publish"],
    decision = "forbidden",
    justification = "what is published is for a person to decide",
    match = ["npm publish", "cargo publish"],
    not_match = ["npm test", "cargo build"],
)
prefix_rule(
    pattern = [["sudo", "su", "doas", "pkexec"]],
    decision = "forbidden",
    justification = "an agent works with the rights that it was given",
    match = ["sudo ls", "su root"],
    not_match = ["ls"],
)
"""
_ASKING = """
prefix_rule(
    pattern = ["git", ["push", "fetch", "pull", "clone"]],
    decision = "prompt",
    justification = "this speaks to another machine",
    match = ["git push", "git fetch origin"],
    not_match = ["git status"],
)
prefix_rule(
    pattern = ["rm", ["-rf", "-fr", "-r", "-R"]],
    decision = "prompt",
    justification = "this cannot be undone",
    match = ["rm -rf build"],
    not_match = ["rm a.txt"],
)
"""
_READING = """
prefix_rule(
    pattern = [["curl", "wget", "ssh", "scp", "nc"]],
    decision = "forbidden",
    justification = "a judge fetches nothing",
    match = ["curl https://example.org", "ssh host"],
    not_match = ["cat a.txt"],
)
"""

TEMPLATES: Final = {
    "worker": _HEAD + _LOGIN + _OUTSIDE,
    "validator": _HEAD + _LOGIN + _OUTSIDE + _READING,
    "person": _HEAD + _LOGIN + _ASKING,
}
"""Rules for a home in which workers run, for one of judges, and for somebody who is there to be asked."""

_RUNS_ANYTHING = frozenset(
    {
        *("sh", "bash", "zsh", "dash", "fish", "ksh", "env", "xargs", "sudo", "doas", "su", "nohup", "time", "timeout"),
        *("nice", "setsid", "script", "watch", "parallel", "ssh", "busybox", "eval", "exec", "command", "find", "awk"),
        *("python", "python3", "python2", "node", "deno", "bun", "ruby", "perl", "php", "lua", "osascript", "pwsh"),
        *("make", "just", "npm", "npx", "pnpm", "yarn", "pip", "pip3", "uv", "uvx", "pipx", "poetry", "cargo", "go"),
        *("docker", "podman", "kubectl", "git", "gh", "vim", "vi", "emacs", "nano", "less", "man", "tar", "rsync"),
        *("codex", "armarius", "claude", "gdb", "strace", "systemd-run", "at", "crontab", "tmux", "screen", "apt"),
        *("brew", "sed", "xdg-open", "open", "curl", "wget", "scp", "nc"),
    }
)
_DESTROYS = frozenset({"rm", "dd", "mkfs", "chmod", "chown", "mv", "cp", "kill", "pkill", "shutdown", "tee", "ln"})
_LOUD = frozenset(
    {
        *(("git", "push"), ("git", "config"), ("git", "clean"), ("git", "reset"), ("git", "checkout"), ("git", "-c")),
        *(("npm", "run"), ("npm", "install"), ("npm", "exec"), ("pip", "install"), ("uv", "run"), ("cargo", "run")),
        *(("go", "run"), ("docker", "run"), ("docker", "exec"), ("find", "-exec"), ("python", "-c"), ("python", "-m")),
        *(("python3", "-c"), ("python3", "-m"), ("node", "-e"), ("gh", "api"), ("poetry", "run"), ("make", "-f")),
        *(("kubectl", "exec"), ("pnpm", "run"), ("yarn", "run"), ("rm", "-rf"), ("rm", "-fr"), ("rm", "-r")),
    }
)
_NEEDED: Final = ("codex", "login", "--with-api-key")
_MOST_COMMANDS = 500


class Rule(msgspec.Struct, frozen=True):
    """A literal `prefix_rule`. `pattern` has, for each word, the words that may stand there."""

    line: int
    pattern: tuple[tuple[str, ...], ...]
    decision: str
    justification: str | None = None
    match: tuple[tuple[str, ...], ...] = ()
    not_match: tuple[tuple[str, ...], ...] = ()

    def meets(self, command: tuple[str, ...]) -> bool:
        return len(command) >= len(self.pattern) and all(
            word in allowed for word, allowed in zip(command, self.pattern, strict=False)
        )


class Rules(msgspec.Struct, frozen=True):
    """What a file says, as far as it is literal; `unread` are lines of what is not."""

    rules: tuple[Rule, ...] = ()
    unread: tuple[int, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """What speaks against a rule, and what to do."""

    file: str
    line: int
    code: str
    severity: Severity
    message: str
    hint: str


def read_rules(text: str) -> Rules:
    """The literal rules of a file. Its language is a part of Python's grammar; what is not is Codex's to refuse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Rules(unread=(1,))
    rules, unread = list[Rule](), list[int]()
    for node in tree.body:
        rule = _rule(node)
        if isinstance(rule, Rule):
            rules.append(rule)
        elif rule is None:
            unread.append(node.lineno)
    return Rules(tuple(rules), tuple(unread))


def _rule(node: ast.stmt) -> Rule | Literal["other"] | None:
    """The rule of a statement; "other" for one that says nothing about commands, None for one that is not literal."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "other"
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)):
        return None
    call = node.value
    if node.value.func.id != "prefix_rule":
        return "other" if node.value.func.id in {"network_rule", "host_executable"} else None
    named = {word.arg: word.value for word in call.keywords if word.arg is not None}
    if call.args or len(named) != len(call.keywords):
        return None
    try:
        values = {name: ast.literal_eval(value) for name, value in named.items()}
        said = msgspec.convert(values, _Call)
        return Rule(
            node.lineno,
            tuple((one,) if isinstance(one, str) else one for one in said.pattern),
            said.decision,
            said.justification,
            _examples(said.match),
            _examples(said.not_match),
        )
    except (ValueError, TypeError, msgspec.ValidationError, RecursionError, MemoryError):
        return None


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    pattern: tuple[str | tuple[str, ...], ...]
    decision: str = "allow"
    justification: str | None = None
    match: tuple[str | tuple[str, ...], ...] = ()
    not_match: tuple[str | tuple[str, ...], ...] = ()


def _examples(said: tuple[str | tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(shlex.split(one)) if isinstance(one, str) else one for one in said)


def findings(file: str, read: Rules) -> tuple[Finding, ...]:
    """What speaks against the rules of a file."""
    found = [one for rule in read.rules for one in _of_rule(file, rule)]
    found += [
        Finding(
            file, line, "unread", "warning", "this is no literal rule, so nothing can be said of it", "write it out"
        )
        for line in read.unread
    ]
    return tuple(sorted(found, key=lambda one: one.line))


def lacks_login(is_forbidden: Callable[[tuple[str, ...]], bool]) -> Finding | None:
    """What is wrong with the rules of a worker's home that do not forbid a login by which somebody else would pay."""
    if is_forbidden(_NEEDED):
        return None
    said = f"`{' '.join(_NEEDED)}` is not forbidden, which would change who pays"
    return Finding("", 0, "login", "error", said, "begin with `armarius policy init --template worker`")


def _of_rule(file: str, rule: Rule) -> list[Finding]:
    found = list[Finding]()
    shown = " ".join("|".join(words) for words in rule.pattern)
    if rule.decision == "allow":
        said = f"`{shown} …` runs outside of the sandbox, and nobody is asked"
        found.append(Finding(file, rule.line, "allow", "warning", said, "leave it out where the sandbox suffices"))
        wide = [prefix for prefix in _prefixes(rule) if _is_wide(prefix)]
        if wide:
            some = ", ".join(f"`{' '.join(prefix)}`" for prefix in wide[:3])
            said = f"{some} can run or change anything, and is allowed with whatever follows"
            found.append(Finding(file, rule.line, "broad", "error", said, "name the whole command, or use prompt"))
    if not rule.match or not rule.not_match:
        lacks = "match" if not rule.match else "not_match"
        said = f"`{shown} …` has no {lacks} examples, so that Codex cannot check it"
        found.append(Finding(file, rule.line, "untested", "warning", said, f"add {lacks} = [...]"))
    return found


def _prefixes(rule: Rule) -> list[tuple[str, ...]]:
    """Every beginning, at most two words long, that the rule allows."""
    first = rule.pattern[0] if rule.pattern else ()
    if len(rule.pattern) == 1:
        return [(word,) for word in first]
    return [(word, then) for word in first for then in rule.pattern[1]] if len(rule.pattern) == 2 else []  # noqa: PLR2004


def _is_wide(prefix: tuple[str, ...]) -> bool:
    name = prefix[0].rpartition("/")[2]
    plain = (name, *prefix[1:])
    return (len(prefix) == 1 and name in _RUNS_ANYTHING | _DESTROYS) or plain in _LOUD or name in _SHELLS


_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "fish", "ksh", "sudo", "env", "xargs", "ssh", "eval"})


def commands_of(read: Rules) -> tuple[tuple[Rule, tuple[str, ...], bool], ...]:
    """The examples of a file, each with its rule and whether the rule is to be met."""
    yes = [(rule, command, True) for rule in read.rules for command in rule.match]
    no = [(rule, command, False) for rule in read.rules for command in rule.not_match]
    return tuple((yes + no)[:_MOST_COMMANDS])
