"""The gate as transcripts: what is offered, what it answers.

A word of a transcript is one pair: night, task, outcome. Outcomes: `+` the candidate alone passed, `-`
the baseline alone, `=` neither, `!` an error in the candidate's arm, `?` one in the baseline's. So
`2a+` is a win on task a in night 2. `+++` offers wins on fresh tasks of night 1.
"""

import itertools
import math
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import DataError
from armarius.gate.decision import Answer, Gate, Pair, Rules, best_case, decide

SCORES = {"+": (0.0, 1.0), "-": (1.0, 0.0), "=": (0.0, 0.0), "!": (1.0, None), "?": (None, 1.0)}
ENDLESS = Rules(adopt_at=10**30, reject_at=10**30, trial_at=10**30)


def transcript(text: str) -> list[Pair]:
    if set(text) <= set(SCORES):
        text = " ".join(f"1t{number}{outcome}" for number, outcome in enumerate(text))
    return [Pair(int(word[0]), word[1:-1], *SCORES[word[-1]]) for word in text.split()]


def fresh(gains: list[float]) -> list[Pair]:
    """Pairs of so many gains, each on a task of its own."""
    return [Pair(1, f"t{n}", max(-gain, 0.0), max(gain, 0.0)) for n, gain in enumerate(gains)]


def full(nights: str, *rounds: str) -> str:
    """Tasks a, b, c, ... with one outcome each a round, every round of every night."""
    return " ".join(
        f"{night}{task}{outcome}"
        for night in nights
        for outcomes in rounds
        for task, outcome in zip("abcdefgh", outcomes, strict=False)
    )


@pytest.mark.parametrize(
    ("offered", "answer", "reason", "used"),
    [
        ("", "continue", "undecided", 0),
        ("+", "continue", "undecided", 1),
        ("+++", "continue", "undecided", 3),
        ("++++", "trial", "undecided", 4),
        ("+++++", "trial", "undecided", 5),
        ("++++++", "adopt", "certified", 6),
        # Ties are no evidence for it, and in the end evidence that it is not worth having.
        ("+++++=", "trial", "undecided", 6),
        ("=" * 21, "continue", "undecided", 21),
        ("=" * 22, "reject", "futile", 22),
        # Pairs that scatter say less.
        ("+-+-" + "=" * 22, "continue", "undecided", 26),
        ("+-+-" + "=" * 23, "reject", "futile", 27),
        # One loss costs more than one win brings.
        ("+++++-", "continue", "undecided", 6),
        ("+++++-+", "trial", "undecided", 7),
        ("+++++-++", "trial", "undecided", 8),
        ("+++++-+++", "adopt", "certified", 9),
        ("--", "continue", "undecided", 2),
        ("---", "reject", "futile", 3),
        ("--+-=--", "reject", "futile", 7),
    ],
)
def test_it_answers_by_the_evidence(offered: str, answer: str, reason: str, used: int) -> None:
    decision = decide(transcript(offered))

    assert (decision.answer.value, decision.reason, decision.pairs_used) == (answer, reason, used)


@pytest.mark.parametrize(
    ("offered", "used", "errors", "surplus", "late"),
    [
        # Two pairs a task and night.
        ("1a+ 1a- 1a+ 1a=", 2, 0, 2, 0),
        ("1a+ 1a- 1b+ 1a+ 1b=", 4, 0, 1, 0),
        ("1a+ 1a- 2a+ 2a- 3a+ 3a-", 6, 0, 0, 0),
        ("1a+ 1a- 2a+ 2a- 3a+ 3a- 1a+ 2a+ 3a+", 6, 0, 3, 0),
        # Three nights.
        ("3a+ 4a+ 9a-", 1, 0, 2, 0),
        # An error takes no slot, whichever arm it is in.
        ("1a! 1a? 1a+ 1a! 1a- 1a+", 2, 3, 1, 0),
        ("4a!", 0, 1, 0, 0),
        # Nothing counts after a decision, whatever it is.
        ("+++++++-!", 6, 0, 0, 3),
        ("---+++++++++", 3, 0, 0, 9),
        (full("1", "++++++", "------") + " 1a+ 4a+", 6, 0, 0, 8),
    ],
)
def test_every_pair_is_used_or_ignored_for_a_reason(
    offered: str, used: int, errors: int, surplus: int, late: int
) -> None:
    pairs = transcript(offered)
    decision = decide(pairs)

    assert (decision.pairs_used, decision.errors, decision.surplus, decision.late) == (
        used,
        errors,
        surplus,
        late,
    )
    assert decision.pairs_used + decision.pairs_ignored == len(pairs)


