"""Which test shows what becomes of a fault, a bad input, a threat, or a rule of running Codex for somebody.

Owns the lists as tables: a row is what happens, in a few words, with the tests that show what is done about it, as
`folder/module::test` below `tests/`.
Invariant: every test that is named exists, and no row is in two tables.
"""

import itertools
import re
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.dispatch.api import Dispatch, Options, open_dispatch
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.errors import DataError, Refused
from armarius.store.ledger import events_after
from support.run_world import World, script

TESTS = Path(__file__).parents[1]
SIDE = "dispatch/test_side_by_side"
BILLING = "lanes/test_billing"
VERDICT = "audit/test_verdict"

FAULTS = {
    "4 kill -9 of codex": (
        "dispatch/test_runner::test_a_codex_that_is_killed_never_succeeds",
        "dispatch/test_runner_crash::test_an_attempt_whose_guard_was_killed_is_cleared_away_and_tried_again",
        "dispatch/test_side_by_side::test_a_kill_at_any_commit_of_a_run_with_a_checkout_loses_no_work_and_no_lease",
    ),
    "5 kill -9 of whoever started it": (
        "dispatch/test_runner_crash::test_a_run_whose_owner_was_killed_while_codex_worked_is_adopted_and_not_started_again",
        "dispatch/test_worker::test_a_run_whose_worker_was_killed_is_adopted_by_the_next_one_and_not_started_again",
        "dispatch/test_worker_kills::test_nothing_is_lost_repeated_or_doubled_when_workers_are_killed_at_random",
        "cli/test_cli_batch::test_a_batch_that_is_killed_at_any_time_comes_to_the_same_end_and_asks_for_everything_once",
        "cli/test_cli_batch::test_a_detached_batch_whose_process_is_killed_is_taken_up_by_the_same_command",
    ),
    "10 no descriptors left": (
        "cli/test_cli_troubles::test_with_hardly_a_descriptor_left_nothing_is_lost_and_nothing_is_paid_for_twice",
        "dispatch/test_porter::test_without_descriptors_a_run_waits_and_is_done_once_when_there_are_some",
    ),
    "24 the clock jumps": ("dispatch/test_faults_and_threats::test_a_clock_that_jumps_changes_no_duration",),
    "25 the time zone changes": (
        "dispatch/test_cron::test_the_next_moments_are_those_of_the_zone",
        "dispatch/test_schedules::test_a_clock_that_jumps_back_fires_no_moment_again",
        "dispatch/test_schedules::test_a_moment_becomes_one_run_though_two_workers_look",
    ),
    "26 the machine sleeps over a schedule": (
        "dispatch/test_schedules::test_what_was_missed_is_made_up_for_once",
        "dispatch/test_cron::test_after_a_year_without_a_worker_one_moment_is_due_and_found_at_once",
    ),
    "32 the login ends in the middle": (
        "cli/test_cli_troubles::test_a_login_that_ends_in_the_middle_of_a_batch_stops_the_spending_and_keeps_what_was_done",
        "dispatch/test_quiet_failures::test_a_refused_login_is_asked_once_and_not_five_times_more",
    ),
    "33 a child that hangs": (
        "dispatch/test_runner::test_a_command_that_hangs_is_ended_with_its_run",
        "dispatch/test_runner::test_a_model_that_falls_silent_is_waited_for_until_the_deadline_and_no_longer",
    ),
    "34 a child that ignores SIGTERM": ("codex/test_guard::test_a_deadline_asks_politely_first_and_kills_at_last",),
    "35 orphan grandchildren": ("codex/test_guard::test_nothing_that_a_program_leaves_behind_survives_it",),
    "36 a grandchild with a session of its own": (
        "codex/test_guard::test_nothing_that_a_program_leaves_behind_survives_it",
        "codex/test_guard::test_when_the_guard_is_killed_its_orphans_are_ended_before_anybody_goes_on",
    ),
    "37 a flood of output": ("codex/test_guard::test_a_flood_of_output_is_cut_at_the_cap",),
    "38 codex waits for its input": (
        "codex/test_guard::test_output_goes_to_files_and_the_prompt_arrives_with_an_end",
        "cli/test_cli_run_flags::test_an_input_that_stays_open_is_neither_waited_for_without_end_nor_ignored",
    ),
    "39 two orchestrators on one repository": (
        "dispatch/test_side_by_side::test_a_tree_that_is_shared_has_one_writer_and_the_next_one_is_told_who",
        "cli/test_cli_batch::test_who_hands_in_a_batch_that_is_seen_to_is_told_by_whom",
    ),
    "40 a lock whose owner is dead": (
        "dispatch/test_runner_crash::test_an_owner_that_is_not_that_process_any_more_is_taken_over",
        "resources/test_leases::test_a_holder_that_was_killed_on_this_host_is_not_waited_for",
    ),
    "41 a pid that is another process's by now": (
        "codex/test_guard::test_a_pid_that_now_belongs_to_another_process_is_never_signalled",
        "dispatch/test_runner_crash::test_an_owner_that_is_not_that_process_any_more_is_taken_over",
        "resources/test_leases::test_a_process_with_the_pid_of_a_dead_owner_is_not_taken_for_it",
    ),
    "42 a lock of another host": (
        "dispatch/test_runner_crash::test_an_owner_on_another_machine_is_never_taken_over",
        "resources/test_leases::test_a_dead_holder_of_another_host_is_waited_for_until_its_lease_has_ended",
        "cli/test_cli_troubles::test_a_batch_that_another_host_began_is_left_to_it_unless_it_is_said_to_be_gone",
    ),
}

