"""Runs beside each other in one repository, and on one machine: trees of their own, scopes, and what is scarce.

Everything is a real Codex in a real repository; the model is a script that waits at a gate.
"""

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Generator
from typing import Any

import msgspec
import pytest

from armarius.checkout.prepare import run_ref
from armarius.clock import SystemClock
from armarius.dispatch.carrying import carry
from armarius.dispatch.runner import Runner
from armarius.dispatch.works import drop_work, keep_work, merge_work
from armarius.errors import NoAnswer, Refused
from armarius.resources.catalogue import declare
from armarius.runs.queued import Place, hand_in
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import Problem, RunRequest, RunResult
from armarius.settings import CounterSpec
from armarius.sharing.site import NOW, Site
from armarius.store.database import Database
from armarius.store.ledger import events_after, open_ledger
from armarius.store.queries import Query
from support.checkout_world import GitWorld, git
from support.prefork import Forked
from support.run_world import Gate, World, script

Other = Callable[..., Forked]
RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY id")
LEASES = Query("leases", "Every lease.", "SELECT * FROM lease")
TAKE_AWAY = Query("take_away", "Take a lease away from whoever has it.", "DELETE FROM lease")


@pytest.fixture
def repo(world: World) -> GitWorld:
    return repository_in(world)


def repository_in(world: World) -> GitWorld:
    """The world's project is a repository with a commit, and its owner has hooks that would show."""
    world.project.rmdir()
    made = GitWorld(world.folder, world.project).build()
    for name in ("pre-commit", "post-commit", "post-checkout", "post-merge", "reference-transaction", "pre-push"):
        hook = made.top / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {world.folder}/hooks-ran\n")
        hook.chmod(0o755)
    return made


def writing(world: World, *steps: dict[str, Any] | str, **changes: Any) -> RunRequest:
    """A run that may write; a step that is text is a command."""
    played = [{"sh": step} if isinstance(step, str) else step for step in steps]
    return world.request(script(*played, {"say": "done"}), "workspace-write", **changes)


def row_of(ledger: Database, result: RunResult) -> RunRow:
    row = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=result.id)
    assert row is not None
    return row


def refs(repo: GitWorld) -> str:
    return git(repo.top, "for-each-ref", "--format=%(refname)", "refs/armarius")


def story(ledger: Database) -> list[str]:
    """What happened, in the order of commits."""
    return [event.kind for event in events_after(ledger, 0, 1000)]


def site(world: World, **more: Any) -> Site:
    place = world.state / "ledger.sqlite"
    return Site(environ=world.environ, reopen=lambda: open_ledger(place, SystemClock()), **more)


@contextlib.contextmanager
def sited(world: World, **more: Any) -> Generator[Runner]:
    with world.ledger() as ledger:
        yield Runner(ledger, SystemClock(), world.state / "runs", world.binary, world.environ, site=site(world, **more))


# --------------------------------------------------------------------- trees


def test_two_writers_at_once_work_in_trees_of_their_own_and_both_are_merged(
    world: World, repo: GitWorld, gate: Gate
) -> None:
    wait = {"wait": str(gate.fifo)}
    with world.runner() as runner:
        begun = [
            runner.begin(writing(world, wait, f"echo {name} > {name}.txt", checkout=True)) for name in ("one", "two")
        ]
        for _ in begun:
            gate.await_question()
        gate.open()
        first, second = (runner.finish(one, one.attempt.wait()) for one in begun)
        assert [(result.state, result.files_changed) for result in (first, second)] == [
            ("succeeded", ("one.txt",)),
            ("succeeded", ("two.txt",)),
        ]
        assert first.work
        assert second.work
        assert (first.work.ref, first.work.base) == (run_ref(first.id), git(repo.top, "rev-parse", "HEAD"))
        assert not (repo.top / "one.txt").exists()
        ledger = runner.ledger
        merged = [
            merge_work(runner, row_of(ledger, result), into=None, strategy="auto").merged for result in (first, second)
        ]
        assert [one.how for one in merged if one] == ["fast-forward", "merge"]
        assert [(repo.top / f"{name}.txt").read_text() for name in ("one", "two")] == ["one\n", "two\n"]
        assert git(repo.top, "status", "--porcelain") == ""
        with pytest.raises(Refused, match="already") as refused:
            merge_work(runner, row_of(ledger, first), into=None, strategy="auto")
        assert refused.value.code == "merged-already"
        for result in (first, second):
            drop_work(row_of(ledger, result), runner.clock)
    assert refs(repo) == ""
    assert not list(world.state.rglob("tree"))
    assert not (world.folder / "hooks-ran").exists()