@pytest.mark.parametrize(
    ("offered", "nights_over", "answer"),
    [
        # Whoever runs the nights says when they are over.
        ("1a+ 1b-", 2, "continue"),
        ("1a+ 1b-", 3, "reject"),
        ("++++", 3, "reject"),
        ("++++++", 3, "adopt"),
        ("", 3, "reject"),
        # A record alone: the last night is over when it has no room left, or a later one began.
        (full("12", "+-", "-+"), 0, "continue"),
        (full("123", "+-", "-+"), 0, "reject"),
        (full("123", "+-", "-+") + " 3c+", 0, "continue"),
        (full("123", "+-") + " 3a+", 0, "continue"),
        (full("123", "+-", "-+") + " 3c!", 0, "continue"),
        ("1a+ 2a- 4a+", 0, "reject"),
        ("4a+ 1a+ 2a-", 0, "reject"),
        # Also when it would otherwise be a trial.
        (full("12", "+", "+"), 0, "trial"),
        (full("12", "+", "+") + " 3a= 3a=", 0, "reject"),
    ],
)
def test_a_candidate_without_a_decision_ends_with_its_last_night(offered: str, nights_over: int, answer: str) -> None:
    decision = decide(transcript(offered), nights_over=nights_over)

    assert decision.answer.value == answer
    assert (decision.reason == "exhausted") == (answer == "reject")


# Eight tasks of three nights: 48 pairs, of which these have a winner.
CALM = "+-+=====", "========"
WILD = "+-+-====", "+-+-===="


@pytest.mark.parametrize(
    ("offered", "nights_over", "answer", "nights", "worth"),
    [
        # Until something scatters, replays agree.
        ("=", 0, "continue", 4, 0.12),
        ("+", 0, "continue", 3, 0.15),
        # The mean square is 9/48 = .19 in the first case and below .12 in the second.
        (full("1", *CALM) + " " + full("23", *CALM), 3, "reject", 3, 0.15),
        (full("1", *CALM) + " " + full("23", "+=======", "========"), 3, "continue", 4, 0.12),
        (full("1", *CALM) + " " + full("23", "+=======", "========"), 4, "reject", 4, 0.12),
        # What a fourth night brings is evidence, and changes nothing about its being there.
        (full("1", *CALM) + " " + full("23", "+=======", "========") + " 4a- 4b+ 4c-", 3, "continue", 4, 0.12),
        (full("123", *WILD) + " 4a=", 0, "reject", 3, 0.15),
    ],
)
def test_who_scatters_little_is_asked_for_less_and_has_another_night(
    offered: str, nights_over: int, answer: str, nights: int, worth: float
) -> None:
    decision = decide(transcript(offered), Rules(reject_at=10**9), nights_over=nights_over)

    assert (decision.answer.value, decision.nights, decision.worth) == (answer, nights, worth)


def test_a_task_that_comes_late_in_the_last_night_still_counts() -> None:
    gate = Gate()
    for pair in transcript("1a+ 1a+ 2a+ 2a+ 3a= 3a="):
        gate.offer(pair)
    assert gate.decision().reason == "exhausted"

    for pair in transcript("3b+ 3b+"):
        gate.offer(pair)

    assert gate.decision().answer is Answer.ADOPT


def test_it_reports_what_the_answer_rests_on() -> None:
    offered = transcript("1a+ 1b- 1c= 1c! 2a+ 2d? 2a+ 2a+")
    offered.append(Pair(night=2, task="b", baseline=0.25, candidate=0.75))

    decision = decide(offered)

    assert (decision.wins, decision.losses, decision.ties) == (4, 1, 1)
    assert decision.tasks == 3, "d had only an error"
    assert decision.mean_gain == 2.5 / 6
    assert decision.e_value == float(expected_wealth([1, -1, 0, 1, 1, Fraction(1, 2)]))


def test_nothing_offered_has_no_gain_and_a_wealth_of_one() -> None:
    assert (decide([]).mean_gain, decide([]).e_value, decide([]).tasks) == (0.0, 1.0, 0)


def expected_wealth(gains: "list[int | Fraction]") -> Fraction:
    """The definition, in fractions: the mean over the bets of the product of 1 + bet * gain."""
    bets = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    purses = [math.prod((1 + bet * gain for gain in gains), start=Fraction(1)) for bet in bets]
    return sum(purses, start=Fraction(0)) / 3