BAD_INPUTS = {
    "9 CODEX_HOME is not there, or no folder": (
        "codex/test_home::test_a_home_that_is_no_folder_is_named_with_the_variable_that_says_so",
        "codex/test_home::test_a_home_that_is_not_there_is_a_home_without_login",
    ),
    "10 CODEX_HOME lies in the repository": (
        "cli/test_cli_troubles::test_a_home_of_codex_that_a_repository_brings_along_is_refused",
    ),
    "11 no codex": (
        "codex/test_binary::test_without_any_codex_the_way_to_get_one_is_said",
        "cli/test_cli_bad_input::test_without_a_usable_codex_every_command_that_needs_it_says_so",
    ),
    "12 codex is too old": (
        "codex/test_binary::test_what_is_too_old_is_refused_with_both_versions_or_what_it_lacks",
        "codex/test_binary::test_what_is_no_codex_is_told_from_an_old_one",
    ),
    "13 nobody is logged in": (
        "codex/test_login::test_what_codex_says_of_no_login_a_key_and_a_plan",
        "lanes/test_billing::test_who_has_no_login_is_told_so_before_codex_asks_openai_and_may_have_none_elsewhere",
        "codex/test_command::test_a_key_that_the_provider_wants_and_nobody_has_is_a_lack_of_login",
    ),
    "31 a path that leads outside": (
        "checkout/test_checkout_scopes::test_a_pattern_without_a_meaning_is_refused",
        "checkout/test_checkout::test_a_commit_that_links_the_callers_folder_outside_is_refused",
        "checkout/test_checkout_collect::test_changes_outside_the_scope_and_links_out_of_it_are_named",
        "cli/test_cli_troubles::test_a_file_that_is_none_is_neither_waited_for_nor_written_to",
    ),
    "32 a folder, pipe or device in the place of a file": (
        "cli/test_cli_troubles::test_a_file_that_is_none_is_neither_waited_for_nor_written_to",
    ),
    "41 a packet's variables hold a key": (
        "proof/test_packet::test_a_variable_that_is_dangerous_is_refused_by_its_name_and_never_by_its_value",
    ),
    "42 a flag or a -c that widens": (
        "cli/test_cli_exec::test_what_would_change_who_pays_is_refused_before_anything_is_started",
        "cli/test_cli_troubles::test_nothing_that_is_typed_widens_a_run",
        "codex/test_overrides::test_what_is_not_known_to_be_harmless_is_refused_with_the_nearest_name",
        "codex/test_overrides::test_no_path_to_a_harmless_key_leads_elsewhere",
    ),
}