def test_a_conflict_a_dirty_tree_and_a_branch_that_moved_on_are_told_and_change_nothing(
    world: World, repo: GitWorld
) -> None:
    with world.runner() as runner:
        result = runner.run(writing(world, "echo mine > a.txt", checkout=True))
        row = row_of(runner.ledger, result)
        repo.write({"a.txt": "edited\n"})
        with pytest.raises(Refused, match=r"a\.txt has changes"):
            merge_work(runner, row, into=None, strategy="ff")
        repo.commit()
        before = repo.state()
        with pytest.raises(Refused, match=r"conflicts in a\.txt") as conflict:
            merge_work(runner, row, into=None, strategy="auto")
        with pytest.raises(Refused, match="moved on") as moved:
            merge_work(runner, row, into=None, strategy="ff")
        assert (conflict.value.exit_code, moved.value.exit_code, repo.state()) == (5, 5, before)
        kept = keep_work(row, runner.clock, branch="mine")
        assert kept.commit == git(repo.top, "rev-parse", "mine") == git(repo.top, "rev-parse", run_ref(row.id))
        with pytest.raises(Refused, match="stands at"):
            keep_work(row, runner.clock, branch="main")


def test_a_tree_that_is_shared_has_one_writer_and_the_next_one_is_told_who(
    world: World, repo: GitWorld, gate: Gate
) -> None:
    with world.runner() as runner:
        first = runner.begin(writing(world, {"wait": str(gate.fifo)}))
        gate.await_question()
        below = writing(world, "true", cwd=str(repo.top / "src"))
        beside = writing(world, "true", add_dirs=(str(repo.top),), cwd=str(world.home), checkout=False)
        for request in (below, beside):
            with pytest.raises(NoAnswer) as busy:
                runner.begin(request)
            assert busy.value.code == "resource-busy"
            assert first.run_id in busy.value.message
        with pytest.raises(NoAnswer, match=first.run_id):  # neither does a merge come in between
            runner.holds.tree_now(repo.top)
        assert len(runner.ledger.fetch(RUNS)) == 1  # nothing of them was claimed
        reader = runner.begin(world.request(script({"say": "read"})))
        assert runner.finish(reader, reader.attempt.wait()).state == "succeeded"
        gate.open()
        assert runner.finish(first, first.attempt.wait()).state == "succeeded"
        assert runner.run(below).state == "succeeded"
        assert runner.ledger.fetch(LEASES) == []


@pytest.mark.usefixtures("repo")
def test_a_tree_is_held_through_the_commands_that_look_at_what_was_left(world: World) -> None:
    told: list[str] = []
    with world.runner() as runner:

        def closing(result: RunResult) -> RunResult:
            told.append((world.project / "b.txt").read_text())
            with pytest.raises(NoAnswer, match=result.id):
                runner.begin(writing(world, "echo other > b.txt"))
            return msgspec.structs.replace(result, state="failed", problem=Problem("required", "a test failed"))

        result = carry(runner, runner.begin(writing(world, "echo mine > b.txt")), closing=closing)
        row = row_of(runner.ledger, result)
        assert (told, row.state, row.error_code) == (["mine\n"], "failed", "required")
        assert runner.ledger.fetch(LEASES) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "meet"),
    [
        (("src/**",), ("src/deep/*.py", "docs"), True),
        (("src/*.py",), ("docs/**",), False),
    ],
)
@pytest.mark.usefixtures("repo")
def test_runs_whose_scopes_overlap_come_one_after_the_other_and_others_side_by_side(
    world: World, gate: Gate, other: Other, *, ours: tuple[str, ...], theirs: tuple[str, ...], meet: bool
) -> None:
    with world.runner() as runner:
        first = runner.begin(writing(world, {"wait": str(gate.fifo)}, checkout=True, scope=ours))
        gate.await_question()
        second = other(writing(world, "true", checkout=True, scope=theirs), waits=True)
        assert second.stdin
        assert second.stdout
        assert second.stdout.readline() == b"ready\n"
        second.stdin.write(b"\n")
        second.stdin.flush()
        if not meet:
            assert second.stdout.readline() == b"succeeded\n"
        gate.open()
        assert runner.finish(first, first.attempt.wait()).state == "succeeded"
        if meet:
            assert second.stdout.readline() == b"succeeded\n"
        told = [kind for kind in story(runner.ledger) if kind in ("lease_acquired", "lease_released")]
    serial = ["lease_acquired", "lease_released"] * 2
    assert (told == serial) is meet
    assert sorted(told) == sorted(serial)


