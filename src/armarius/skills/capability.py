"""What a changed skill would let an agent do that the one before did not.

Owns finding programs, addresses, paths, variables, scripts, hidden characters and encoded text in a text, and
the difference between two texts. Does not own who says yes.
Invariant: it looks at form and never at intent. It would rather ask once too often than stay silent: a person
answers, and what is found is shown to them letter by letter.
"""

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import msgspec

from armarius.skills.edit import hidden_character
from armarius.visible import reveal

__all__ = ["KINDS", "Capability", "Kind", "new_capabilities"]

Kind: TypeAlias = Literal["command", "url", "path", "variable", "script", "hidden", "encoded"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SHOWN = 120
_PIECE = 2_000
_OVERLAP = 200

_URL = re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,15}://|\bwww\.|\bmailto:|\bdata:[a-z]+/)[^\s\"'<>`)\]]+", re.IGNORECASE)
_HOST = re.compile(
    r"\b(?:[a-z0-9-]{1,63}\.){1,8}(?:com|org|net|io|dev|ai|app|sh|xyz|ru|cn|co|me|info|site|onion)\b", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b")
_PATH = re.compile(
    r"(?<![\w/:.<])(?:~|\.{1,2}|\$\{?\w+\}?)?(?:/[\w.@+~-]+)+/?|(?<![\w/])[\w.@-]+(?:/[\w.@+-]+)+\.\w{1,8}\b"
    r"|\b[A-Za-z]:\\[^\s\"'`]+|(?<!\w)~(?:/|\b)\S*|(?<![\w/.])\.\w[\w.-]*(?:/\S+)?(?=[\s`\"',;)]|$)"
)
_VARIABLE = re.compile(r"\$\{[^}\s]{1,100}\}?|\$[A-Za-z_]\w*|%[A-Z_][A-Z0-9_]{2,}%|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n]*)\n(.*?)(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]{1,500}?)\1(?!`)")
_FILE = re.compile(
    r"(?<![\w/.-])[\w-]+\.(?:sh|bash|zsh|py|pyc|js|ts|rb|pl|ps1|bat|cmd|exe|so|dylib|jar|vbs|lua|php)\b", re.IGNORECASE
)
_SHEBANG = re.compile(r"^[ \t]*#![^\n]+|<script\b|javascript:", re.MULTILINE | re.IGNORECASE)
_ENCODED = re.compile(
    r"(?<![\w+/=-])(?=[A-Za-z0-9+/_-]*[0-9+/])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+/_-]{24,}={0,2}"
    r"|(?<!\w)(?:0x)?[0-9a-fA-F]{32,}(?!\w)|(?:%[0-9a-fA-F]{2}){4,}|(?:\\x[0-9a-fA-F]{2}){2,}"
    r"|(?:\\u[0-9a-fA-F]{4}){2,}|(?:&#x?[0-9a-fA-F]{1,6};){2,}|(?<![A-Z2-7])[A-Z2-7]{32,}={0,6}"
)
_PROGRAMS = [
    "curl",
    "wget",
    "bash",
    "zsh",
    "powershell",
    "pwsh",
    "python",
    "python3",
    "perl",
    "ruby",
    "php",
    "npm",
    "npx",
    "pip",
    "pip3",
    "uvx",
    "ssh",
    "scp",
    "rsync",
    "sftp",
    "telnet",
    "ncat",
    "netcat",
    "socat",
    "eval",
    "sudo",
    "doas",
    "su",
    "chmod",
    "chown",
    "chattr",
    "mkfs",
    "crontab",
    "systemctl",
    "launchctl",
    "docker",
    "podman",
    "kubectl",
    "osascript",
    "base64",
    "openssl",
    "gpg",
    "nohup",
    "xargs",
    "setsid",
    "apt",
    "apt-get",
    "brew",
    "dnf",
    "yum",
    "iptables",
    "useradd",
    "passwd",
    "killall",
    "pkill",
]
_PROGRAM = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, _PROGRAMS))})(?![\w.-])")
_RISKY = re.compile(
    r"(?<![\w./-])(?:rm\s+-\w+|git\s+(?:push|clone|remote|config|reset)|dd\s+if=|nc\s+-?\w+|kill\s+-)[^\n`]*"
)
_ASKED = re.compile(
    r"(?:\b(?:run|runs|running|call|calls|calling|execute|invoke|start|launch|type|enter|use|using|issue|try|command|"
    r"program|script|tool|terminal|shell)\b[^.`\n]{0,60})$",
    re.IGNORECASE,
)
_LIKE_A_LINE = re.compile(r"^\s*(?:\$\s+\S|[\w./~-]+\s+(?:-{1,2}\w|.*(?:&&|\|\||[|;<>])))")
_SHELLS = frozenset(
    {"", "sh", "bash", "zsh", "shell", "console", "terminal", "fish", "bat", "cmd", "powershell", "ps1"}
)
_LEAST_PROSE = re.compile(r"^\s*[\w./~$-]+")


class Capability(msgspec.Struct, frozen=True, order=True):
    """Something that a text lets an agent do: of which kind, and the letters that say so."""

    kind: Kind
    text: str


def new_capabilities(before: str, after: str) -> tuple[Capability, ...]:
    """What `after` holds and `before` does not, by kind and text."""
    return tuple(sorted(set(_found(after)) - set(_found(before)), key=_place))


def _place(capability: Capability) -> tuple[int, str]:
    return KINDS.index(capability.kind), capability.text


def _found(text: str) -> Iterator[Capability]:
    for line in text.split("\n"):
        if (hidden := hidden_character(line.removesuffix("\r"))) is not None:
            yield Capability("hidden", f"{hidden} in {reveal(line.strip())[:_SHOWN]}")
        # In pieces, as a pattern may look at a long line once for each of its characters.
        for start in range(0, len(line), _PIECE):
            piece = line[max(0, start - _OVERLAP) : start + _PIECE]
            for kind, patterns in _PATTERNS:
                for match in (match for pattern in patterns for match in pattern.finditer(piece)):
                    if shown := _plain(match.group()):
                        yield Capability(kind, shown)
            yield from _spans(piece)
    yield from _blocks(text)


def _blocks(text: str) -> Iterator[Capability]:
    """Fenced blocks: in a shell's language every line is a command, in another one they are a script."""
    for match in _FENCE.finditer(text):
        language = match[2].strip().split(" ")[0].casefold()
        lines = [line.strip() for line in match[3].split("\n") if line.strip()]
        if language in _SHELLS:
            for line in lines:
                yield Capability("command", _plain(line.removeprefix("$ ")))
        elif lines:
            yield Capability("script", _plain(f"{language}: {lines[0]}"))


def _spans(text: str) -> Iterator[Capability]:
    """Words in code that one is told to run, or that look like a line for a shell."""
    for match in _SPAN.finditer(text):
        told = _ASKED.search(text[max(0, match.start() - 80) : match.start()])
        inside = match[2]
        if _LIKE_A_LINE.match(inside) or (told and _LEAST_PROSE.match(inside)):
            yield Capability("command", _plain(inside))


def _plain(text: str) -> str:
    return reveal(text.strip().rstrip(".,;:"))[:_SHOWN]


_PATTERNS: tuple[tuple[Kind, tuple["re.Pattern[str]", ...]], ...] = (
    ("command", (_PROGRAM, _RISKY)),
    ("url", (_URL, _HOST, _ADDRESS)),
    ("path", (_PATH,)),
    ("variable", (_VARIABLE,)),
    ("script", (_FILE, _SHEBANG)),
    ("encoded", (_ENCODED,)),
)
