"""A hundred runs of real Codex, and workers that are killed -9 at chosen moments: fifty on each database."""

from support.queue_world import QueueWorld

RUNS, KILLS = 50, 8


def test_nothing_is_lost_repeated_or_doubled_when_workers_are_killed_at_random(queue: QueueWorld) -> None:
    runs = queue.hand_in(RUNS)
    with queue.ledger() as ledger:
        assert queue.kill_at_random(ledger, seed=4, kills=KILLS) == KILLS
    queue.check_all_done_once(runs)