THREATS = {
    "19 the recorder hands a client's token on": (
        "recorder/test_threats::test_threat_19_a_login_goes_to_its_own_provider_and_the_token_to_none",
    ),
    "19 a key that goes where it does not belong": (
        "codex/test_command::test_commands_see_the_path_of_the_run_and_not_the_key_of_the_provider",
        "dispatch/test_worker::test_no_value_of_a_variable_is_in_a_row_and_the_worker_brings_its_own",
    ),
    "21 variables that come back in": (
        "codex/test_command::test_the_environment_is_the_allow_list_a_path_a_private_tmpdir_and_what_the_owner_named",
        "codex/test_command::test_no_key_no_loader_and_no_startup_file_is_on_the_allow_list",
        "docs/test_recipe_ci::test_a_hostile_change_stays_in_its_block_shows_what_it_hides_and_gets_no_secret",
    ),
    "22 a prompt or a name that looks like a flag": (
        "cli/test_cli_troubles::test_a_prompt_and_a_name_that_look_like_flags_are_a_prompt_and_a_name",
        "codex/test_command::test_no_value_can_become_a_flag_or_a_key",
    ),
    "23 overrides and profiles": (
        "cli/test_cli_project_trust::test_a_run_that_writes_trusts_no_project_and_starts_nothing_of_it",
        "codex/test_overrides::test_no_path_to_a_harmless_key_leads_elsewhere",
        "codex/test_overrides::test_a_profile_is_read_before_codex_reads_it",
        "lanes/test_billing::test_no_override_touches_money",
        "dispatch/test_batch::test_everything_is_checked_before_anything_is_asked",
    ),
    "24 a sandbox that is wider after a retry or a resume": (
        "cli/test_cli_troubles::test_no_run_writes_where_its_evidence_its_login_or_the_programs_of_ours_are_named",
        "dispatch/test_settle::test_a_run_that_was_allowed_more_than_was_asked_fails",
        "cli/test_cli_resume::test_a_turn_that_goes_on_has_what_the_run_had_and_not_what_codex_would_take",
        "dispatch/test_approvals::test_a_thread_that_goes_on_inherits_no_permission",
    ),
    "25 TOML in a value": ("codex/test_command::test_a_value_comes_back_from_toml_as_it_was",),
    "26 text that steers a terminal or a log": (
        "cli/test_cli_run::test_nothing_that_an_agent_says_steers_the_terminal",
        "cli/test_progress::test_a_hostile_text_is_seen_and_not_obeyed",
        "docs/test_recipe_ci::test_a_hostile_change_stays_in_its_block_shows_what_it_hides_and_gets_no_secret",
    ),
    "32 spending without end": (
        "dispatch/test_budget::test_a_run_that_used_up_too_much_is_ended_while_it_runs",
        "dispatch/test_budget::test_runs_that_share_a_budget_stop_each_other",
        "cli/test_cli_batch::test_the_budget_of_a_batch_is_one_for_all_of_its_runs",
    ),
    "33 files that others could read": (
        "cli/test_cli_troubles::test_what_is_kept_of_a_batch_is_its_owner_s_alone_whatever_the_mask_is",
        "codex/test_guard::test_everything_in_the_folder_is_for_its_owner_alone",
    ),
}