@pytest.mark.parametrize(
    ("gains", "decided_at"),
    [
        ([0.5] * 20, 10),
        ([0.1] * 60, 42),  # less than is worth having, and yet surely more than nothing
        ([0.05] * 60, 37),
        ([-0.5] * 20, 5),
        ([1 / 6, -1 / 6] * 30, 24),
    ],
)
def test_soft_scores_are_evidence_by_their_size(gains: list[float], decided_at: int) -> None:
    assert decide(fresh(gains)).pairs_used == decided_at


@pytest.mark.parametrize(
    ("rules", "offered", "answer"),
    [
        # Four wins are worth (5^4 + 6^4 + 7^4) / (3 * 4^4) = 4322 / 768, between 5 and 6.
        (Rules(trial_at=5, adopt_at=6), "++++", "trial"),
        (Rules(trial_at=4, adopt_at=5), "++++", "adopt"),
        (Rules(trial_at=6, adopt_at=7), "++++", "continue"),
        # No wealth but that of the start: exactly 1 reaches 1.
        (Rules(trial_at=1), "", "trial"),
        (Rules(trial_at=2), "", "continue"),
        # A sure loss of 1 against a worth of 1 is a gain of 2 for the other gambler: 1.5, 2, 2.5 on one pair.
        (Rules(worth=Fraction(1), reject_at=2), "-", "reject"),
        (Rules(worth=Fraction(1) - Fraction(1, 10**40), reject_at=2), "-", "continue"),
        (Rules(worth=Fraction(1) + Fraction(1, 10**40), reject_at=2), "-", "reject"),
    ],
)
def test_a_threshold_is_reached_exactly_or_not_at_all(rules: Rules, offered: str, answer: str) -> None:
    assert decide(transcript(offered), rules).answer.value == answer


@pytest.mark.parametrize(("adopt_at", "answer"), [(2, "adopt"), (3, "reject")])
def test_certification_goes_before_futility_when_one_pair_proves_both(adopt_at: int, answer: str) -> None:
    half = Fraction(1, 2)
    rules = Rules(adopt_at=adopt_at, reject_at=2, worth=half, steady_worth=half)  # a gain of 1/4 is the same to both

    decision = decide(fresh([0.25] * 7), rules)

    assert (decision.answer.value, decision.pairs_used) == (answer, 6)


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("arm", ["baseline", "candidate"])
def test_a_score_outside_0_and_1_is_refused_by_name(arm: str, bad: float) -> None:
    scores: dict[str, float | None] = {"baseline": None, "candidate": None, arm: bad}

    with pytest.raises(DataError, match=r"night 2, task 'greet': score") as refused:
        Pair(2, "greet", scores["baseline"], scores["candidate"])

    assert refused.value.code == "score"


def test_a_night_before_the_first_is_refused() -> None:
    with pytest.raises(DataError, match="nights count from 1"):
        Pair(0, "greet", 0.0, 1.0)


def test_a_recorded_line_is_a_pair_and_null_an_error() -> None:
    line = b'{"experiment":"e","night":1,"task":"greet","baseline":1,"candidate":null}'

    pair = msgspec.json.decode(line, type=Pair)

    assert pair == Pair(night=1, task="greet", baseline=1.0, candidate=None)
    assert pair.gain is None


@pytest.mark.parametrize(
    ("tasks", "nights", "answer"),
    [
        (0, 1, "continue"),
        (1, 1, "continue"),
        (2, 1, "trial"),
        (3, 1, "adopt"),
        (1, 2, "trial"),
        (2, 2, "adopt"),
        (1, 3, "adopt"),
        (50, 1, "adopt"),
    ],
)
def test_the_best_case_tells_whether_so_few_tasks_can_certify(tasks: int, nights: int, answer: str) -> None:
    assert best_case(tasks, nights).answer.value == answer


def test_rules_say_how_many_tasks_can_certify() -> None:
    strict = Rules(adopt_at=20)

    assert best_case(3, 1, strict).answer is Answer.TRIAL
    assert best_case(4, 1, strict).answer is Answer.ADOPT
    assert best_case(2, 1, Rules(pairs_a_night=3)).answer is Answer.ADOPT


# Where the mean gain is 0 no bet gains or loses in expectation, and a stopped martingale is one.
FAIR = {
    "coin": {-1.0: Fraction(1, 2), 1.0: Fraction(1, 2)},
    "mostly ties": {-1.0: Fraction(1, 8), 0.0: Fraction(3, 4), 1.0: Fraction(1, 8)},
    "rare large wins": {-0.25: Fraction(4, 5), 1.0: Fraction(1, 5)},
    "rare large losses": {-1.0: Fraction(1, 5), 0.25: Fraction(4, 5)},
}


