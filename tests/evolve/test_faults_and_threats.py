"""Which test shows what becomes of a fault, a bad input or a threat that is about nights and skills.

Owns the lists as tables: a row is what happens, in a few words, with the tests that show what is done about it, as
`folder/module::test` below `tests/`.
Invariant: every test that is named exists.
"""

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TYPED = "cli/test_cli_bad_input::test_bad_input_is_answered_by_one_line_and_an_exit_code"
SHAPES = "evolve/test_tasks::test_what_is_no_task_file_is_refused_where_it_stands"
HARVEST = "cli/test_cli_sleep_harvest"
DOCUMENT = "skills/test_skill_document"
TARGET = "skills/test_skill_target::test_what_is_no_skill_of_ours_is_refused"
STAGING = "evolve/test_staging"

FAULTS = {
    "1 kill -9 between any two steps of a night": (
        "evolve/test_night_crash::test_a_night_killed_at_any_request_ends_the_same_and_repeats_no_finished_run_then_or_later",
        "gate/test_gate_custody::test_an_experiment_killed_at_any_pair_ends_as_if_it_had_not_been",
    ),
    "2 kill -9 during an adoption": (
        f"{STAGING}::test_an_adoption_that_was_killed_before_its_record_is_completed_by_the_next",
        f"{STAGING}::test_a_roll_back_that_was_killed_before_its_record_is_completed_by_the_next",
    ),
    "3 kill -9 during an adoption of several files": (
        "evolve/test_adoption::test_an_adoption_killed_at_any_file_is_finished_by_the_next_command",
        "evolve/test_adoption::test_it_is_undone_when_a_file_was_changed_after_the_kill",
    ),
    "27 the provider is busy": (
        "evolve/test_thinkers::test_a_provider_that_is_busy_is_asked_again_when_it_says_so_and_not_for_ever",
        "dispatch/test_quiet_failures::test_a_limit_says_until_when",
    ),
    "28 the provider fails": (
        "gate/test_gate_custody::test_a_failed_replay_is_an_error_and_the_night_goes_on",
        "gate/test_gate_decision::test_dropping_errors_changes_nothing_but_their_count",
        "cli/test_cli_sleep::test_an_unreachable_model_is_said_and_nothing_takes_its_place",
    ),
}

BAD_INPUTS = {
    "14 no sessions in the window": (f"{HARVEST}::test_nothing_in_the_window_is_told_with_the_way_out",),
    "15 no task was mined": (
        f"{HARVEST}::test_the_optimizer_of_a_real_night_adds_only_checks_that_the_sessions_bear_out",
        "evolve/test_mine::test_work_without_a_usable_check_is_asked_for",
    ),
    "16 one task only": (TYPED, "evolve/test_tasks_split::test_a_single_text_trains_and_nothing_is_held_out"),
    "17 an id twice": (TYPED, "evolve/test_tasks::test_an_id_that_is_there_twice_is_refused_with_both_places"),
    "18 one text on both sides": (
        "evolve/test_tasks::test_a_text_on_both_sides_is_refused_with_the_ids",
        "evolve/test_tasks::test_what_is_nearly_the_same_cannot_be_on_both_sides",
    ),
    "19 an unknown operator": (TYPED, SHAPES),
    "20 a judge without checks": (TYPED, SHAPES),
    "21 a number that is none": (SHAPES,),
    "22 a pattern that is none": (TYPED, SHAPES, "evolve/test_judge::test_a_pattern_that_re2_refuses_cannot_be_built"),
    "23 a pattern that would never end": (
        "evolve/test_judge::test_a_pattern_that_would_backtrack_for_ever_comes_to_an_end",
    ),
    "24 a judge of form alone": (
        "evolve/test_judge::test_checks_of_shape_alone_are_told_apart",
        f"{HARVEST}::test_checks_of_form_alone_certify_only_what_was_held_out_by_its_author",
    ),
    "25 a task text that is empty or too long": (TYPED, SHAPES),
    "26 no SKILL.md": (TYPED, f"{DOCUMENT}::test_what_is_no_readable_file_is_refused_by_kind"),
    "27 front matter that is missing or broken": (
        f"{DOCUMENT}::test_what_codex_could_not_use_is_refused_with_its_line",
    ),
    "28 another encoding, a byte order mark, CRLF": (
        f"{DOCUMENT}::test_what_codex_could_not_use_is_refused_with_its_line",
        f"{DOCUMENT}::test_a_block_takes_the_line_ends_of_its_file",
        f"{DOCUMENT}::test_bytes_outside_the_learned_block_are_kept_and_rules_come_back_as_they_went_in",
    ),
    "29 a skill that is too large": (
        f"{DOCUMENT}::test_what_codex_could_not_use_is_refused_with_its_line",
        "skills/test_skill_edit::test_a_batch_that_makes_the_file_too_large_to_read_is_rejected_whole",
    ),
    "30 a name that is none": (
        f"{DOCUMENT}::test_what_codex_could_not_use_is_refused_with_its_line",
        "skills/test_skill_bundles::test_threat_8_no_name_of_a_skill_leads_out",
    ),
    "31 a target outside of the roots": (TYPED, TARGET),
    "32 a target that is no regular file": (TARGET,),
    "33 an anchor that is not there or ambiguous": (
        "skills/test_skill_edit::test_an_unfit_edit_is_rejected_with_its_reason_and_the_others_go_on",
    ),
    "34 the live file changed since": (f"{STAGING}::test_a_live_file_that_somebody_changed_is_left_alone",),
    "35 an unknown proposal": (TYPED, f"{STAGING}::test_a_proposal_that_cannot_be_named_is_one_clear_error"),
    "36 nothing to roll back": (TYPED,),
}