RULES = {
    "a refusal by the sandbox is no verdict, and nobody mends one by hand": (
        "audit/test_validate::test_what_the_sandbox_denied_is_infrastructure_and_never_a_fail",
    ),
    "a plan pays, or nobody": (
        "lanes/test_billing::test_a_login_that_is_not_exactly_a_plan_in_the_lane_is_refused",
        "lanes/test_billing::test_codex_itself_has_the_last_word_on_a_plan",
        "lanes/test_billing::test_a_variable_that_could_be_billed_is_refused_aloud_unless_it_may_be_dropped",
    ),
    "the sandbox follows from who may do what": (
        "codex/test_command::test_flags_say_the_sandbox_and_the_folder_whatever_else_is_asked",
        "dispatch/test_api::test_what_a_program_may_not_ask_for_is_refused_like_on_the_command_line",
    ),
    "what is to go on leaves a session": ("cli/test_cli_run_flags::test_an_ephemeral_run_leaves_no_session",),
    "folder, answer, events and schema are named, the prompt is piped": (
        "cli/test_cli_run_flags::test_the_file_of_the_answer_is_there_only_when_a_turn_was_completed",
        "cli/test_cli_run::test_an_answer_is_held_against_the_schema",
        "codex/test_command::test_a_prompt_reaches_the_model_as_it_was_written",
    ),
    "a resumed thread is named, and inherits nothing by itself": (
        "cli/test_cli_resume::test_the_last_session_is_that_of_this_folder_unless_all_are_meant",
        "cli/test_cli_resume::test_a_turn_that_goes_on_has_what_the_run_had_and_not_what_codex_would_take",
    ),
    "0 is no verdict, and neither is anything else": (
        "dispatch/test_quiet_failures::test_commands_that_failed_in_a_completed_turn_are_counted",
        "docs/test_recipe_ci::test_the_verdict_is_the_exit_code_and_a_failure_is_none",
    ),
    "lanes are ours": (
        "cli/test_cli_lanes::test_a_run_uses_the_login_of_its_lane_and_its_thread_stays_there",
        "lanes/test_lanes::test_a_lane_is_a_private_home_whose_login_stays_in_its_file",
    ),
    "temporary files stay within": (
        "codex/test_command::test_the_environment_is_the_allow_list_a_path_a_private_tmpdir_and_what_the_owner_named",
    ),
    "a commit is made where the agent may not": (
        f"{SIDE}::test_git_is_read_only_inside_unless_the_run_may_commit_and_the_work_comes_back_all_the_same",
    ),
    "a verdict is written to the letter, and what lacks a part of it is none": (
        f"{VERDICT}::test_a_verdict_is_read_and_written_to_the_letter",
        f"{VERDICT}::test_what_is_not_to_the_letter_is_no_verdict",
        f"{VERDICT}::test_the_twin_in_json_is_the_same_verdict",
    ),
    "a judge that ran nothing is a reader": (f"{VERDICT}::test_what_the_judge_did_not_run_is_no_verdict",),
    "a wired MCP server is seen before anything needs it": (
        "cli/test_cli_doctor_mcp::test_only_a_server_that_answered_codex_is_visible",
        "cli/test_cli_doctor_mcp::test_what_needs_one_can_ask_for_it_by_name",
    ),
    "whoever passes a command through changes nobody's bill": (
        "cli/test_cli_exec::test_what_would_change_who_pays_is_refused_before_anything_is_started",
        "cli/test_cli_exec::test_no_key_of_the_caller_reaches_codex",
    ),
    "an objective is pursued until it holds": (
        "cli/test_cli_goal::test_turns_of_one_thread_follow_until_the_condition_really_holds",
    ),
    "the program is asked what it can do": (
        "codex/test_binary::test_a_real_build_tells_its_version_and_everything_that_a_run_needs",
    ),
    "a launcher has a session, a deadline, and leaves nobody": (
        "codex/test_guard::test_a_deadline_asks_politely_first_and_kills_at_last",
        "cli/test_cli_run::test_ctrl_c_ends_the_command_that_codex_is_running",
    ),
    "a grandchild that holds the output does not hold us": (
        "codex/test_guard::test_nothing_that_a_program_leaves_behind_survives_it",
    ),
}

