"""What an optimizer says of recurring work is taken as far as the sessions bear it out."""

import pytest

from armarius.evolve.episodes import Episode
from armarius.evolve.judge import Contains
from armarius.evolve.mine import Group
from armarius.evolve.naming import read_naming


def group(*answers: str, state: str = "completed") -> Group:
    episodes = tuple(
        Episode(
            thread_id=f"s{n}",
            turn_id=f"t{n}",
            number=1,
            at_us=n,
            prompt="Explain the weather",
            answer=answer,
            state=state,
            cwd=None,
            git_commit=None,
        )
        for n, answer in enumerate(answers)
    )
    return Group(tuple((one,) for one in episodes), episodes, 1.0)


@pytest.mark.parametrize(
    ("seen", "taken"),
    [
        (group("rain", "rain", "snow"), True),
        (group("rain", "snow"), True),
        (group("rain", "snow", "snow"), False),
        (group("", ""), False),
        (group("rain", "rain", state="failed"), False),
    ],
)
def test_a_check_holds_for_half_of_the_answers_that_went_well_and_for_one_at_least(seen: Group, taken: bool) -> None:  # noqa: FBT001 - a table
    check = {"op": "contains", "text": "rain", "number": None, "because": "k1 says so"}
    found = read_naming({"kinds": [{"kind": "k1", "name": "weather", "checks": [check]}]}, [seen])
    assert [check for check, _ in found["t0"].checks] == ([Contains("rain")] if taken else [])