THREATS = {
    "2 secrets in what an optimizer reads": (
        "evolve/test_episodes::test_secrets_are_gone_before_anything_is_cut",
        "evolve/test_reflect::test_preferences_and_rejected_edits_are_always_there_redacted_and_fenced",
        f"{HARVEST}::test_the_optimizer_of_a_real_night_adds_only_checks_that_the_sessions_bear_out",
    ),
    "3 a secret that is cut or escaped": (
        "foundation/test_redact::test_a_secret_is_found_at_every_offset",
        "evolve/test_episodes::test_threat_3_a_secret_that_is_encoded_is_one_too",
        "recorder/test_recorded::test_threat_3_a_secret_split_over_deltas_is_redacted_whole",
        "recorder/test_recorded::test_threat_3_a_secret_hidden_behind_escapes_of_json_is_found",
    ),
    "4 a poisoned session": (
        "skills/test_skill_poison::test_threat_4_no_rule_of_a_poisoned_session_becomes_live_unseen",
        "evolve/test_reflect::test_an_edit_needs_two_tasks_or_an_exact_check_behind_it",
        "evolve/test_adoption::test_what_lets_an_agent_do_more_needs_a_yes_to_each_kind",
    ),
    "5 an edit that adds powers or hides": (
        "skills/test_skill_capability::test_what_a_rule_adds_is_named",
        "skills/test_skill_capability::test_threat_5_what_is_disguised_is_named_as_what_it_is",
        "skills/test_skill_edit::test_every_invisible_character_of_unicode_is_hidden_but_line_feed_and_tab",
    ),
    "6 a backdoor that a gate would pass": (
        "skills/test_skill_poison::test_threat_6_a_backdoor_behind_a_trigger_is_held_for_review",
        "cli/test_cli_sleep_terms::test_a_candidate_that_loses_what_must_not_be_lost_is_rejected",
    ),
    "7 a rule that pleases the judge": (
        "evolve/test_echo::test_threat_7_what_a_judge_looks_for_is_no_rule",
        "evolve/test_reflect::test_a_judges_own_words_are_no_rule",
        "cli/test_cli_sleep_second_looks::test_who_pleases_the_first_judge_alone_wins_nothing_and_never_hears_of_the_hidden_one",
    ),
    "10 a link that leads out": (
        TARGET,
        f"{STAGING}::test_a_link_that_took_the_place_of_the_file_is_refused",
        f"{HARVEST}::test_the_learned_skill_is_made_in_the_project_or_nowhere",
        "evolve/test_outside::test_a_start_behind_a_link_is_refused",
    ),
    "11 a file with two names": (TARGET,),
    "24 a replay that runs wider than asked": (
        "codex/test_command::test_the_configuration_pins_what_a_run_may_do",
        "cli/test_cli_troubles::test_nothing_that_is_typed_widens_a_run",
    ),
    "32 a model that never ends": (
        "cli/test_cli_sleep_terms::test_a_model_that_loops_for_ever_is_stopped_at_the_budget",
        "cli/test_cli_sleep_terms::test_a_night_that_stopped_at_its_budget_goes_on_and_pays_nothing_twice",
    ),
}

TABLES = {"fault": FAULTS, "bad input": BAD_INPUTS, "threat": THREATS}
ROWS = [(f"{kind}: {row}", tests) for kind, table in TABLES.items() for row, tests in table.items()]


@cache
def names_in(module: str) -> frozenset[str]:
    path = TESTS / f"{module}.py"
    return frozenset(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)) if path.exists() else frozenset()


@pytest.mark.parametrize(("row", "tests"), ROWS, ids=[row for row, _ in ROWS])
def test_a_row_names_tests_that_there_are(row: str, tests: tuple[str, ...]) -> None:
    assert tests, row
    for name in tests:
        module, _, test = name.partition("::")
        assert test in names_in(module), name


def test_no_number_is_missing() -> None:
    numbers = {kind: {int(row.split(" ", 1)[0]) for row in table} for kind, table in TABLES.items()}
    assert numbers["fault"] == {1, 2, 3, 27, 28}
    assert numbers["bad input"] == set(range(14, 37))
    assert numbers["threat"] == {2, 3, 4, 5, 6, 7, 10, 11, 24, 32}