TROUBLES = {
    "tokens are billed to a key": (
        "lanes/test_billing::test_a_variable_that_could_be_billed_is_refused_aloud_unless_it_may_be_dropped",
        "cli/test_cli_lanes::test_doctor_says_who_pays_and_where_that_is_said",
    ),
    "the login is one with a key": (
        "lanes/test_billing::test_a_login_that_is_not_exactly_a_plan_in_the_lane_is_refused",
    ),
    "not a git repository": (
        "dispatch/test_faults_and_threats::test_outside_of_a_repository_a_run_may_only_read_and_is_told_the_way_out",
    ),
    "the agent cannot write": (
        "cli/test_cli_run::test_a_run_writes_only_where_it_may_and_what_it_changed_is_seen_by_us",
        "dispatch/test_runner::test_a_read_only_run_changes_nothing",
        "cli/test_cli_run_flags::test_a_further_folder_may_be_written_to_and_is_watched",
    ),
    "resume finds nothing": (
        "dispatch/test_faults_and_threats::test_a_session_that_was_not_kept_is_not_found_and_where_else_to_look_is_said",
    ),
    "output is empty or cut in a loop": (
        "cli/test_cli_run_flags::test_the_file_of_the_answer_is_there_only_when_a_turn_was_completed",
        "dispatch/test_quiet_failures::test_a_run_whose_events_are_cut_off_is_judged_by_what_is_whole",
    ),
    "a lane is at its limit": (
        "dispatch/test_lane_limits::test_work_that_meets_a_limit_goes_on_in_another_lane_and_the_ledger_shows_both",
        "dispatch/test_lane_limits::test_without_another_lane_a_limit_is_a_state_with_its_time",
    ),
}

CHECKS = {
    "a packet brings OPENAI_API_KEY along, even an empty one": (
        "proof/test_packet::test_a_packet_that_may_not_be_is_refused_before_anything_is_claimed",
    ),
    "a packet asks for a login that is not there, or brings a command line of its own": (
        "proof/test_packet::test_a_packet_that_may_not_be_is_refused_before_anything_is_claimed",
        "proof/test_packet::test_a_file_that_is_no_packet_is_bad_data",
    ),
    "the author is the judge, or nobody says who": (
        "audit/test_judging::test_a_judges_run_is_worth_what_was_seen_of_it",
        "audit/test_validate::test_a_judge_that_ran_the_check_passes_the_work_and_all_of_it_is_on_record",
    ),
    "what was required runs out of its time, and an excerpt of output is short": (
        "proof/test_required::test_one_that_fails_fails_the_run_and_nothing_of_it_is_left",
        "proof/test_required::test_they_run_in_the_tree_that_the_agent_left_and_what_they_did_is_kept",
    ),
    "a verdict is missing, repeated or contradicts itself": (
        f"{VERDICT}::test_what_is_not_to_the_letter_is_no_verdict",
        f"{VERDICT}::test_what_is_no_such_json_is_no_verdict",
    ),
    "a command that was required did not end well": (
        f"{VERDICT}::test_what_the_judge_did_not_run_is_no_verdict",
        f"{VERDICT}::test_a_pass_stands_when_the_last_run_of_what_was_required_ended_well",
    ),
    "a sandbox in the arguments that is not the one asked for": (
        "cli/test_cli_troubles::test_nothing_that_is_typed_widens_a_run",
        "codex/test_command::test_the_configuration_pins_what_a_run_may_do",
    ),
    "a path that escapes: absolute, dots, a sibling with the same beginning": (
        "checkout/test_checkout_scopes::test_a_pattern_without_a_meaning_is_refused",
        "checkout/test_checkout_scopes::test_a_scope_covers_exactly_the_paths_that_fit",
    ),
    "the input is closed behind the prompt": (
        "codex/test_guard::test_output_goes_to_files_and_the_prompt_arrives_with_an_end",
    ),
    "a timeout is told from an exit": (
        "cli/test_cli_run::test_a_silent_model_is_given_up_at_the_deadline_and_nothing_is_left_running",
    ),
    "a failure leaves a record, too": (
        "dispatch/test_runner::test_a_turn_that_fails_fails_the_run_and_costs_only_what_the_provider_told",
        "cli/test_cli_run::test_a_failed_run_says_why_and_what_to_do",
    ),
    "records are whole, and their owner's alone": (
        "foundation/test_files::test_a_file_is_replaced_whole_with_the_mode_asked_for",
        "codex/test_guard::test_everything_in_the_folder_is_for_its_owner_alone",
    ),
    "which files changed is seen by us": (
        "dispatch/test_workspace::test_a_change_is_seen_whatever_it_is",
        "checkout/test_checkout_collect::test_ignored_files_are_listed_and_not_committed",
    ),
}

