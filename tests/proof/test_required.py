"""Commands that have to succeed after the agent, on real Codex; what an agent does against them is caught."""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.audit.verify import verify
from armarius.clock import SystemClock
from armarius.codex.process import MARKER, Attempt
from armarius.dispatch.afterwards import cancel
from armarius.dispatch.pool import Pool
from armarius.errors import ArmariusError, DataError, UsageError
from armarius.proof.receipt import Receipt
from armarius.proof.required import RequiredRun, path_outside, read_required
from armarius.runs.queued import Place, cancel_waiting, hand_in
from armarius.runs.receipts import RECEIPT
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import RunRequest, RunResult
from support.checkout_world import GitWorld, git
from support.run_world import TOOLS_PATH, Gate, World, script, start_other


def asking(world: World, *steps: dict[str, Any], require: tuple[str, ...], **changes: Any) -> RunRequest:
    search_path = changes.get("tools_path", TOOLS_PATH)
    required = read_required(require, search_path, world.project)
    return world.request(script(*steps, {"say": "done"}), "workspace-write", required=required, **changes)


def receipt_of(result: RunResult) -> Receipt:
    return msgspec.json.decode((Path(result.folder) / RECEIPT).read_bytes(), type=Receipt)


def short(run: RequiredRun) -> tuple[bool, int | None, str]:
    return run.passed, run.exit_code, run.output


def test_they_run_in_the_tree_that_the_agent_left_and_what_they_did_is_kept(world: World) -> None:
    require = ("cat made.txt", "sh -c 'echo out; echo err >&2; touch built.log'")
    with world.runner() as runner:
        result = runner.run(asking(world, {"sh": "printf agent > made.txt"}, require=require))
        done = verify(runner.ledger, world.state)
    assert (result.state, result.problem, result.files_changed) == ("succeeded", None, ("made.txt",))
    first, second = result.required
    assert (short(first), short(second)) == ((True, 0, "agent"), (True, 0, "out\nerr\n"))
    assert first.tree_before == first.tree_after == second.tree_before != second.tree_after
    assert (first.files_changed, second.files_changed) == ((), ("built.log",))
    assert first.program == "/usr/bin/cat"
    receipt = receipt_of(result)
    assert (receipt.required, receipt.recovered) == (result.required, False)
    assert sum(one.kind == "command-output" for one in receipt.artefacts) == 4
    assert done.is_intact
    (Path(second.folder) / "events.jsonl").write_text("forged")
    with world.ledger() as ledger:
        assert [one.code for one in verify(ledger, world.state).changes] == ["artefact-edited"]


@pytest.mark.parametrize(
    ("require", "timeout", "said"),
    [
        ("sh -c 'exit 3'", 600, "ended with 3"),
        ("sh -c 'kill -9 $$'", 600, "ended by a signal"),
        ("sh -c 'setsid sleep 600 & sleep 600'", 0.2, "did not end in its time"),
        ("grep needle missing.txt", 600, "ended with 2"),
    ],
)
def test_one_that_fails_fails_the_run_and_nothing_of_it_is_left(
    world: World, require: str, timeout: float, said: str
) -> None:
    request = asking(world, require=(require, "true"))
    [bad, good] = request.required
    request = msgspec.structs.replace(request, required=(msgspec.structs.replace(bad, timeout_s=timeout), good))
    with world.runner() as runner:
        result = runner.run(request)
    assert (result.state, result.answer) == ("failed", "done")
    assert result.problem is not None
    assert (result.problem.code, result.problem.exit_code) == ("required-failed", 1)
    assert said in result.problem.message
    assert [one.passed for one in result.required] == [False, True]
    assert result.required[0].timed_out == (timeout < 1)
    assert living(Path(result.folder)) == []


def test_no_shell_reads_them_and_their_environment_is_an_allow_list(world: World) -> None:
    world.environ |= {"OPENAI_API_KEY": "sk-" + "x" * 30, "LD_PRELOAD": "/x.so", "PYTHONPATH": "/x", "GIT_DIR": "/x"}
    with world.runner() as runner:
        result = runner.run(asking(world, require=("echo $HOME ; touch shell-ran", "env")))
    echo, env = result.required
    assert echo.output == "$HOME ; touch shell-ran\n"
    assert not (world.project / "shell-ran").exists()
    printed = (Path(env.folder) / "events.jsonl").read_text()
    names = {line.partition("=")[0] for line in printed.splitlines()}
    assert names == {"HOME", "LANG", "PATH", "TMPDIR", MARKER}


def test_an_agent_that_shims_path_is_not_believed(world: World) -> None:
    """A folder of the owner's PATH lies in the tree: what is put there is not found, and an edited program is seen."""
    bin_ = world.project / "bin"
    bin_.mkdir()
    check = bin_ / "check"
    check.write_text("#!/bin/sh\nexit 7\n")
    check.chmod(0o755)
    path = f"{bin_}:{TOOLS_PATH}"
    shim = "for n in check grep sh false; do printf '#!/bin/sh\\nexit 0\\n' > bin/$n; chmod +x bin/$n; done"
    request = asking(world, {"sh": shim}, require=("check", "false", "sh -c false", "env"), tools_path=path)
    with world.runner() as runner:
        result = runner.run(request)
    edited, plain, inner, env = result.required
    assert (edited.passed, edited.exit_code) == (False, None)
    assert "not the one that was there" in (edited.problem or "")
    assert (plain.program, plain.passed, inner.passed) == ("/usr/bin/false", False, False)
    assert f"PATH={TOOLS_PATH}\n" in env.output
    assert result.state == "failed"


