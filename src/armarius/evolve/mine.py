"""Work that recurs becomes tasks.

Owns which requests are of one kind, which of them recur over sessions, their rank, and what stands in the way
of a task: no check, a start that nobody can make again, a program that is missing. Does not own reading
sessions (`harvest`), the drafting of checks (`evidence`), nor what a target is about (`targets`).
Invariant: pure but for the questions in `Machine`. The same sessions give the same tasks under the same ids, in
whatever order they are read. Nothing is invented: a text is a request that somebody made, a check has its
evidence, and what has none is asked for.

Naming and further checks by an optimizer are a step that may be put in between: `Improve`.
"""

import itertools
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from armarius.evolve.checks import CommandPasses
from armarius.evolve.episodes import Episode
from armarius.evolve.evidence import Drafted, draft_checks
from armarius.evolve.judge import Judge
from armarius.evolve.likeness import kinds_of, near_groups
from armarius.evolve.origin import Draft, Origin, Start
from armarius.evolve.tasks import Task, fold_task
from armarius.identity import hash_bytes

__all__ = ["Group", "Improve", "Improved", "Machine", "Mined", "mine"]

_LEAST_SESSIONS = 2
_LEAST_LETTERS = 12
_LEAST_WORDS = 2
_MOST_SESSIONS_SHOWN = 50
_OVERSAMPLED = 3
_LONGEST_LINE = 1_900


class Machine(Protocol):
    """What mining asks of this machine; nothing is changed by it."""

    def start_of(self, folder: str, commit: str) -> Start | None:
        """The commit of the repository in which `folder` lies, begun in that folder; None when it is not there."""
        ...

    def lacks(self, start: Start, programs: Collection[str]) -> str | None:
        """What the work needs and no commit holds; None when the files of the commit are all it needs."""
        ...

    def has_program(self, name: str) -> bool:
        """Whether a program of this name can be started."""
        ...


class Group(msgspec.Struct, frozen=True):
    """Requests of one kind, those of a person in at least two sessions.

    `instances` are the different things that were asked for, each with all episodes in which it was, the first
    one first; `first` is the one that stands for the kind.
    """

    instances: tuple[tuple[Episode, ...], ...]
    episodes: tuple[Episode, ...]
    weight: float
    relevance: float = 0.0

    @property
    def first(self) -> Episode:
        return self.instances[0][0]

    @property
    def sessions(self) -> tuple[str, ...]:
        return tuple(sorted({one.thread_id for one in self.episodes}))

    @property
    def wrong(self) -> int:
        return sum(one.went_wrong for one in self.episodes)


class Improved(NamedTuple):
    """What an optimizer adds to a kind of work."""

    name: str
    checks: list[Drafted]


Improve = Callable[[Sequence[Group]], dict[str, Improved]]
"""(groups) -> what is added, by the turn id of a group's first episode: the seam for an optimizer."""


class Mined(msgspec.Struct, frozen=True):
    """What was found, the most worth first.

    `once` are requests that no other session repeats, `small` those that are no work by themselves ("yes",
    "go on"), `unrelated` the groups that have nothing to do with the target, `spilt` those over the number asked for.
    """

    tasks: tuple[Task, ...]
    drafts: tuple[Draft, ...]
    groups: int
    once: int
    small: int
    unrelated: int
    spilt: int
    notes: tuple[str, ...] = ()


def mine(
    episodes: Sequence[Episode],
    machine: Machine,
    *,
    most_tasks: int,
    relevance: Callable[[str], float] | None = None,
    improve: Improve | None = None,
) -> Mined:
    """The recurring work in these episodes; `relevance` says from 0 to 1 how much a text has to do with the target."""
    work = [one for one in episodes if _is_work(one)]
    groups, once = _groups(work)
    related, notes = _related(groups, relevance)
    looked_at = sorted(related, key=_rank)[: most_tasks * (_OVERSAMPLED if relevance else 1)]
    further = improve(looked_at) if improve else {}
    of_groups = [_tasks_of(group, further.get(group.first.turn_id, Improved("", [])), machine) for group in looked_at]
    drafts = [found for found in of_groups if isinstance(found, Draft)]
    # One of each kind in turn, so that no kind takes the place of the others.
    in_turn = itertools.zip_longest(*(found for found in of_groups if not isinstance(found, Draft)))
    tasks = list({task.task_id: task for row in in_turn for task in row if task is not None}.values())
    return Mined(
        tasks=tuple(tasks[:most_tasks]),
        drafts=tuple(drafts[:most_tasks]),
        groups=len(groups),
        once=once,
        small=len(episodes) - len(work),
        unrelated=len(groups) - len(related),
        spilt=len(related) - len(looked_at) + max(0, len(tasks) - most_tasks) + max(0, len(drafts) - most_tasks),
        notes=tuple(notes),
    )


