"""A thread as one file to hand on.

Owns taking secrets out of a whole thread, and its form as Markdown and as an HTML page. Does not own
what is shown of it (`transcript`).
Invariant: pure. All forms are made from the redacted thread. A page loads nothing: no script, no
picture, no link to anywhere; what an agent or a tool said is text in it and never markup. In Markdown
the words of the agent stay Markdown, without raw HTML and without pictures.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from armarius.clock import rfc3339
from armarius.redact import redact
from armarius.sessions.transcript import Entry, entries_of, facts_of, headline
from armarius.thread import Thread

__all__ = ["Exported", "Form", "as_html", "as_markdown", "redacted", "redacted_value"]

Form: TypeAlias = Literal["md", "html", "json"]

_STYLE: Final = Path(__file__).with_name("export.css").read_text()
_OPEN_LINES: Final = 12
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)$")
_TICKS = re.compile(r"`+")
_SPAN = re.compile(r"(?<![`\\])(?P<ticks>`{1,4})(?!`)(?P<code>[^`\n]{1,500})(?P=ticks)(?!`)")
_LIVE = re.compile(r"<|!\[")
_PUNCTUATION = re.compile(r"[^\w\s]")


class Exported(msgspec.Struct, frozen=True):
    """A thread without the secrets that `redact` knows (`armarius.export.v1`)."""

    thread: Thread
    exported_at: str
    schema: str = "armarius.export.v1"


def redacted(thread: Thread) -> Thread:
    """The thread with every secret in any of its texts replaced, in bytes that were kept as well."""
    plain = msgspec.to_builtins(thread, builtin_types=(bytes,))
    return msgspec.convert(redacted_value(plain), Thread, builtin_types=(bytes,))


def redacted_value(value: Any) -> Any:
    """A value of JSON's kinds with every secret in its texts and names replaced."""
    match value:
        case str():
            return redact(value)
        case bytes():
            return redact(value.decode(errors="replace")).encode()
        case dict():
            return {redacted_value(key): redacted_value(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [redacted_value(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


# HTML


def as_html(thread: Thread, at_us: int) -> str:
    """A page that stands alone; `thread` is redacted."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(f"Session {thread.id}")
    body = "\n".join(_html_parts(thread, at_us))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html_parts(thread: Thread, at_us: int) -> Iterator[str]:
    facts = "".join(f"<p>{escape(fact)}</p>" for fact in facts_of(thread))
    yield f"<header><h1>Session {escape(thread.id)}</h1>{facts}</header>"
    for number, turn in enumerate(thread.turns, start=1):
        yield f"<section><h2>{escape(headline(thread, turn, number))}</h2>"
        for item in turn.items:
            yield from map(_html_entry, entries_of(item))
        if turn.error:
            yield f'<p class="said failed">failed: {escape(turn.error)}</p>'
        yield "</section>"
    yield f"<footer>{escape(_last_words(thread, at_us))}</footer>"


def _html_entry(entry: Entry) -> str:
    title, kind = escape(entry.title), "note failed" if entry.is_bad else "note"
    note = f' <span class="{kind}">{escape(entry.note)}</span>' if entry.note else ""
    match entry.kind:
        case "user" | "agent" | "thinking":
            return f'<div class="said {entry.kind}">{title}</div>'
        case "patch":
            lines = "".join(map(_html_diff_line, entry.body.splitlines()))
            return _html_folded(f"<code>{title}</code>{note}", lines, entry.body)
        case "command" | "tool":
            head, _, rest = entry.title.partition("\n")
            sign = "$ " if entry.kind == "command" else ""
            more = f"<pre>{escape(rest)}</pre>" if rest else ""
            summary = f"<code>{sign}{escape(head)}</code>{note}"
            return _html_folded(summary, escape(entry.body), entry.body, more)
        case _:
            shown = f'<div class="said notice">{title}</div>'
            return shown + (_html_folded("details", escape(entry.body), entry.body) if entry.body else "")


def _html_folded(summary: str, body: str, text: str, more: str = "") -> str:
    """A short body is shown at once, a long one when it is asked for."""
    if not body and not more:
        return f"<details><summary>{summary}</summary></details>"
    is_open = " open" if text.count("\n") < _OPEN_LINES else ""
    shown = f"<pre>{body}</pre>" if body else ""
    return f"<details{is_open}><summary>{summary}</summary>{more}{shown}</details>"


def _html_diff_line(line: str) -> str:
    kind = {"+": "add", "-": "del", "@": "hunk"}.get(line[:1])
    return f'<span class="{kind}">{escape(line)}</span>' if kind else f"{escape(line)}\n"


def _last_words(thread: Thread, at_us: int) -> str:
    count = len(thread.bad_lines)
    lines = "1 line" if count == 1 else f"{count} lines"
    skipped = f" {lines} of its file could not be used." if count else ""
    at = rfc3339(at_us)[:19].replace("T", " ")
    return f"Exported by Armarius on {at} UTC; the secrets that it knows were replaced.{skipped}"


# Markdown


def as_markdown(thread: Thread, at_us: int) -> str:
    """One Markdown file; `thread` is redacted."""
    return "\n\n".join(_markdown_parts(thread, at_us)) + "\n"


def _markdown_parts(thread: Thread, at_us: int) -> Iterator[str]:
    yield f"# Session {_code(thread.id)}"
    yield "\n".join(f"* {_prose(' '.join(fact.split()))}" for fact in facts_of(thread))
    for number, turn in enumerate(thread.turns, start=1):
        yield f"## {headline(thread, turn, number)}"
        for item in turn.items:
            yield from map(_markdown_entry, entries_of(item))
        if turn.error:
            yield f"**failed**\n\n{_quoted(turn.error)}"
    yield f"---\n\n{_last_words(thread, at_us)}"


def _markdown_entry(entry: Entry) -> str:
    note = f" — {_prose(entry.note)}" if entry.note else ""
    match entry.kind:
        case "user":
            return _quoted(entry.title)
        case "agent":
            return _words(entry.title)
        case "thinking":
            return f"*thinking*\n\n{_quoted(entry.title)}"
        case "patch":
            return f"{_code(entry.title)}{note}" + (f"\n\n{_fenced(entry.body, 'diff')}" if entry.body else "")
        case "command":
            head = _fenced("\n".join(f"$ {line}" for line in entry.title.splitlines()), "console")
            return f"{head}\n\n{_folded(entry.body, entry.note)}"
        case "tool":
            return f"tool {_code(entry.title)}{note}\n\n{_folded(entry.body, 'answer')}".rstrip()
        case _:
            return f"*notice*\n\n{_quoted(entry.title)}" + (
                f"\n\n{_folded(entry.body, 'details')}" if entry.body else ""
            )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _words(text).splitlines())


def _folded(body: str, note: str) -> str:
    if not body.strip():
        return f"*{_prose(note)}*" if note != "answer" else ""
    lines = len(body.splitlines())
    summary = f"{escape(note)}, {lines} line{'s' if lines > 1 else ''}"
    return f"<details><summary>{summary}</summary>\n\n{_fenced(body)}\n\n</details>"


def _fenced(text: str, info: str = "") -> str:
    """A block of code that nothing inside of it can end."""
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text.removesuffix(chr(10))}\n{fence}"


def _code(text: str) -> str:
    line = " ".join(text.split())
    longest = max((len(ticks) for ticks in _TICKS.findall(line)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {line} {ticks}" if longest else f"`{line}`"


def _prose(text: str) -> str:
    """Words without HTML and pictures; a piece of code that holds such is code in HTML's way.

    Entities and not backslashes: one before them would take their power away.
    """
    parts, at = list[str](), 0
    for span in _SPAN.finditer(text):
        code = span["code"]
        parts += [_plain(text[at : span.start()])]
        parts += [f"<code>{_PUNCTUATION.sub(_entity, code)}</code>" if _LIVE.search(code) else span[0]]
        at = span.end()
    return "".join((*parts, _plain(text[at:])))


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("![", "!&#91;")


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _words(text: str) -> str:
    """Markdown of an agent: its blocks of code are fenced anew, so that ours and a viewer's idea of them agree."""
    parts, block, fence, info = list[str](), list[str](), "", ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if not fence and found:
            fence, info = found["fence"], found["info"].strip()
        elif fence and found and found["fence"].startswith(fence) and not found["info"].strip():
            parts.append(_fenced("\n".join(block), _info(info)))
            block, fence = [], ""
        elif fence:
            block.append(line)
        else:
            parts.append(_prose(line))
    if fence:
        parts.append(_fenced("\n".join(block), _info(info)))
    return "\n".join(parts)


def _info(info: str) -> str:
    return re.sub(r"[^\w+.#-]", "", info)