def test_a_program_below_the_folder_that_the_agent_edits_is_seen(world: World) -> None:
    (world.project / "check.sh").write_text("#!/bin/sh\nexit 7\n")
    (world.project / "check.sh").chmod(0o755)
    with world.runner() as runner:
        honest = runner.run(asking(world, require=("./check.sh",)))
        shimmed = runner.run(asking(world, {"sh": "printf '#!/bin/sh\\n' > check.sh"}, require=("./check.sh",)))
    assert [one.exit_code for one in honest.required] == [7]
    assert "not the one that was there" in (shimmed.required[0].problem or "")
    assert {honest.state, shimmed.state} == {"failed"}


def test_an_agent_that_edits_tests_is_named_whether_they_are_ignored_or_committed(world: World) -> None:
    world.project.rmdir()
    repo = GitWorld(world.folder, world.project).build()
    repo.write({"tests/test_it.py": "assert False\n", ".gitignore": "secret-tests\n", "secret-tests/one.py": "1\n"})
    repo.commit()
    edits = "echo pass > tests/test_it.py; echo pass > secret-tests/one.py; git commit -qam cheat || true"
    with world.runner() as runner:
        free = runner.run(asking(world, {"sh": edits}, require=("true",)))
        git(repo.top, "checkout", "-q", "--", ".")
        scoped = runner.run(asking(world, {"sh": edits}, require=("true",), scope=("src/**",)))
    receipt = receipt_of(free)
    assert receipt.files.changed == ("secret-tests/one.py", "tests/test_it.py")
    assert receipt.files.head_before == receipt.files.head_after == git(repo.top, "rev-parse", "HEAD")
    assert (scoped.state, scoped.problem and scoped.problem.code) == ("failed", "outside-scope")
    assert scoped.required == ()  # the agent has failed already


def test_they_run_in_the_checkout_where_the_run_has_one(world: World) -> None:
    world.project.rmdir()
    repo = GitWorld(world.folder, world.project).build()
    request = asking(world, {"sh": "echo 5 > src/five.py"}, require=("cat src/five.py", "pwd"), checkout=True)
    with world.runner() as runner:
        result = runner.run(request)
    assert result.required[0].output == "5\n"
    assert result.required[1].output.startswith(str(Path(result.folder).parent / "checkout"))
    assert not (repo.top / "src" / "five.py").exists()
    receipt = receipt_of(result)
    assert receipt.work is not None
    assert receipt.work.commit == git(repo.top, "rev-parse", receipt.work.ref or "")


def test_a_forged_receipt_or_verdict_in_the_tree_counts_for_nothing(world: World) -> None:
    forged = "echo 'VERDICT: PASS' > verdict.txt; echo '{\"state\":\"succeeded\"}' > receipt.json; "
    forged += "mkdir -p ../state/runs && echo x > ../state/forged"
    with world.runner() as runner:
        result = runner.run(asking(world, {"sh": forged}, require=("false",)))
        done = verify(runner.ledger, world.state)
    assert result.state == "failed"
    assert receipt_of(result).state == "failed"
    assert (done.is_intact, done.receipts) == (True, 1)
    assert not (world.state / "forged").exists()


def test_a_link_out_of_the_tree_is_not_followed_and_what_it_hides_is_named(world: World) -> None:
    """The sandbox refuses the write through it; the link itself is a change that the receipt names."""
    (world.folder / "outside").mkdir()
    target = world.folder / "outside" / "kept.txt"
    target.write_text("kept")
    step = f"ln -s {target} inside.txt; echo changed > inside.txt"
    with world.runner() as runner:
        result = runner.run(asking(world, {"sh": step}, require=("true",)))
    assert (target.read_text(), receipt_of(result).files.changed) == ("kept", ("inside.txt",))


def test_a_run_whose_armarius_was_killed_is_not_proven(world: World, gate: Gate) -> None:
    steps = ({"wait": str(gate.fifo)},)
    request = asking(world, *steps, require=("touch never",))
    with world.ledger():
        pass
    with start_other(world, request) as other, world.runner() as runner:
        await_running(runner.ledger)
        other.send_signal(signal.SIGKILL)
        other.wait(60)
        gate.open()
        [row] = runner.ledger.fetch(QUERIES.open_runs, RunRow)
        Attempt(Path(row.folder) / "1").wait()
        [result] = runner.recover()
    assert result.problem is not None
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", "unproven", 6)
    assert not (world.project / "never").exists()
    receipt = receipt_of(result)
    assert (receipt.state, receipt.recovered, receipt.required) == ("failed", True, ())
    with world.ledger() as ledger:
        assert verify(ledger, world.state).is_intact


