"""`armarius gate plan`."""

import click
import msgspec

from armarius.cli.numbers import Within
from armarius.cli.output import print_json, print_table, say
from armarius.gate.decision import DEFAULT
from armarius.gate.power import FLIPS, MOST_TASKS, Plan, plan_for

_USUAL = (5, 10, 20, 50)


class GatePlan(msgspec.Struct, frozen=True):
    """What numbers of held-out tasks can show (`armarius.gate_plan.v1`)."""

    plans: tuple[Plan, ...]
    schema: str = "armarius.gate_plan.v1"


@click.command()
@click.option(
    "--tasks",
    type=click.IntRange(0, MOST_TASKS),
    multiple=True,
    help="So many held-out tasks; may be repeated.  [default: 5, 10, 20, 50]",
)
@click.option(
    "--flips",
    type=Within(0, 1),
    default=FLIPS,
    show_default=True,
    help="How often two replays of a task with the same skill end differently.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, tasks: tuple[int, ...], flips: float, as_json: bool) -> int:
    """Say what a number of held-out tasks can detect, and what it costs."""
    plans = tuple(plan_for(count, flips) for count in tasks or _USUAL)
    if as_json:
        print_json(GatePlan(plans))
        return 0
    gains = sorted({chance.gain for plan in plans for chance in plan.chances})
    head = ("TASKS", "CERTIFIES", "RUNS A NIGHT", "USELESS", *(f"+{gain:.0%}" for gain in gains), "DETECTS")
    print_table(head, [_row(plan, gains) for plan in plans])
    say("")
    nights = f"within {DEFAULT.nights} nights ({DEFAULT.most_nights} where little scatters)"
    say(f"Chance of adoption {nights}, when {flips:.0%} of the tasks flip between two replays.")
    say("DETECTS is the smallest gain that is adopted four times in five. Tasks are those held out, not all.")
    return 0


def _row(plan: Plan, gains: list[float]) -> tuple[str, ...]:
    by_gain = {chance.gain: chance for chance in plan.chances}
    certifies = "never" if plan.certifies is None else f"night {plan.certifies}"
    chances = (f"{by_gain[gain].in_the_end:.2f}" if gain in by_gain else "" for gain in gains)
    detects = "nothing" if plan.detects is None else f"+{plan.detects:.0%}"
    useless = f"{plan.useless.in_the_end:.3f}, {plan.useless.replays:.0f} runs"
    return (str(plan.held_out), certifies, str(plan.replays_a_night), useless, *chances, detects)