# --------------------------------------------------------------------- scope


@pytest.mark.parametrize("checkout", [True, False])
@pytest.mark.usefixtures("repo")
def test_a_change_outside_the_scope_fails_the_run_and_is_listed(world: World, *, checkout: bool) -> None:
    steps = "echo x > src/new.py; echo x > other.txt; rm a.txt; echo x > made.log"
    with world.runner() as runner:
        bad = runner.run(writing(world, steps, checkout=checkout, scope=("src/**",)))
        assert (bad.state, bad.outside) == ("failed", ("a.txt", "other.txt"))  # made.log is ignored by git
        assert bad.problem
        assert (bad.problem.code, bad.problem.exit_code) == ("outside-scope", 1)
        assert "a.txt, other.txt" in bad.problem.message
        good = runner.run(writing(world, "echo y > src/new.py", checkout=checkout, scope=("src/**",)))
        assert (good.state, good.outside) == ("succeeded", ())
        below = writing(world, "echo z > new.py", cwd=str(world.project / "src"), checkout=checkout, scope=("docs",))
        assert runner.run(below).outside == ("src/new.py",)  # written from the repository's top, wherever it began


# ------------------------------------------------------------- what comes back


def test_ignored_files_and_submodules_stay_behind_and_are_named(world: World, repo: GitWorld) -> None:
    inner = GitWorld(world.folder, world.folder / "inner").build()
    git(repo.top, "submodule", "--quiet", "add", str(inner.top), "lib")
    repo.commit()
    with world.runner() as runner:
        result = runner.run(
            writing(
                world, "cat lib/a.txt && echo x > lib/a.txt; mkdir out; echo x > out/a.log; echo x > b", checkout=True
            )
        )
    assert result.state == "succeeded"
    assert result.failed_commands == 0  # the submodule was there
    assert result.work
    assert [change.path for change in result.work.changes] == ["b"]
    assert [(left.path, left.reason.split(",")[0]) for left in result.work.left_out] == [
        ("lib/a.txt", "in the submodule lib")
    ]
    assert (result.work.ignored, result.work.ignored_count) == (("out/",), 1)


@pytest.mark.parametrize("allowed", [False, True])
def test_git_is_read_only_inside_unless_the_run_may_commit_and_the_work_comes_back_all_the_same(
    each_world: World, *, allowed: bool
) -> None:
    world, repo = each_world, repository_in(each_world)
    commit = "git -c user.name=a -c user.email=a@b commit -q -m theirs"
    hook = "echo '#!/bin/sh' > .git/hooks/post-commit"
    with world.runner() as runner:
        result = runner.run(
            writing(
                world,
                f"echo x > b.txt; git add b.txt && {commit} && echo committed > c.txt; mkdir -p .git/hooks && {hook}",
                checkout=True,
                allow_commit=allowed,
            )
        )
    assert result.state == "succeeded", result.problem
    assert result.work
    expected = ["b.txt", "c.txt"] if allowed else ["b.txt"]
    assert [change.path for change in result.work.changes] == expected
    assert git(repo.top, "log", "-1", "--format=%an", result.work.ref or "") == f"Armarius {result.id}"
    assert git(repo.top, "rev-parse", f"{result.work.ref}^") == result.work.base


def test_what_is_not_committed_is_refused_or_comes_along(world: World, repo: GitWorld) -> None:
    repo.write({"a.txt": "edited\n", "new.txt": "untracked\n"})
    with world.runner() as runner:
        refused = runner.run(writing(world, "true", checkout=True))
        assert (refused.state, refused.problem and refused.problem.code) == ("failed", "dirty")
        assert refused.problem
        assert refused.problem.exit_code == 5
        assert world.server.requests == 0
        result = runner.run(writing(world, "cat a.txt new.txt > both", checkout=True, with_uncommitted=True))
        assert result.work
        assert git(repo.top, "show", f"{result.work.ref}:both") == "edited\nuntracked"
    assert (repo.top / "a.txt").read_text() == "edited\n"


# ------------------------------------------------------------------- crashes