TABLES = {
    "fault": FAULTS,
    "bad input": BAD_INPUTS,
    "threat": THREATS,
    "rule": RULES,
    "trouble": TROUBLES,
    "check": CHECKS,
}
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


class Jumping(SystemClock):
    """A wall clock that an administrator sets again and again, by hours, forth and back."""

    def __init__(self) -> None:
        self._hours = itertools.cycle([0, 5, -3, 1, -8])

    def now_us(self) -> int:
        return super().now_us() + next(self._hours) * 3_600_000_000


def test_a_clock_that_jumps_changes_no_duration(world: World) -> None:
    with world.ledger() as ledger:
        runner = Runner(ledger, Jumping(), world.state / "runs", world.binary, world.environ)
        results = list(in_order(runner, [world.request(script({"say": name})) for name in "ab"], workers=2))
        assert [result.answer for result in results] == ["a", "b"]
        assert len({result.id for result in results}) == len(results)
        assert all(0 < (result.duration_us or 0) < 60_000_000 for result in results)
        events = events_after(ledger, 0, 100)
        kinds = [[event.kind for event in events if event.subject == result.id] for result in results]
        assert kinds == [["run_claimed", "run_started", "run_ended"]] * len(results)
        assert runner.recover() == []


def test_outside_of_a_repository_a_run_may_only_read_and_is_told_the_way_out(world: World) -> None:
    (plain := world.folder / "plain").mkdir()
    with dispatch_in(world) as dispatch:
        assert dispatch.request("hi", Options(cwd=plain)).sandbox == "read-only"
        with pytest.raises(Refused, match=r"no git repository.* --skip-git-check"):
            dispatch.request("hi", Options(cwd=plain, sandbox="workspace-write"))
        wish = Options(cwd=plain, sandbox="workspace-write", skip_git_check=True)
        assert dispatch.request("hi", wish).sandbox == "workspace-write"


def test_a_session_that_was_not_kept_is_not_found_and_where_else_to_look_is_said(world: World) -> None:
    with dispatch_in(world) as dispatch:
        gone = dispatch.run(script({"say": "one"}), Options(cwd=world.project, ephemeral=True))
        assert gone.thread_id
        with pytest.raises(DataError, match="sessions list"):
            dispatch.resume_request(gone.thread_id, "go on")
        with pytest.raises(DataError, match="armarius run"):
            dispatch.last(None)
        kept = dispatch.run(script({"say": "two"}), Options(cwd=world.project))
        assert dispatch.last(world.project) == dispatch.last(None) == kept.thread_id
        with pytest.raises(DataError, match="add --all"):
            dispatch.last(world.folder)


@contextmanager
def dispatch_in(world: World) -> Generator[Dispatch]:
    environ = {"HOME": str(world.home), "CODEX_HOME": str(world.codex_home), "ARMARIUS_HOME": str(world.state)}
    environ |= {"ARMARIUS_CODEX": world.binary.path, "PATH": "/usr/bin:/bin"}
    with open_dispatch(world.project, environ) as dispatch:
        yield dispatch
