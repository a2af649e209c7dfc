"""The night: harvest, mine, replay, reflect, edit, ask the gate, stage, adopt.

Owns the cycle and its parts, from the task file to the staged proposal. Does not own the gate's
statistics, the skill document, or the starting of Codex.
Invariant: who proposes a candidate never sees the held-out tasks that judge it, and nothing here
touches a live skill except adoption.

    harvest.py    which sessions count, and the work in them (episodes.py: what a turn tells)
    mine.py       work that recurs -> tasks (likeness.py: of one kind; evidence.py: their checks; naming.py: an
                  optimizer's; targets.py: for which skill; start.py: from which state; origin.py: where from)
    gather.py     all of that in one go; forecast.py: what a night would do with it
    tasks.py      the task file, and which tasks are held out (located.py: where in it an error is)
    judge.py      the checks on an answer (sections.py: headings in Markdown; wording.py: citations, refusals;
                  checks.py: checks on data, files, commands; outside.py: who applies these; rubric.py: a rating)
    replay.py     one attempt at one task with one skill text (witness.py: was a tool really called)
    bench.py      several runs at a time
    propose.py    training tasks -> a candidate (reflect.py: the prompt and its answer)
    held_out.py   a candidate before the gate
    candidates.py the undecided candidates of a skill (side_by_side.py: before the gate, one after the other)
    night.py      the order of all this, and its report (report.py; course.py: which night this is)
    staging.py    propose, adopt, roll back
    rehearsal.py  what a night would do, without doing it
    records.py    nights, candidates, evidence, proposals in the ledger
"""