def outcomes(chances: dict[float, Fraction], length: int, rules: Rules) -> "list[tuple[Fraction, Answer, float]]":
    """Every sequence of gains with its probability, the answer and the e-value it ends with."""
    found: list[tuple[Fraction, Answer, float]] = []
    for gains in itertools.product(chances, repeat=length):
        decision = decide(fresh(list(gains)), rules)
        chance = math.prod((chances[gain] for gain in gains), start=Fraction(1))
        found.append((chance, decision.answer, decision.e_value))
    return found


@pytest.mark.parametrize("rules", [Rules(), ENDLESS], ids=["stopped", "endless"])
@pytest.mark.parametrize("name", FAIR)
def test_useless_edits_earn_nothing_in_expectation(name: str, rules: Rules) -> None:
    ends = outcomes(FAIR[name], 7, rules)

    assert all(e_value >= 0 for _, _, e_value in ends)
    assert sum(float(chance) * e_value for chance, _, e_value in ends) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("rules", [Rules(), ENDLESS], ids=["stopped", "endless"])
def test_harmful_edits_lose_in_expectation(rules: Rules) -> None:
    ends = outcomes({-1.0: Fraction(3, 5), 1.0: Fraction(2, 5)}, 7, rules)

    assert sum(float(chance) * e_value for chance, _, e_value in ends) < 0.9


@pytest.mark.parametrize("name", FAIR)
def test_useless_edits_are_adopted_at_most_one_time_in_ten(name: str) -> None:
    ends = outcomes(FAIR[name], 10 if len(FAIR[name]) == 2 else 8, Rules())

    assert sum(chance for chance, answer, _ in ends if answer is Answer.ADOPT) <= Fraction(1, 10)


def test_edits_that_are_just_worth_having_are_rejected_at_most_one_time_in_four() -> None:
    worth = Rules().worth
    ends = outcomes({-1.0: (1 - worth) / 2, 1.0: (1 + worth) / 2}, 11, Rules())

    rejected = sum(chance for chance, answer, _ in ends if answer is Answer.REJECT)

    assert Fraction(1, 20) < rejected <= Fraction(1, 4)


scores = st.floats(0, 1) | st.sampled_from([0.0, 1 / 6, 1 / 3, 1.0])
measured = st.builds(Pair, st.integers(1, 5), st.sampled_from("abc"), scores, scores)
failed = st.builds(Pair, st.integers(1, 5), st.sampled_from("abc"), st.none() | scores, st.none())
evidence = st.lists(measured | failed, max_size=30)


@given(st.lists(st.tuples(scores, scores), max_size=20).flatmap(lambda s: st.tuples(st.just(s), st.permutations(s))))
def test_before_a_decision_the_order_of_pairs_is_immaterial(
    orders: "tuple[list[tuple[float, float]], list[tuple[float, float]]]",
) -> None:
    one, other = (decide([Pair(1, str(n), *pair) for n, pair in enumerate(order)], ENDLESS) for order in orders)

    assert one == other


@given(evidence, st.integers(0, 30))
def test_a_night_killed_after_any_pair_resumes_to_the_same_decision(pairs: list[Pair], killed: int) -> None:
    before = Gate()
    for pair in pairs[:killed]:
        before.offer(pair)
    resumed = Gate()
    for pair in msgspec.json.decode(msgspec.json.encode(pairs[:killed]), type=list[Pair]):
        resumed.offer(pair)
    assert resumed.decision() == before.decision()

    for pair in pairs[killed:]:
        resumed.offer(pair)

    assert resumed.decision() == decide(pairs)


@given(evidence)
def test_peeking_after_every_pair_and_stopping_changes_nothing_but_what_is_ignored(pairs: list[Pair]) -> None:
    gate = Gate()
    for pair in pairs:
        if gate.decided:
            break
        gate.offer(pair)
        gate.decision()

    assert gate.decision() == msgspec.structs.replace(decide(pairs), late=0)


@given(evidence)
def test_dropping_errors_changes_nothing_but_their_count(pairs: list[Pair]) -> None:
    gate, without = Gate(), Gate()
    for pair in pairs:
        gate.offer(pair)
        if pair.gain is not None:
            without.offer(pair)
    one, other = gate.decision(nights_over=4), without.decision(nights_over=4)

    assert msgspec.structs.replace(one, errors=0, late=0) == msgspec.structs.replace(other, late=0)