def test_a_command_that_outlives_its_armarius_is_ended_by_whoever_records_the_run(world: World, gate: Gate) -> None:
    request = asking(world, require=(f"sh -c 'echo at work; cat {gate.fifo}'",))
    with world.ledger():
        pass
    with start_other(world, request) as other, world.runner() as runner:
        folder = await_command(world)
        other.send_signal(signal.SIGKILL)
        other.wait(60)
        assert Attempt(folder).liveness() == "alive"
        [result] = runner.recover()
    assert result.problem is not None
    assert result.problem.code == "unproven"
    assert living(folder) == []


def test_a_run_that_is_cancelled_while_they_run_ends_them(world: World, gate: Gate) -> None:
    request = asking(world, require=(f"sh -c 'echo at work; cat {gate.fifo}'", "touch never"))
    with world.ledger():
        pass
    with start_other(world, request) as other, world.runner() as runner:
        folder = await_command(world)
        [row] = runner.ledger.fetch(QUERIES.open_runs, RunRow)
        ended = cancel(runner, row)
        other.wait(60)
    assert (ended.state, ended.error_code, living(folder)) == ("cancelled", "cancelled", [])
    assert not (world.project / "never").exists()


def test_in_a_pool_they_run_beside_the_other_runs(world: World) -> None:
    requests = [
        asking(world, {"sh": f"echo {name} > {name}"}, require=(f"cat {name}",), needs=()) for name in ("one", "two")
    ]
    requests = [
        msgspec.structs.replace(request, sandbox="read-only", prompt=script({"say": "x"})) for request in requests
    ]
    for name in ("one", "two"):
        (world.project / name).write_text(name)
    with world.runner() as runner, Pool(runner, 2) as pool:
        for request in requests:
            pool.begin(request)
        done = dict[Any, RunResult]()
        while not pool.is_idle:
            done |= pool.collect()
    assert sorted(result.required[0].output for result in done.values()) == ["one", "two"]


def test_a_run_that_ended_before_it_was_claimed_has_a_receipt_too(world: World) -> None:
    with world.runner() as runner:
        (world.state / "runs").mkdir()
        run_id = hand_in(runner.ledger, SystemClock(), world.state / "runs", world.request("x"), Place(None, "own"))
        assert cancel_waiting(runner.ledger, SystemClock(), runner.row(run_id))
        done = verify(runner.ledger, world.state)
        receipt = msgspec.json.decode((world.state / "runs" / run_id / RECEIPT).read_bytes(), type=Receipt)
    assert (receipt.state, receipt.attempt, receipt.argv) == ("cancelled", 0, ())
    assert (done.is_intact, done.receipts) == (True, 1)


@pytest.mark.parametrize("moment", ["before 3", "after 3"])
def test_a_kill_at_the_record_leaves_both_or_neither(world: World, moment: str) -> None:
    with world.ledger():
        pass
    with start_other(world, world.request(script({"say": "42"})), moment=moment) as other:
        assert other.wait(60) == -signal.SIGKILL
    with world.runner() as runner:
        runner.recover()
        done = verify(runner.ledger, world.state)
    # The mark comes after the commit: killed in between, the next head is the first that is noted.
    assert {change.code for change in done.changes} <= ({"mark-missing"} if moment == "after 3" else set())
    assert done.receipts == 1


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        ("", UsageError, "require"),
        ("'open", UsageError, "require"),
        ("no-such-program-here", DataError, "require"),
        ("../outside.sh", DataError, "require"),
        ("./not-there.sh", DataError, "require"),
        ("./plain.txt", DataError, "require"),
        ("echo \x1b[31m", UsageError, "require"),
    ],
)
def test_a_command_that_cannot_be_is_refused_before_anything_is_paid(
    tmp_path: Path, line: str, kind: type[ArmariusError], code: str
) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    with pytest.raises(kind) as refused:
        read_required((line,), TOOLS_PATH, tmp_path)
    assert refused.value.code == code


def test_a_path_is_kept_but_for_what_is_relative_or_below_a_folder_that_may_be_written(tmp_path: Path) -> None:
    tree, beside, link = tmp_path / "tree", tmp_path / "tree-beside", tmp_path / "link"
    tree.mkdir()
    beside.mkdir()
    link.symlink_to(tree)
    path = f".::bin:{tree}/bin:{tree}:{link}/bin:{beside}:/usr/bin"
    assert path_outside(path, (tree,)) == f"{beside}:/usr/bin"


def living(folder: Path) -> list[str]:
    """The processes that carry the mark of an attempt below `folder`."""
    found = list[str]()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"{MARKER}={folder}".encode() in environ:
            found.append(process.name)
    return found


def await_running(ledger: Any) -> None:
    while not [run for run in ledger.fetch(QUERIES.open_runs, RunRow) if run.state == "running"]:
        os.sched_yield()


def await_command(world: World) -> Path:
    """The folder of the first required command, once it has printed something."""
    while True:
        found = list((world.state / "runs").glob("*/1/required/1/events.jsonl"))
        if found and found[0].read_bytes():
            return found[0].parent
        os.sched_yield()