def _is_work(episode: Episode) -> bool:
    """Whether a request can be repeated by itself: it says enough, and sets nothing right that came before."""
    words = fold_task(episode.prompt)
    letters = sum(character.isalpha() for character in words)
    if episode.sets_right:
        return False
    return letters >= (_LEAST_LETTERS if words.isascii() else _LEAST_LETTERS // 3) and (
        len(words.split()) >= _LEAST_WORDS or not words.isascii()
    )


def _groups(work: Sequence[Episode]) -> tuple[list[Group], int]:
    """The groups that recur, and how many requests are in none."""
    ordered = sorted(work, key=lambda one: (one.prompt, one.thread_id, one.turn_id))
    kinds = dict[int, list[Episode]]()
    for one, kind in zip(ordered, kinds_of([one.prompt for one in ordered]), strict=True):
        kinds.setdefault(kind, []).append(one)
    found, once = list[Group](), 0
    for members in kinds.values():
        in_time = sorted(members, key=_when)
        group = Group(_instances(in_time), tuple(in_time), _weight(in_time))
        if len(group.sessions) < _LEAST_SESSIONS:
            once += len(members)
        else:
            found.append(group)
    return found, once


def _instances(in_time: Sequence[Episode]) -> tuple[tuple[Episode, ...], ...]:
    """The different requests; those that stand by themselves first, if there are any, and then no others."""
    alone = [one for one in in_time if one.number == 1 and not _points_back(one.prompt)] or in_time
    found = dict[int, list[Episode]]()
    for one, number in zip(alone, near_groups([one.prompt for one in alone]), strict=True):
        found.setdefault(number, []).append(one)
    return tuple(map(tuple, found.values()))


def _when(one: Episode) -> tuple[int, str, int]:
    return one.at_us or 0, one.thread_id, one.number


def _weight(episodes: Sequence[Episode]) -> float:
    """How often, times how badly, times at what cost.

    Half a failure is added, for work that has gone well so far; cost is what a turn takes in the mean, in tokens,
    at least a thousand where nobody counted them.
    """
    sessions = len({one.thread_id for one in episodes})
    failure = (sum(one.went_wrong for one in episodes) + 0.5) / (len(episodes) + 1)
    cost = max(1_000.0, sum(one.tokens for one in episodes) / len(episodes))
    return round(sessions * failure * cost, 3)


def _related(groups: list[Group], relevance: Callable[[str], float] | None) -> tuple[list[Group], list[str]]:
    if relevance is None:
        return groups, []
    rated = [
        msgspec.structs.replace(group, relevance=relevance(" ".join(one.prompt for one in group.episodes[:20])))
        for group in groups
    ]
    related = [group for group in rated if group.relevance > 0]
    if groups and not related:
        return rated, ["no recurring work has anything to do with the target; all of it is taken"]
    return related, []


def _rank(group: Group) -> tuple[float, str]:
    return -group.weight * (1 + 4 * group.relevance), group.first.turn_id


# From a group to a task.

_BACK = re.compile(
    r"(?i)\W*(?:now|then|also|and|next|again|continue|go on|same|instead|ok(?:ay)?|yes|great|thanks)\b"
    r"|.{0,60}\b(?:the above|as before|same (?:thing )?as|like (?:last time|before)"
    r"|(?:your|the) last (?:answer|change))\b"
)


def _points_back(prompt: str) -> bool:
    return _BACK.match(prompt) is not None


