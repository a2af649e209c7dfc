"""Threads as files to hand on: readable, without secrets, and harmless wherever they are opened."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from armarius.rollouts.reader import read_rollout
from armarius.sessions.export import Exported, as_html, as_markdown, redacted
from armarius.thread import (
    AgentMessage,
    BadLine,
    Command,
    FileChange,
    FileSpot,
    Item,
    ItemStatus,
    Notice,
    Other,
    PathChange,
    Reasoning,
    Thread,
    ToolCall,
    Turn,
    TurnState,
    UserMessage,
)

DATA = Path(__file__).parents[1] / "data" / "rollouts"
SPOT = FileSpot("/r", 0)
KEY = "sk-" + "abcdefghij0123456789ABCD"
EVIL = (
    '<script>alert(1)</script><img src="http://evil.example/x" onerror=a()> ![p](http://evil.example/p.png) '
    "`<b>![z](u)` \\<iframe src=x> \\![q](u) &lt; </pre></details></style></section><style>*{}</style>"
)
FENCED = f"```html\n{EVIL}\n````\n~~~\n{EVIL}\n```\n{EVIL}\n\n    ```\n- ```\n{EVIL}"


def thread_saying(text: str) -> Thread:
    """A thread that has `text` in every place where somebody else's words can stand."""
    items: tuple[Item, ...] = (
        UserMessage("u", text, SPOT),
        AgentMessage("a", text, SPOT),
        Reasoning("r", text, SPOT),
        Command("c", text, SPOT, status=ItemStatus.FAILED, exit_code=2, output=text),
        FileChange("f", (PathChange(text, "update", f"@@ -1 +1 @@\n-{text}\n+{text}\n"),), SPOT),
        ToolCall("t", text, f'{{"a":"{text}"}}', SPOT, text),
        Notice("n", text, SPOT),
        Other("o", text, text.encode(), SPOT),
    )
    turn = Turn("t1", TurnState.FAILED, items, error=text, model=text)
    bad = (BadLine("/r", 1, 0, text),)
    return Thread(
        text,
        "/r",
        turns=(turn,),
        cwd=text,
        git_branch=text,
        originator=text,
        source=text,
        cli_version=text,
        bad_lines=bad,
    )


class Page(HTMLParser):
    """What a browser makes of a page: its tags, their attributes and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.attributes = set[str]()
        self.words = ""
        self.open = list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("text", [EVIL, FENCED, "\n" + EVIL * 3])
def test_a_page_says_what_was_said_and_does_nothing_else(text: str) -> None:
    page = Page(as_html(thread_saying(text), 0))

    assert page.open == []
    assert page.tags == {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "section", "div"),
        *("details", "summary", "code", "pre", "span", "footer"),
    }
    assert page.attributes == {"lang", "charset", "http-equiv", "content", "name", "class", "open"}
    assert page.words.count("<script>alert(1)</script>") >= 14


def test_a_page_forbids_itself_everything_but_its_own_style() -> None:
    text = as_html(read_rollout(DATA / "0.169-tools.jsonl"), 0)

    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href|url)\s*[=(]", text)
    assert 'name="viewport" content="width=device-width' in text
    assert "prefers-color-scheme:dark" in text


HTML_TAG = re.compile(r"(?<!\\)<(?!/?(?:details|summary|code)>)[A-Za-z/!?]")


def outside_of_fences(markdown: str) -> str:
    """What a reader of CommonMark takes for words: lines that are in no fenced block, without code spans."""
    kept, fence, depth = list[str](), "", 0
    for line in markdown.splitlines():
        quote = re.match(r"(?:> ?)*", line)
        assert quote
        inner, marks = line[quote.end() :], quote[0].count(">")
        if fence and marks < depth:  # a block ends with the quotation that it stands in
            fence = ""
        found = re.match(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)$", inner)
        if not fence:
            if found:
                fence, depth = found[1], marks
            else:
                kept.append(re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", line))
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    assert not fence
    return "\n".join(kept)


@pytest.mark.parametrize(
    "text", [EVIL, FENCED, f"`{EVIL}", f"```\n{EVIL}", f"> ~~~~\n> {EVIL}", f"\\{EVIL}", f"~~~ `\n{EVIL}"]
)
def test_markdown_has_no_markup_and_no_picture_of_others(text: str) -> None:
    words = outside_of_fences(as_markdown(thread_saying(text), 0))

    assert HTML_TAG.findall(words) == []
    assert "![" not in words
    assert words.count("<details>") == words.count("</details>") >= 3


def test_markdown_keeps_the_code_of_the_agent_as_it_wrote_it() -> None:
    said = "See `Vec<T>` and `x`:\n\n```rust\nlet v: Vec<T> = f(&x);\n```\n\ndone <soon>"
    turn = Turn("t1", TurnState.COMPLETED, (AgentMessage("a", said, SPOT),))

    assert (
        "See <code>Vec&#60;T&#62;</code> and `x`:\n\n```rust\nlet v: Vec<T> = f(&x);\n```\n\ndone &lt;soon>\n"
        in as_markdown(Thread("t", "/r", turns=(turn,)), 0)
    )


def as_json(thread: Thread, at_us: int) -> str:
    return msgspec.json.encode(Exported(thread, str(at_us))).decode()


@pytest.mark.parametrize("form", [as_html, as_markdown, as_json])
def test_no_form_holds_a_secret(form: Callable[[Thread, int], str]) -> None:
    assert KEY in form(thread_saying(KEY), 0)
    assert KEY not in form(redacted(thread_saying(KEY)), 0)
    assert "[redacted:openai-key]" in form(redacted(thread_saying(KEY)), 0)


def test_bytes_that_were_kept_lose_their_secrets_too() -> None:
    other = redacted(thread_saying(KEY)).turns[0].items[-1]
    assert isinstance(other, Other)
    assert other.raw == b"[redacted:openai-key]"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jsonl")), ids=lambda path: path.stem)
def test_taking_out_secrets_changes_nothing_else(path: Path) -> None:
    thread = read_rollout(path)
    assert redacted(thread) == thread


def test_json_can_be_read_back() -> None:
    thread = read_rollout(DATA / "0.169-tools.jsonl")
    assert msgspec.json.decode(as_json(thread, 7), type=Exported) == Exported(thread, "7")


def test_a_failed_command_and_a_change_stand_out() -> None:
    text = as_html(read_rollout(DATA / "0.169-tools.jsonl"), 0)
    assert '<code>$ echo hello; ls -la; exit 3</code> <span class="note failed">exit 3' in text
    assert '<span class="del">-hi</span><span class="add">+hi2</span>' in text