def test_work_is_taken_in_once_when_armarius_is_killed_before_that(
    world: World, repo: GitWorld, gate: Gate, other: Other
) -> None:
    request = writing(world, "echo half > half.txt", {"wait": str(gate.fifo)}, checkout=True, scope=("half.txt",))
    killed = other(request)
    gate.await_question()
    gate.await_question()  # the second request: the command has run
    killed.kill()
    killed.wait()
    with world.ledger() as ledger:
        assert len(ledger.fetch(LEASES)) == 1  # it belongs to the run, which goes on
    gate.open()
    with world.runner() as runner:
        [row] = runner.ledger.fetch(RUNS, RunRow)
        runner.begun(row, 1, row.asked).attempt.wait()
        assert refs(repo) == f"refs/armarius/bases/{row.id}"
        [result] = runner.recover()
        assert runner.recover() == []
        assert result.state == "succeeded"
        assert result.work
        assert [change.path for change in result.work.changes] == ["half.txt"]
        assert runner.ledger.fetch(LEASES) == []
    assert git(repo.top, "log", "--format=%P", run_ref(row.id)).split("\n")[0] == result.work.base


@pytest.mark.parametrize("moment", ["before 2", "after 2", "before 3", "after 3", "before 4"])
def test_a_kill_at_any_commit_of_a_run_with_a_checkout_loses_no_work_and_no_lease(
    world: World, repo: GitWorld, other: Other, moment: str
) -> None:
    killed = other(writing(world, "echo x > b.txt", checkout=True, scope=("b.txt",)), moment=moment)
    assert killed.wait(60) == -signal.SIGKILL
    with world.runner() as runner:
        rows = runner.ledger.fetch(RUNS, RunRow)
        for row in rows:
            runner.begun(row, 1, row.asked).attempt.wait()
        results = runner.recover()
        again = runner.run(writing(world, "echo y > b.txt", checkout=True, scope=("b.txt",)))  # nothing is held
        assert again.state == "succeeded"
        if moment in ("after 3", "before 4", "before 3"):
            [result] = results
            assert (result.state, bool(result.work and result.work.commit)) == ("succeeded", True)
            assert git(repo.top, "show", f"{run_ref(result.id)}:b.txt") == "x"
        assert runner.ledger.fetch(LEASES) == []


def test_a_run_that_was_cancelled_keeps_what_it_had_done(world: World, repo: GitWorld, gate: Gate) -> None:
    with world.runner() as runner:
        begun = runner.begin(writing(world, "echo half > half.txt", {"wait": str(gate.fifo)}, checkout=True))
        gate.await_question()
        gate.await_question()
        begun.attempt.cancel()
        result = runner.finish(begun, begun.attempt.wait())
    assert result.state == "cancelled"
    assert git(repo.top, "show", f"{run_ref(result.id)}:half.txt") == "half"


# -------------------------------------------------------------------- needs


@pytest.fixture
def licence(world: World) -> None:
    """One unit of something, declared for all who share the ledger."""
    with world.ledger() as ledger:
        declare(ledger, "lic", CounterSpec(), {}, now_us=1)


@pytest.mark.usefixtures("licence")
def test_two_runs_that_need_one_unit_never_overlap_and_the_token_reaches_their_commands(
    world: World, repo: GitWorld, other: Other
) -> None:
    requests = [writing(world, "echo $ARMARIUS_LEASE > lease", checkout=True, needs=("lic:1",)) for _ in range(3)]
    started = [other(request) for request in requests]
    for process in started:
        assert process.wait(120) == 0
    with world.ledger() as ledger:
        rows = ledger.fetch(RUNS, RunRow)
        spans = sorted((row.started_at_us or 0, row.ended_at_us or 0) for row in rows)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        assert [row.state for row in rows] == ["succeeded"] * 3
        held = [kind for kind in story(ledger) if kind.startswith("lease_")]
        assert held == ["lease_acquired", "lease_released"] * 3
    tokens = sorted(git(repo.top, "show", f"{run_ref(row.id)}:lease") for row in rows)
    assert tokens == ["lic/1#1", "lic/1#2", "lic/1#3"]


@pytest.mark.usefixtures("licence")
def test_a_run_whose_lease_was_taken_away_is_ended_and_says_so(world: World, gate: Gate) -> None:
    with sited(world, beat_s=0.05) as runner:
        begun = runner.begin(world.request(script({"wait": str(gate.fifo)}, {"say": "late"}), needs=("lic",)))
        gate.await_question()
        runner.ledger.execute(TAKE_AWAY)
        result = runner.finish(begun, begun.attempt.wait())
    assert (result.state, result.problem and result.problem.code) == ("interrupted", "lease-lost")
    assert result.problem
    assert result.problem.exit_code == 6
    assert result.answer is None