def _tasks_of(group: Group, improved: Improved, machine: Machine) -> list[Task] | Draft:
    """A task for each different request of a kind, or what a person has to say before there can be one."""
    first = group.first
    found = [*draft_checks(group.episodes), *improved.checks]
    drafted = list({repr(check): (check, why) for check, why in reversed(found)}.values())[::-1]
    if first.number > 1 or _points_back(first.prompt):
        asks = "a text that stands by itself: each of these requests goes on from an earlier one"
        return Draft(first.prompt, asks, _origin(group, group.episodes, (), improved.name))
    if not drafted:
        asks = "a check: nothing in the sessions tells a good answer from a bad one"
        return Draft(first.prompt, asks, _origin(group, group.episodes, (), improved.name))
    judge = Judge("rule", tuple(check for check, _ in drafted))
    if judge.shape_only:
        asks = f"a check of what is said: only the form is known ({', '.join(check.op for check in judge.checks)})"
        return Draft(first.prompt, asks, _origin(group, group.episodes, drafted, improved.name))
    return [_task(same, judge, _origin(group, same, drafted, improved.name), machine) for same in group.instances]


def _task(same: tuple[Episode, ...], judge: Judge, origin: Origin, machine: Machine) -> Task:
    start, reason = _start(same[0], judge, machine)
    return Task(
        task_id=_name(same[0]),
        task=same[0].prompt,
        judge=judge,
        start=start,
        uncertifiable=reason,
        origin=origin,
    )


def _name(one: Episode) -> str:
    return "task_" + hash_bytes(fold_task(one.prompt).encode())[7:19]


def _origin(group: Group, same: Sequence[Episode], drafted: Sequence[Drafted], name: str) -> Origin:
    return Origin(
        name=name,
        sessions=tuple(dict.fromkeys(one.thread_id for one in same))[:_MOST_SESSIONS_SHOWN],
        kind=_name(group.first),
        turns=len(group.episodes),
        wrong=group.wrong,
        tokens=round(sum(one.tokens for one in group.episodes) / len(group.episodes)),
        weight=group.weight,
        skills=_skills(group.episodes),
        evidence=tuple(f"{check.op}: {why}"[:_LONGEST_LINE] for check, why in drafted),
    )


def _skills(episodes: Sequence[Episode]) -> tuple[str, ...]:
    counted = Counter(skill.name for one in episodes for skill in one.skills)
    return tuple(name for name, _ in counted.most_common(5))


_PATHS = re.compile(
    r"(?<![\w/])(?:\.{0,2}/)?(?:[\w.-]+/)+[\w.-]+\.\w{1,5}\b"
    r"|(?<![\w/.])[\w-]+\.(?:py|ts|js|go|rs|java|md|toml|json|ya?ml|c|h|cpp|rb|sh|sql|txt|csv)\b"
)


def _start(first: Episode, judge: Judge, machine: Machine) -> tuple[Start | None, str | None]:
    """From which state the work begins, and why it cannot be begun again (None when it can)."""
    needs_files = bool(first.changed or first.commands or _PATHS.search(first.prompt) or judge.looks_outside)
    programs = _programs(judge)
    missing = sorted(name for name in programs if not _is_inside(name) and not machine.has_program(name))
    if missing:
        return None, f"its checks need {', '.join(missing)}, which this machine does not have"
    if not needs_files:
        return None, None
    if first.dirty:
        return None, "it begins with files that the session had changed before, and nobody has them any more"
    if first.git_commit is None or first.cwd is None:
        return None, "it works on files, and no commit was recorded from which they could be had again"
    start = machine.start_of(first.cwd, first.git_commit)
    if start is None:
        return None, f"it works on files of commit {first.git_commit[:12]}, which is not on this machine any more"
    lacks = machine.lacks(start, programs)
    return (start, None) if lacks is None else (None, f"it needs {lacks}")


_SHELL_WORDS = frozenset({"cd", "export", "set", "test", "true", "false", "source", ".", "eval", "exec", "time", "env"})


def _programs(judge: Judge) -> set[str]:
    """The programs that the commands of a judge begin with, as far as that can be told."""
    found = set[str]()
    for check in judge.checks:
        if not isinstance(check, CommandPasses):
            continue
        argv = check.arg.argv
        script = argv[-1] if argv[:2] == ("/bin/sh", "-c") else shlex.join(argv)
        for part in re.split(r"&&|\|\||[;|\n]", script):
            words = [word for word in part.split() if not re.fullmatch(r"\w+=\S*", word)]
            if words and words[0] not in _SHELL_WORDS and re.fullmatch(r"[\w.+/-]+", words[0]):
                found.add(words[0])
    return found


def _is_inside(program: str) -> bool:
    """Whether a program is named by its place in the folder of the work, and not by its name or a place on disk."""
    return "/" in program and not program.startswith("/")
