"""What a changed skill would let an agent do that the one before did not.

Owns finding programs, addresses, paths, variables, scripts, hidden characters, encoded text and words that set other
instructions aside in a text, and the difference between two texts. Does not own who says yes.
Invariant: it looks at form and never at intent. It would rather ask once too often than stay silent: a person
answers, and what is found is shown to them letter by letter. What is spelt so that a program would read it and a
person would not (quotes inside a word, letters of another alphabet, a broken line) is read as the program would.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import msgspec

from armarius.skills.disguise import encoded_words, mixes_alphabets, readings
from armarius.skills.edit import hidden_character
from armarius.visible import reveal

__all__ = ["KINDS", "Capability", "Kind", "new_capabilities"]

Kind: TypeAlias = Literal["command", "url", "path", "variable", "script", "hidden", "encoded", "override"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SHOWN = 120
_PIECE = 2_000
_OVERLAP = 200

# Addresses. A word with a dot in it names a host or a file, whatever it ends with.
_URL = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,15}://|\bwww\.|\bmailto:|\bdata:(?=[^\s,]{0,80},)|\bxn--|\b(?:https?|ftps?|wss?|file(?=:/)|"
    r"blob|vbscript|view-source|gopher|ldap|magnet|tel|sms):)[^\s\"'<>`)\]]+|(?<=\]\()//[^\s)]+",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"(?<![\w.@/\\$~-])(?:\w[\w-]{0,62}\.){1,8}(?!\d)\w{2,24}\b(?:/[^\s\"'<>`)\]]*)?")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_MASKED = re.compile(r"\w[\w-]{0,62}\s?(?:\[\.\]|\(\.\)|\[dot\]|\(dot\)|\sdot\s)\s?[a-z]{2,24}\b", re.IGNORECASE)
_ADDRESS = re.compile(
    r"\b(?:0x[0-9a-f]{1,4}|\d{1,4})(?:\.(?:0x[0-9a-f]{1,4}|\d{1,4})){3}(?::\d{1,5})?\b|\b0x[0-9a-f]{7,8}\b"
    r"|\blocalhost\b(?::\d+)?|\b127(?:\.\d{1,8}){1,2}\b(?::\d{1,5})?|\b\d{1,3}(?:\.\d{1,8}){1,2}:\d{2,5}\b"
    r"|(?<![\w.,])(?:0[0-7]{9,11}|[1-3]\d{8,9}|4[0-2]\d{8})(?![.,]\d|\w)"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){1,7}:[0-9a-f:]{0,30}|(?<![\w:])::[0-9a-f]{1,4}(?![\w])"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b",
    re.IGNORECASE,
)
_SUFFIXES = (
    "bak bib c cc cfg conf cpp cs css csv db doc docx env gif go h hpp html htm ini ipynb java jpeg jpg json "
    "jsonl key kt lock log md mdx mjs pdf pem png pptx proto r rst rs scss sql sqlite svg swift tex toml tsv tsx "
    "txt xls xlsx xml yaml yml zip gz tar tgz zst"
)
_FILES = frozenset(_SUFFIXES.split())
_ALSO_DOMAINS = frozenset({"sh", "pl"})

_PATH = re.compile(
    r"(?<![\w/:.<])(?:~|\.{1,2}|\$\{?\w+\}?)?(?:/[\w.@+~-]+)+/?|(?<![\w/])[\w.@-]+(?:/[\w.@+-]+)+\.\w{1,8}\b"
    r"|\b[A-Za-z]:\\[^\s\"'`]+|(?<!\\)\\\\\w[\w.$-]*\\[^\s\"'`]+|(?<![\w~])~(?=[.,;:)\"'`]|$|\s+[a-z])"
    r"|(?<![\w/:.<?*])/[\w.-]*[?*\[][^\s\"'`)]*|\bslash \w+ slash \w+|\bproc self\b|\bhome (?:folder|directory)\b"
    r"|(?<!\w)~(?:/|\b)\S*|(?<![\w/.])\.\w[\w.-]*(?:/\S+)?(?=[\s`\"',;)]|$)"
    r"|(?<!\S)//[\w.@+-]+(?:/\S*)?|(?<=\]\()(?![#/]|[A-Za-z]{2,20}:)[^)\s]+"
    r"|\b(?:id_(?:rsa|dsa|ecdsa|ed25519)|authorized_keys|known_hosts|sudoers|cron ?jobs?|autostart|launch agents?)\b"
)
_VARIABLE = re.compile(
    r"\$\{[^}\s]{1,100}\}?|\$[A-Za-z_]\w*|%[A-Z_][A-Z0-9_]{2,}%|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"
    r"|(?i:\bvariables? (?:named |called )?)[\"'`]?[A-Z][A-Z0-9]+\b|(?i:\benvironment variables?\b|\benv vars?\b)"
)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n]*)\n(.*?)(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]{1,500}?)\1(?!`)")
_FILE = re.compile(
    r"(?<![\w/.-])[\w-]+\.(?:sh|bash|zsh|py|pyc|js|ts|rb|pl|ps1|bat|cmd|exe|so|dylib|jar|vbs|lua|php)\b", re.IGNORECASE
)
_SHEBANG = re.compile(r"^[ \t]*#![^\n]+|<script\b|javascript:", re.MULTILINE | re.IGNORECASE)

# What a reader of the page does not see, the marks of the learned block aside.
_UNSHOWN = re.compile(
    r"<!--(?!\s*armarius:learned (?:start|end)\s*-->)"
    r"|(?i:<[a-z][\w-]*\s[^<>]{0,300}?(?:=|\bhidden\b|\binert\b)[^<>]{0,300}>"
    r"|<(?:details|template|noscript|style|iframe|object|embed|svg|img|link|meta|form|base|audio|video)\b[^<>]{0,300}>)"
    r"|^[ \t]*(?:[-*+] )?\[[^\]\n]{1,80}\]:\s*(?:#|<>)|\ufe0f{2,}"
)
_LETTERS = re.compile(r"\w+")

# Encoded text.
_ENCODED = re.compile(
    r"(?<![\w+/=-])(?=[A-Za-z0-9+/_-]*[0-9+/])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+/_-]{24,}={0,2}"
    r"|(?<!\w)(?:0x)?[0-9a-fA-F]{32,}(?!\w)|(?:%[0-9a-fA-F]{2}){2,}|(?:\\x[0-9a-fA-F]{2})+"
    r"|(?:\\u\{?[0-9a-fA-F]{4,6}\}?)+|(?:&#[xX]?[0-9a-fA-F]{1,6};)+|(?<![A-Z2-7])[A-Z2-7]{32,}={0,6}"
    r"|(?<!\w)(?:(?:0x)?[0-9a-fA-F]{2}[ ,:]{1,2}){5,}[0-9a-fA-F]{2}(?!\w)|(?:\\[0-3][0-7]{2}){2,}"
    r"|(?<!\w)[01]{7,8}(?: [01]{7,8}){2,}(?!\w)"
)
_OF_CODES = re.compile(
    r"\brot-?\d{1,2}\b|\bbase-?(?:16|32|58|64|85)\b|\b(?:uu|url|hex|de)-?(?:en|de)?cod(?:e[ds]?|ing)\b"
    r"|\b(?:decrypt|decipher|unscramble|caesar|morse)\w*|\b(?:spelt|spelled|read|written|type[ds]?|text)\s+(?:\w+\s+)?"
    r"(?:backwards?|in reverse)\b|(?<![\w.-])[.-]{2,5}(?: [.-]{1,5}){2,}(?![\w.-])"
    r"|&(?!(?:amp|lt|gt|quot|apos|nbsp);)[A-Za-z]{2,24};",
    re.IGNORECASE,
)

# Programs. Those of the first list are no words of prose; those of the second are programs after a word that sets
# them going, or at the beginning of code; those of the third are words of prose after "use" and "call", too.
_PROGRAMS = (
    "curl wget aria2c bash sh zsh ksh csh tcsh powershell pwsh python python2 python3 pypy perl ruby php nodejs "
    "deno lua osascript npm npx pnpm pip pip3 pipx uv uvx conda cargo rustc gcc clang javac ssh scp rsync sftp "
    "ftp tftp lftp telnet ncat netcat socat nmap tcpdump nslookup traceroute sendmail mailx mutt ngrok "
    "cloudflared rclone s3cmd aws gcloud gh glab eval sudo doas su chmod chown chattr chroot mkfs mkfifo crontab "
    "systemctl launchctl schtasks docker podman kubectl terraform ansible base64 xxd openssl gpg nohup xargs "
    "setsid tmux strace gdb apt-get dnf apk iptables useradd usermod passwd killall pkill printenv printf rmdir "
    "sqlite3 psql mysql redis-cli certutil bitsadmin mshta rundll32 regsvr32 wscript cscript netsh wmic iwr iex "
    "invoke-webrequest invoke-restmethod invoke-expression start-process"
)
_STARTED_ONLY = (
    "apt at awk brew bun cat cron dash dig env find fish gem go helm kill make mail mongo node sed shred tar tee "
    "vim yarn yum zip"
)
_CODE_ONLY = "alias cp export host less ln ls mount mv nano open ping screen set source touch"
_PROGRAM = re.compile(
    rf"(?<![\w./-])(?:{'|'.join(map(re.escape, _PROGRAMS.split()))})(?:\d[\d.]*\d|\d)?(?![\w-]|\.\w)", re.IGNORECASE
)
_GIT = (
    "add am apply archive bisect branch bundle checkout cherry-pick clean clone commit config credential daemon "
    "fetch filter-branch gc init merge mv pull push rebase reflog remote replace reset restore revert rm "
    "send-email stash submodule switch tag update-ref worktree"
)
_RISKY = re.compile(
    r"(?<![\w./-])(?:rm\s+[\w./~*$-]|(?:git|hg)\s+(?:-\S+\s+(?:[\w.]+=\S+\s+)?){0,4}(?:"
    + "|".join(_GIT.split())
    + r")\b|\{\w+(?:,[^},\s]{0,80}){0,20},-[^}\s]{0,80}\}|dd\s+if=|nc\s+-?\w+|kill\s+-|make\s+-"
    r"|codex\s+(?:exec|--))[^\n`]*|\$\([^\n`]*|\bmcp__\w+"
)
_STARTED = re.compile(
    r"\b(?:run|execute|invoke|launch|pipe (?:it |that |this )?(?:in)?to|call|use)\s+(?:the\s+)?(?:(?:tool|program|"
    rf"command)\s+)?((?:{'|'.join(_STARTED_ONLY.split())})(?![\w-]|\.\w)|[a-z][a-z0-9]*(?:_[a-z0-9]+)+)"
    rf"|\b(?:run|execute|invoke|launch)\s+((?:{'|'.join(_CODE_ONLY.split())})(?![\w-]|\.\w))",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?:\b(?:run|runs|running|call|calls|calling|execute|invoke|start|launch|type|enter|use|using|issue|try|command|"
    r"program|script|tool|terminal|shell)\b[^.`\n]{0,60})$",
    re.IGNORECASE,
)
_LIKE_A_LINE = re.compile(
    r"^\s*(?:\$\s+\S|[\w./~-]+\s+(?:-{1,2}\w|.*(?:&&|\|\||[;|<>]))"
    rf"|(?:{'|'.join((*_STARTED_ONLY.split(), *_CODE_ONLY.split()))})(?:\s+\S|$))"
)
_SHELLS = frozenset(
    {"", "sh", "bash", "zsh", "shell", "console", "terminal", "fish", "bat", "cmd", "powershell", "ps1"}
)
_LEAST_PROSE = re.compile(r"^\s*[\w./~$-]+")
_BROKEN_LINE = re.compile(r"\\\r?\n[ \t]*")

# Words that set other instructions, the person or the sandbox aside.
_OVERRIDE = re.compile(
    r"\b(?:(?:ignor|disregard|forget|overrid|bypass|overrul)(?:e|es|ed|ing|ting)?|pay no attention to|take no notice "
    r"of)\s+(?:(?:previous|prior|earlier|above|existing|system|developer|safety|all|any|these|those|your|the|other|of|my)\s+){1,5}(?:instructions?|rules?|prompts?|"
    r"guidelines?|polic(?:y|ies)|constraints?|messages?|restrictions?)\b"
    r"|\byou\s+are\s+now\b|\b(?:system|developer)\s+(?:prompt|message)\b|</?(?:system|developer|user|assistant)>"
    r"|\b(?:do\s+not|don'?t|never|without)\s+(?:tell|inform|reveal|notify|ask|alert|mention|disclos)e?(?:ing)?"
    r"\s+(?:\w+\s+){0,5}"
    r"(?:user|human|owner|operator|anyone|permission|approval)\b"
    r"|\b(?:approve|accept|allow|grant|confirm)\s+(?:every|all|any)\s+(?:\w+\s+){0,2}(?:requests?|prompts?|commands?|"
    r"approvals?|permissions?)\b|\bno attention to what\s+(?:\w+\s+){0,2}(?:user|human|owner|operator)\b"
    r"|\b(?:disable|turn\s+off|skip|leave|escape|bypass)\s+(?:the\s+)?(?:sandbox|approvals?|guard|safety|checks?)\b"
    r"|\b(?:send|post|upload|exfiltrate|leak|forward|include|append|paste|print|reveal|copy|write|embed)\b[^.\n]{0,80}"
    r"\b(?:secrets?|credentials?|api\s*keys?|passwords?)\b"
    r"|--(?:dangerously[\w-]*|yolo|full-auto|no-verify|no-sandbox|privileged|insecure|unsafe[\w-]*|skip-[\w-]+)"
    r"|\bdanger-full-access\b|\b(?:approval_policy|sandbox_mode|network_access|sandbox_permissions)\b",
    re.IGNORECASE,
)


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
    for line in _BROKEN_LINE.sub("", text).split("\n"):
        # In pieces, as a pattern may look at a long line once for each of its characters.
        for start in range(0, len(line), _PIECE):
            piece = line[max(0, start - _OVERLAP) : start + _PIECE]
            yield from _named(piece)
            yield from _disguised(piece)
            yield from _spans(piece)
    yield from _blocks(text)
    unwrapped = " ".join(text.split())  # a sentence may go on in the next line
    for start in range(0, len(unwrapped), _PIECE):
        for match in _OVERRIDE.finditer(unwrapped[max(0, start - _OVERLAP) : start + _PIECE]):
            yield Capability("override", _plain(match.group()))


def _named(piece: str) -> Iterator[Capability]:
    """What one pattern tells."""
    for kind, patterns in _PATTERNS:
        for match in itertools.chain.from_iterable(pattern.finditer(piece) for pattern in patterns):
            if shown := _plain(match.group()):
                yield Capability(kind, shown)
    for match in _DOTTED.finditer(piece):
        if (kind := _dotted_kind(match.group(), piece[match.end() : match.end() + 1])) is not None:
            yield Capability(kind, _plain(match.group()))
    for match in _STARTED.finditer(piece):
        yield Capability("command", _plain(match[1] or match[2]))


def _dotted_kind(word: str, following: str) -> Kind | None:
    """Whether a word with dots is a file, a host or a function; None for an abbreviation, and a script's file."""
    host, slash, _ = word.partition("/")
    *others, last = host.split(".")
    if not slash and all(len(label) == 1 for label in others):
        return None
    if following == "(":
        return "script"
    if _FILE.fullmatch(host):
        return "url" if last.casefold() in _ALSO_DOMAINS or slash else None
    return "path" if last.casefold() in _FILES and not slash else "url"


def _disguised(piece: str) -> Iterator[Capability]:
    """What a program would read otherwise than a person, and words in another code."""
    for reading in readings(piece):
        yield from (one for one in _named(reading) if one.kind in _READ_OTHERWISE and one.text.isascii())
    if not piece.isascii():
        for word in _LETTERS.findall(piece):
            if mixes_alphabets(word):
                yield Capability("hidden", f"letters of several alphabets in {_plain(word)}")
    for word in encoded_words(piece):
        yield Capability("encoded", _plain(word))


_READ_OTHERWISE: frozenset[Kind] = frozenset({"command", "url", "path", "variable", "override"})


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
    ("url", (_URL, _MAIL, _MASKED, _ADDRESS)),
    ("path", (_PATH,)),
    ("variable", (_VARIABLE,)),
    ("script", (_FILE, _SHEBANG)),
    ("encoded", (_ENCODED, _OF_CODES)),
    ("hidden", (_UNSHOWN,)),
    ("override", (_OVERRIDE,)),
)