@pytest.mark.usefixtures("licence")
def test_a_run_that_is_adopted_keeps_its_lease_and_nobody_gets_it_meanwhile(
    world: World, gate: Gate, other: Other
) -> None:
    request = world.request(script({"wait": str(gate.fifo)}, {"say": "42"}), needs=("lic",), paid_key="unit")
    killed = other(request)
    gate.await_question()
    killed.kill()
    killed.wait()
    with sited(world) as runner:
        with pytest.raises(NoAnswer) as busy:
            runner.obtain(world.request("SCRIPT:[]", needs=("lic",)), NOW)
        assert busy.value.code == "resource-busy"
        begun = runner.begin(request, runner.obtain(request))
        assert [lease["token"] for lease in runner.ledger.fetch(LEASES)] == [1]
        gate.open()
        result = runner.finish(begun, begun.attempt.wait())
        assert (result.state, result.answer, world.server.requests) == ("succeeded", "42", 1)
        assert runner.ledger.fetch(LEASES) == []


@pytest.mark.usefixtures("licence")
def test_what_is_needed_and_not_free_claims_nothing_and_asks_no_model(world: World) -> None:
    with sited(world) as runner:
        held = runner.obtain(world.request("x", needs=("lic",)))
        with pytest.raises(NoAnswer, match="lic is leased to process"):
            runner.begin(world.request(script({"say": "never"}), needs=("lic",)))
        assert runner.ledger.fetch(RUNS) == []
        runner.holds.leases.release(held.leases)
    assert world.server.requests == 0


@pytest.mark.usefixtures("licence")
def test_a_run_of_the_queue_stays_in_line_until_what_it_needs_is_free(world: World) -> None:
    request = world.request(script({"say": "at last"}), needs=("lic",), paid_key="unit")
    with sited(world) as runner:
        ledger, clock = runner.ledger, runner.clock
        run_id = hand_in(ledger, clock, world.state / "runs", request, Place(None, "own"))
        held = runner.holds.obtain(request, NOW)
        with pytest.raises(NoAnswer, match="lic is leased to process"):
            runner.begin_queued(run_id, request)
        assert [row.state for row in ledger.fetch(RUNS, RunRow)] == ["queued"]
        runner.holds.leases.release(held.leases)
        begun = runner.begin_queued(run_id, request)
        assert begun is not None
        assert [lease["run_id"] for lease in ledger.fetch(LEASES)] == [run_id]
        assert runner.finish(begun, begun.attempt.wait()).answer == "at last"
        assert ledger.fetch(LEASES) == []


# ------------------------------------------------------------ others' sessions


@pytest.fixture
def stranger(world: World, repo: GitWorld, gate: Gate) -> Generator["subprocess.Popen[bytes]"]:
    """Somebody's own Codex at work in the repository, which waits at the gate."""
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "PATH": os.environ["PATH"]}
    words = ["exec", "--skip-git-repo-check", "-C", str(repo.top), script({"wait": str(gate.fifo)}, {"say": "theirs"})]
    with subprocess.Popen(
        [world.binary.path, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        gate.await_question()
        yield process
        process.kill()


def test_a_live_session_of_somebody_holds_its_repository_and_is_named_and_a_checkout_is_the_way_out(
    world: World, stranger: "subprocess.Popen[bytes]", gate: Gate
) -> None:
    with sited(world, homes=(world.codex_home,)) as runner:
        request = writing(world, "echo x > b.txt")
        with pytest.raises(NoAnswer, match=f"process {stranger.pid}") as busy:
            runner.begin(request)
        assert "codex" in busy.value.message
        beside = runner.run(msgspec.structs.replace(request, checkout=True))
        assert beside.state == "succeeded"
        with pytest.raises(NoAnswer, match="session") as busy:
            merge_work(runner, row_of(runner.ledger, beside), into=None, strategy="auto")
        assert "--wait" not in busy.value.hint, "a merge has no such flag"
        gate.open()
        stranger.wait(60)
        assert runner.run(request).state == "succeeded"
        assert len(runner.ledger.fetch(RUNS)) == 2


@pytest.mark.usefixtures("repo")
def test_our_own_runs_that_only_read_are_no_strangers_to_a_writer(world: World, gate: Gate) -> None:
    with sited(world, homes=(world.codex_home,)) as runner:
        reader = runner.begin(world.request(script({"wait": str(gate.fifo)}, {"say": "read"})))
        gate.await_question()
        assert runner.run(writing(world, "echo x > b.txt")).state == "succeeded"
        gate.open()
        assert runner.finish(reader, reader.attempt.wait()).state == "succeeded"
