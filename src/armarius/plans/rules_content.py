"""Rules on what a plan says: paths, steps, acceptance, recovery, interfaces, and that it stands alone.

Owns P13 to P19 and P21. Does not own the table of rules, nor what lies on the disk.
Invariant: nothing is inferred from silence but that something is missing. Whether a plan says it well is for its
readers; whether it says it at all is seen here, by words and forms that a writer can find in each message.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import re2

from armarius.plans.document import Kind, Line, Plan, Section
from armarius.plans.rules import Finding, Surroundings, finding
from armarius.plans.rules_form import without_code

__all__ = ["CHECKS"]


def _words(pattern: str) -> Any:
    """Words to look for, however they are written; linear in the text, and twenty times faster than `re`."""
    return re2.compile(f"(?i){pattern}")  # pyright: ignore[reportUnknownMemberType]


_SPAN = re.compile(r"`([^`\n]{1,300})`")
_LINK = re.compile(r"\]\(([^()\s]{1,300})\)")
_PATH = re.compile(r"(?:\./)?[\w.@+~-]*(?:/[\w.@+~-]+)*/?")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9_]{0,9}$")
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|ai|test|example|local)$")
_FILES: Final = re.compile(
    r"c|cc|cfg|conf|cpp|cs|css|csv|dart|exs?|go|gradle|h|hpp|html|ini|ipynb|java|jsx?|json|kt|lock|lua|md|mk|mjs|php|pl"
    r"|proto|ps1|pyi?|rb|rs|rst|scala|scss|sh|sql|svelte|swift|tf|toml|tsx?|txt|vue|xml|ya?ml|zig"
)
"""What a file that is named without its folder ends in; anything else may be an attribute."""

_ABSOLUTE = re.compile(r"(?:/|~/|[A-Za-z]:[\\/]|file:)")
_ABSOLUTE_PLACES: Final = ("/etc/", "/home/", "/root/", "/tmp/", "/usr/", "/var/", "/Users/", "/opt/", "/mnt/")  # noqa: S108  # words to find
_NEW = _words(r"\b(?:new|creat\w*|add\w*|introduc\w*|will (?:be|hold|contain|live)|generat\w*|writ\w+)\b")

_EXPECTS = _words(
    r"\b(?:expect\w*|print\w*|outputs?|show\w*|see|sees|seen|return\w*|report\w*|observ\w*|fails?|pass(?:es"
    r"|ed)?|respond\w*"
    r"|display\w*|appear\w*|answers?|succe\w+|exit code|status)\b",
)
_WHERE = _words(
    r"\b(?:working directory|working folder|current (?:directory|folder)|cwd|repo(?:sitory)?(?:.s)? root"
    r"|project(?:.s)? root"
    r"|root (?:directory|folder)|root of (?:the|this) \w+|top of (?:the|this) \w+|from the root|checkout)\b"
    r"|\b(?:in|from|within|inside|under) (?:the )?(?:directory |folder )?`[^`\n]{1,200}`|\bcd +\S",
)
_BUILDS = _words(r"\b(?:compil\w+|builds?|added|exists?|type-?checks?)\b")
_TESTS = _words(r"\b(?:tests?|pytest|unittest|jest|cargo test|go test)\b")
_COUNT = _words(
    r"\b\d[\d,]* (?:\w+ )?(?:pass\w*|tests?|ok|succe\w+|fail\w*)|\ball \w+ tests? pass|\bpass(?:ed|es"
    r"|ing)?:? +\d|\bOK \(\d",
)
_REPEAT = _words(
    r"\b(?:repeat\w*|again|re-?run\w*|idempoten\w*|twice|more than once|any number of times|many times"
    r"|safe(?:ly)?|retr\w+"
    r"|start over|resum\w+)\b",
)
_BACK = _words(
    r"\b(?:roll\w* ?back|restor\w+|back-?ups?|backed up|back up|revert\w*|undo\w*|recover\w*|git (?:checkout"
    r"|restore|stash"
    r"|reset|switch)|retr\w+|reset\w*|discard\w*)\b",
)
_RISK = _words(
    r"\brm -\w*[rf]|\bdrop (?:table|database|index|column)|\bdelete from\b|\btruncate\b|git reset --hard"
    r"|git clean -\w*[fdx]"
    r"|push (?:\S+ )*(?:--force|-f)\b|\bmigrat\w+|\bdd if=|\bmkfs",
)
_NAME = re.compile(r"`[^`\n]*[\w)][^`\n]*`")
_ELSEWHERE = _words(
    r"\bas (?:defined|described|discussed|explained|mentioned|noted|outlined|specified) (?:previously|earlier"
    r"|before|elsewhere"
    r"|in the (?:previous|prior|earlier|other))|\b(?:according to|see|per|in) the (?:architecture|design"
    r"|spec(?:ification)?)"
    r" doc\w*|\b(?:the )?(?:previous|prior|earlier) (?:plan|conversation|chat|discussion)\b"
    r"|\bsee (?:the )?(?:wiki|ticket|confluence"
    r"|slack|chat)\b|\bas (?:we|you) (?:know|discussed|agreed)\b",
)
_URL = re.compile(r"\bhttps?://([^\s)>\]`\"']{1,300})", re.IGNORECASE)
_LOCAL = re.compile(
    r"(?:localhost|127\.|0\.0\.0\.0|\[::1\]|(?:[\w-]+\.)*example\.(?:com|org|net)|[\w-]+\.(?:test|local)\b)",
    re.IGNORECASE,
)
_ACRONYM = re.compile(r"(?<![\w.-])[A-Z]{3,6}s?(?![\w-])")
_KNOWN: Final = re.compile(
    r"API|ASCII|CLI|CPU|CSS|CSV|DNS|GPU|HTML|HTTPS?|IDE|JSONL?|JSX|LICENSE|NOT|NULL|OSS|PDF|PNG|RAM|README|REST|SDK|SQL"
    r"|SSD|SSH|SVG|TOML|TSX|TTY|UI|URI|URL|USB|UTC|UTF|UUID|XML|YAML|ZIP|AND|THE|FOR|ALL|NEW|PASS|FAIL|TRUE|FALSE"
    r"|AGENTS|PLANS|GET|POST|PUT|PATCH|DELETE|HEAD|MIT"
)
"""What every reader of a repository knows, and words that are only written large."""

_MOST_TERMS: Final = 5
_PROOF = _words(r"\b(?:run\w*|verif\w+|accept\w*|test\w*|expect\w*|observ\w*|prov\w+|demonstrat\w+|shows?|see)\b")
_TRIAL = _words(r"\b(?:prototyp\w*|spike|proof of concept|toy implementation)\b")
_JUDGED = _words(r"\b(?:promot\w+|discard\w*|abandon\w*|keep it|kept if|throw\w* away|drop it|criteri\w+)\b")
_ASKS = _words(
    r"\b(?:shall|should|may|can) (?:I|we) (?:proceed|continue|go on|go ahead|start|implement)\b"
    r"|\b(?:do you want|would you like|let me know|please (?:confirm|advise|approve|choose|let me))\b"
    r"|\bwhat (?:should|would|shall) (?:I|we|you) \w+ next\b|\bnext steps\?"
    r"|\b(?:wait\w*|ask\w*) (?:for )?(?:the )?(?:user|human|maintainer|your)\b",
)


def paths(plan: Plan, around: Surroundings) -> Iterator[Finding]:
    """P13."""
    seen = set[str]()
    pointers = plan.section("resume pointers")
    elsewhere = {line.number for line in pointers.lines} if pointers else set[int]()  # rollouts lie in CODEX_HOME
    for line in plan.prose:
        if line.number in elsewhere or ("`" not in line.text and "](" not in line.text):
            continue
        for text in [*_SPAN.findall(line.text), *_LINK.findall(line.text)]:
            if text not in seen:
                seen.add(text)
                yield from _of_path(text, line, plan, around)
    work = plan.section("plan of work")
    if work is not None and not work.is_empty and not _NAME.search(work.said):
        fix = "name the file, and the function or module in it, in backticks"
        yield finding("P13", work.line, "the plan of work names no file, function or module", fix)


def _of_path(text: str, line: Line, plan: Plan, around: Surroundings) -> Iterator[Finding]:
    fix = "write the path from the root of the repository"
    if text.startswith(_ABSOLUTE_PLACES) or (_ABSOLUTE.match(text) and "/" in text and not text.startswith("/")):
        if " " not in text:
            yield finding("P13", line.number, f"{text[:80]!r} is not a path of the repository", fix)
        return
    path = text.partition("#")[0].split(":")[0]
    if not _PATH.fullmatch(path) or not path.strip("./"):
        return
    parts = path.removeprefix("./").split("/")
    if ".." in parts:
        yield finding("P13", line.number, f"{text[:80]!r} leads out of its folder", fix)
        return
    if "~" in path or path.startswith("/") or not _is_path(path, parts, around):
        return
    found = around.place("/".join(parts))
    if found == "outside":
        yield finding("P13", line.number, f"{text[:80]!r} is a link out of the repository", "name what is in it")
    elif found != "there" and not _is_declared(path, plan):
        fix = "correct it, or say that it is new"
        if found == "no-folder" and len(parts) > 1:
            said = f"{text[:80]!r} lies in a folder that does not exist"
            yield finding("P13", line.number, said, fix, "error")
        else:
            yield finding("P13", line.number, f"{text[:80]!r} does not exist, or is no full path", fix)


def _is_path(path: str, parts: list[str], around: Surroundings) -> bool:
    """Whether it is a path at all: `a/b` may be a pair of words, a branch or a media type."""
    suffix = _SUFFIX.search(parts[-1])
    if len(parts) == 1:
        return (
            suffix is not None and _FILES.fullmatch(suffix[0][1:].lower()) is not None and not parts[0].startswith(".")
        )
    if around.place(parts[0]) == "there":
        return True
    if _HOST.search(parts[0]):
        return False
    return suffix is not None or path.endswith("/")


def _is_declared(path: str, plan: Plan) -> bool:
    """Whether some line that names it says that it is to come."""
    return any(path in line.text and _NEW.search(line.text) for line in plan.prose)


def steps(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P14."""
    section = plan.section("concrete steps")
    if section is None:
        return
    if section.is_empty:
        fix = "say in which folder to run which commands, and show what they print"
        yield finding("P14", section.line, "there are no concrete steps", fix)
        return
    code = [line.text.strip() for line in section.lines if line.kind is Kind.CODE and line.text.strip()]
    if not code:
        fix = "write each command as a line indented by four spaces"
        yield finding("P14", section.line, "no exact command", fix)
    if not _WHERE.search(section.said):
        fix = "say where to run them, e.g. `In the root of the repository:`"
        yield finding("P14", section.line, "no working directory", fix)
    typed = [text for text in code if text.startswith(("$ ", "> "))]
    if not ((typed and len(typed) < len(code)) or _EXPECTS.search(section.prose)):
        fix = "show a few lines of what the command prints, indented, or say what to expect"
        yield finding("P14", section.line, "no expected output", fix)


def acceptance(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P15."""
    section = plan.section("validation and acceptance")
    if section is None:
        return
    if section.is_empty:
        fix = "say what to start, what to put in, and what somebody then sees"
        yield finding("P15", section.line, "nothing says when the work is done", fix)
        return
    if not (_SPAN.search(section.prose) or _URL.search(section.prose) or _has_code(section)):
        fix = "name the command, the test or the page, in backticks or as an indented line"
        yield finding("P15", section.line, "nothing to exercise: no command, test or page", fix)
    if not _EXPECTS.search(section.said):
        said = "only that it is built" if _BUILDS.search(section.said) else "nothing that can be observed"
        yield finding("P15", section.line, said, "say what somebody sees when it works, with input and output")
    elif _TESTS.search(section.said) and not _COUNT.search(section.said):
        fix = "say how many pass, and which fails before and passes after"
        yield finding("P15", section.line, "tests without an expected count", fix, "warning")


def recovery(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P16."""
    section = plan.section("idempotence and recovery")
    if section is None:
        return
    if section.is_empty or not (_REPEAT.search(section.said) or _BACK.search(section.said)):
        fix = "say which steps can be repeated, and how to go back from the others"
        yield finding("P16", section.line, "nothing says whether the steps can be repeated", fix)
        return
    risky = _risk(plan.section("concrete steps")) or _risk(plan.section("plan of work"))
    if risky and not _BACK.search(section.said):
        fix = "say what to back up, and how to restore it"
        yield finding("P16", section.line, f"no way back from {risky!r}", fix)


def _risk(section: Section | None) -> str:
    found = _RISK.search(section.said) if section else None
    return found[0] if found else ""


def _has_code(section: Section) -> bool:
    return any(line.kind is Kind.CODE for line in section.lines)


def interfaces(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P17."""
    section = plan.section("interfaces and dependencies")
    if section is not None and not _NAME.search(section.prose) and not _has_code(section):
        fix = "name libraries, modules, types and signatures in full, e.g. `package.module.function`"
        yield finding("P17", section.line, "no name of a library, module, type or function", fix)


def self_contained(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P18."""
    prose = "\n".join([line.text for line in plan.prose])
    if _ELSEWHERE.search(prose):
        for line in plan.prose:
            elsewhere = _ELSEWHERE.search(without_code(line.text))
            if elsewhere:
                fix = "write it here, in your words"
                yield finding("P18", line.number, f"{elsewhere[0]!r} is not in this file", fix)
    if "://" in prose:
        for line in plan.prose:
            yield from _pages(line)
    plain = without_code(prose)
    terms = dict.fromkeys(term.rstrip("s") for term in _ACRONYM.findall(plain))
    unknown = [term for term in terms if not _KNOWN.fullmatch(term) and not _is_explained(term, prose)]
    for term in unknown[:_MOST_TERMS]:
        number = next(line.number for line in plan.prose if term in line.text)
        yield finding("P18", number, f"{term} is not explained", f"say what it stands for: `{term} (…)`")


def _pages(line: Line) -> Iterator[Finding]:
    for found in _URL.finditer(without_code(line.text)):
        if not _LOCAL.match(found[1]):
            said, fix = f"{found[0][:80]!r} has to be read elsewhere", "write here what is needed of it"
            yield finding("P18", line.number, said, fix)
            return


def _is_explained(term: str, prose: str) -> bool:
    explained = rf"\({term}s?\)|\b{term}s?\b`? (?:\(|is\b|are\b|means|stands)|\b{term}s?, (?:a|an|the)\b"
    return re.search(explained, prose) is not None


def milestones(plan: Plan, _: Surroundings) -> Iterator[Finding]:
    """P19."""
    for section in plan.sections:
        if section.level == 1 or not re.match(
            r"(?:prototyping )?milestone\b|.*\bmilestone \d", section.title[:80], re.IGNORECASE
        ):
            continue
        if section.key == "milestones":
            continue
        told = [line for line in section.lines if line.kind is Kind.TEXT]
        if not told:
            fix = "say in a paragraph: goal, work, result, proof"
            yield finding("P19", section.line, f"{section.title[:60]!r} tells nothing", fix)
        elif not _PROOF.search(section.said):
            fix = "say what to run, and what is then seen"
            yield finding("P19", section.line, f"{section.title[:60]!r} cannot be checked alone", fix)
        if _TRIAL.search(section.title + "\n" + section.prose) and not _JUDGED.search(section.said):
            fix = "say by which criteria it is promoted or discarded"
            yield finding("P19", section.line, f"{section.title[:60]!r} is a prototype without an end", fix)


def autonomy(plan: Plan, around: Surroundings) -> Iterator[Finding]:
    """P21: what PLANS.md says of commits holds for the plans that follow it."""
    if _ASKS.search("\n".join([line.text for line in plan.prose])):
        for line in plan.prose:
            asks = _ASKS.search(without_code(line.text))
            if asks:
                yield finding("P21", line.number, f"{asks[0]!r} asks somebody", "decide it here, and log the decision")
    if around.plans_file is None and not any("commit" in line.text.lower() for line in plan.lines if line.is_said):
        yield finding("P21", 1, "nothing says when to commit", "say it, e.g. `Commit after each step of Progress.`")


CHECKS = (paths, steps, acceptance, recovery, interfaces, self_contained, milestones, autonomy)
