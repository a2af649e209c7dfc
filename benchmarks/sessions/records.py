"""The records of one session file, as Codex writes them.

Owns the shape of each line, in the order in which Codex writes them, for the three generations that
are generated: `records` (0.155 and later), `paginated` (0.150) and `wrapped` (0.139 and 0.144). Does
not own what is said in them, nor how many there are.
Invariant: every line has the fields of a real one, so that readers meet what they meet in life.
"""

import random
from datetime import UTC, datetime
from typing import Final

from words import quoted

__all__ = ["Lines", "Tokens", "folder_of", "uuid7"]

Tokens = tuple[int, int, int, int, int]
"""input, cached input, cache write, output, reasoning"""

_SANDBOX: Final = (
    '"permission_profile":{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special",'
    '"value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}'
)
_MODE: Final = '"collaboration_mode":{"mode":"default","settings":{"model":"%s","reasoning_effort":null,"developer_instructions":null}}'  # noqa: E501
_FILESYSTEM: Final = (
    "<filesystem><workspace_roots><root>%s</root></workspace_roots>"
    '<permission_profile type=\\"managed\\"><file_system type=\\"restricted\\"><entry access=\\"read\\">'
    "<special>:root</special></entry></file_system></permission_profile></filesystem>"
)
_LIMITS: Final = (
    '"rate_limits":{"limit_id":"codex","limit_name":null,"primary":null,"secondary":null,"credits":null,'
    '"individual_limit":null,"spend_control_reached":null,"plan_type":null,"rate_limit_reached_type":null}'
)
_PERMISSIONS: Final = (
    "<permissions instructions>\\nFilesystem sandboxing defines which files can be read or written. `sandbox_mode` is "
    "`read-only`: files can be read and nothing else. Network access is restricted.\\nApproval policy is currently "
    "never. Do not ask for more permissions for any reason, such commands will be rejected.\\n</permissions "
    "instructions>"
)
_ABORTED: Final = (
    "<turn_aborted>\\nThe user interrupted the previous turn on purpose. Commands that were running may still run in "
    "the background, and may have done a part of their work.\\n</turn_aborted>"
)


def uuid7(rng: random.Random, at_ms: int) -> str:
    """An id of that moment, as Codex gives them."""
    bits = rng.getrandbits(74)
    word = f"{at_ms:012x}7{bits >> 62:03x}{8 + (bits >> 60 & 3):x}{bits & (1 << 60) - 1:015x}"
    return f"{word[:8]}-{word[8:12]}-{word[12:16]}-{word[16:20]}-{word[20:]}"


def folder_of(at_ms: int, thread_id: str) -> str:
    """Where the file lies under a CODEX_HOME."""
    at = datetime.fromtimestamp(at_ms // 1_000, UTC)
    return f"sessions/{at:%Y/%m/%d}/rollout-{at:%Y-%m-%dT%H-%M-%S}-{thread_id}.jsonl"


class Lines:
    """The lines of one rollout. `now_ms` goes on with each of them."""

    def __init__(self, rng: random.Random, *, version: str, cwd: str, model: str, now_ms: int) -> None:
        self.rng, self.version, self.cwd, self.model, self.now_ms = rng, version, cwd, model, now_ms
        self.is_paginated = version >= "0.150"
        self.has_records = version >= "0.155"
        self.thread_id = uuid7(rng, now_ms)
        self.turn_id = ""
        self.lines: list[str] = []
        self.size = 0
        self.total: Tokens = (0, 0, 0, 0, 0)
        self._turn_total: Tokens = (0, 0, 0, 0, 0)
        self._sequence = 1
        self._turn_began_ms = now_ms

    def uuid(self) -> str:
        return uuid7(self.rng, self.now_ms)

    def pass_ms(self, milliseconds: int) -> None:
        self.now_ms += milliseconds

    def put(self, kind: str, payload: str, after: str = "") -> None:
        """One line; a response item of 0.155 and later has its `metadata` after the payload."""
        self.now_ms += self.rng.randrange(1, 9)
        seconds, milliseconds = divmod(self.now_ms, 1_000)
        stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
        ordinal = f'"ordinal":{len(self.lines)},' if self.is_paginated else ""
        line = f'{{"timestamp":"{stamp}",{ordinal}"type":"{kind}","payload":{payload}{after}}}\n'
        self.lines.append(line)
        self.size += len(line) if line.isascii() else len(line.encode())

    def event(self, kind: str, rest: str) -> None:
        self.put("event_msg", f'{{"type":"{kind}"{rest}}}')

    def item(self, kind: str, item_id: str, rest: str, began_ms: int | None = None) -> None:
        """Paginated only: something that happened."""
        self.event(
            "item_completed",
            f',"thread_id":"{self.thread_id}","turn_id":"{self.turn_id}",'
            f'"item":{{"type":"{kind}","id":"{item_id}"{rest}}},'
            f'"started_at_ms":{began_ms or self.now_ms},"completed_at_ms":{self.now_ms}',
        )

    def response(self, kind: str, rest: str, *, more: str = "", about: str = "") -> None:
        """What the model was sent or answered; `more` goes with its turn, `about` is of 0.155 and later."""
        if self.version >= "0.144":
            rest += f',"internal_chat_message_metadata_passthrough":{{"turn_id":"{self.turn_id}"'
            rest += f"{more}}}" if self.has_records else "}"
        after = ""
        if self.has_records:
            self._sequence += 1
            after = (
                f',"metadata":{{"history_sequence":{self._sequence},"sampled_through_sequence":{self._sequence - 1},'
            )
            after += f'"client_authored":false{about}}}'
        self.put("response_item", f'{{"type":"{kind}"{rest}}}', after)

    # Heads

    def session_meta(self, *, source: str, instructions: str, parent_id: str | None, branch: str) -> None:
        at = f"{datetime.fromtimestamp(self.now_ms // 1_000, UTC):%Y-%m-%dT%H:%M:%S}.{self.now_ms % 1_000:03d}Z"
        origin = {"exec": "codex_exec", "cli": "codex_cli_rs", "vscode": "codex_vscode"}.get(source, "codex_exec")
        who = f'"account_scoped":true,"session_id":"{self.thread_id}",' if self.has_records else ""
        origin_of = f'"source":"{source}","thread_source":"user"'
        if parent_id:
            who = f'"account_scoped":true,"session_id":"{parent_id}",' if self.has_records else ""
            origin_of = f'"source":{{"subagent":{{"thread_spawn":{{"parent_thread_id":"{parent_id}","depth":1}}}}}},"thread_source":"subagent"'  # noqa: E501
            origin_of += f',"parent_thread_id":"{parent_id}"'
        roots = f'"runtime_workspace_roots":["{self.cwd}"],' if self.has_records else ""
        provenance = f',"provenance":{{"type":"model","model":"{self.model}"}}' if self.has_records else ""
        paginated = f',"history_mode":"paginated","context_window":{{"window_id":"{self.uuid()}"}}'
        self.put(
            "session_meta",
            f'{{{who}"id":"{self.thread_id}","timestamp":"{at}","cwd":"{self.cwd}",{roots}"originator":"{origin}",'
            f'"cli_version":"{self.version}",{origin_of},"model_provider":"openai","base_instructions":'
            f'{{"text":{instructions}{provenance}}}{paginated if self.is_paginated else ""},"git":'
            f'{{"commit_hash":"{self.rng.getrandbits(160):040x}","branch":"{branch}"}}}}',
        )

    def turn_started(self, *, trigger: str) -> None:
        self.turn_id = self.uuid()
        self._turn_began_ms = self.now_ms
        self._turn_total = (0, 0, 0, 0, 0)
        root = attribution = ""
        if self.has_records:
            root = f',"root_turn_id":"{self.turn_id}"'
            attribution = (
                f',"turn_attribution":{{"turn_id":"{self.turn_id}","turn_trigger":"{trigger}","parent_turn_id":null,'
                f'"initiating_agent_path":null,"root_turn_id":"{self.turn_id}"}}'
            )
        self.event(
            "task_started",
            f'{attribution},"turn_id":"{self.turn_id}"{root},"started_at":{self.now_ms // 1_000},'
            '"model_context_window":258400,"collaboration_mode_kind":"default"',
        )

    def environment(self, *, is_first: bool) -> None:
        where = f"  <cwd>{self.cwd}</cwd>\\n  <shell>bash</shell>\\n" if is_first else ""
        day = f"{datetime.fromtimestamp(self.now_ms // 1_000, UTC):%Y-%m-%d}"
        text = (
            f"<environment_context>\\n{where}  <current_date>{day}</current_date>\\n  <timezone>Etc/UTC</timezone>\\n"
        )
        text += f"  {_FILESYSTEM % self.cwd}\\n</environment_context>"
        self._message("user", f'"{text}"', _context(self, "environments.environment_context"))

    def world_state(self, skills: str | None) -> None:
        """All of it with `skills`, what changed without."""
        files = _FILESYSTEM % self.cwd
        if skills is None:
            digest = f"{self.rng.getrandbits(160):040x}"
            self.put(
                "world_state",
                f'{{"full":false,"state":{{"environments":{{"filesystem":"{files}"}},'
                f'"permissions":{{"instructions":"{digest}"}}}}}}',
            )
            return
        day = f"{datetime.fromtimestamp(self.now_ms // 1_000, UTC):%Y-%m-%d}"
        self.put(
            "world_state",
            '{"full":true,"state":{"agents_md":{},"apps_instructions":false,"collaboration_mode":{"mode":"default",'
            f'"model":"{self.model}","instructions":"{self.rng.getrandbits(160):040x}"}},"context_window_guidance":"",'
            f'"environments":{{"environments":{{"local":{{"cwd":"{self.cwd}","status":"available","shell":"bash"}}}},'
            f'"current_date":"{day}","timezone":"Etc/UTC","filesystem":"{files}"}},"environments_instructions":false,'
            f'"git_attribution":false,"host_skills":{{"body":"{skills}"}}}}}}',
        )

    def turn_context(self) -> None:
        ids = f'"turn_id":"{self.turn_id}",'
        if self.has_records:
            ids += f'"root_turn_id":"{self.turn_id}","disabled_plugin_ids":[],'
        self.put(
            "turn_context",
            f'{{{ids}"cwd":"{self.cwd}","approval_policy":"never","approvals_reviewer":"user",{_SANDBOX},'
            f'"active_permission_profile":{{"id":":read-only"}},"model":"{self.model}",{_MODE % self.model},'
            '"multi_agent_version":"v1","realtime_active":false,'
            '"summary":"none","sandbox_policy":{"type":"read-only"}}',
        )

    def settings(self) -> None:
        if self.version < "0.144":
            return
        who = f',"thread_id":"{self.thread_id}"' if self.has_records else ""
        self.event(
            "thread_settings_applied",
            f'{who},"thread_settings":{{"model":"{self.model}","model_provider_id":"openai","approval_policy":"never",'
            f'"approvals_reviewer":"user","requested_approvals_reviewer":"user",{_SANDBOX},"cwd":"{self.cwd}",'
            f'"runtime_workspace_roots":["{self.cwd}"],{_MODE % self.model},"disabled_plugin_ids":[]}}',
        )

    # What happens in a turn

    def user_says(self, text: str) -> None:
        said = quoted(text)
        message_id = f"msg_{self.uuid()}"
        self._message("user", said, self._spoken(message_id, "user", "user.text"), name=message_id)
        if self.is_paginated:
            self.item("UserMessage", self.uuid(), f',"content":[{{"type":"text","text":{said},"text_elements":[]}}]')
        else:
            self.event("user_message", f',"message":{said},"images":[],"local_images":[],"text_elements":[]')

    def agent_says(self, text: str, *, is_item: bool = True) -> None:
        said = quoted(text)
        message_id = f"msg_{self.rng.getrandbits(24):06x}"
        if not is_item:
            pass
        elif self.is_paginated:
            self.item("AgentMessage", message_id, f',"content":[{{"type":"Text","text":{said}}}]')
        else:
            self.event("agent_message", f',"message":{said},"phase":null,"memory_citation":null')
        self._message("assistant", said, self._spoken(message_id, "assistant", "unknown"), name=message_id)

    def thinks(self, summary: str, encrypted: str) -> None:
        said, name = quoted(f"**{summary}**"), f"rs_{self.rng.getrandbits(24):06x}"
        if self.is_paginated:
            self.item("Reasoning", name, f',"summary_text":[{said}],"raw_content":[]')
        else:
            self.event("agent_reasoning", f',"text":{said}')
        self.response(
            "reasoning",
            f',"id":"{name}","summary":[{{"type":"summary_text","text":{said}}}],"content":null,'
            f'"encrypted_content":"{encrypted}"',
        )

    def calls(self, tool: str, arguments: str) -> str:
        """A call of a tool; `arguments` is JSON. Its id comes back."""
        name = f"{self.rng.getrandbits(32):08x}"
        self.response(
            "function_call",
            f',"id":"fc_{name}","name":"{tool}","arguments":{quoted(arguments)},"call_id":"call_{name}"',
            about=f',"user_input_order":{self._sequence // 3}',
        )
        return f"call_{name}"

    def patches(self, path: str, added: str) -> None:
        """A patch and its answer, as the model writes it and as Codex reports it."""
        name = f"call_{self.rng.getrandbits(32):08x}"
        body = quoted(f"*** Begin Patch\n*** Update File: {path}\n@@\n-{added[::-1]}\n+{added}\n*** End Patch")
        answer = "Success. Updated the following files:\\nM " + path
        self.response(
            "custom_tool_call",
            f',"id":"ctc_{name}","status":"completed","call_id":"{name}","name":"apply_patch","input":{body}',
        )
        change = quoted(f"@@ -1 +1 @@\n-{added[::-1]}\n+{added}\n")
        changes = f'{{"{self.cwd}/{path}":{{"type":"update","unified_diff":{change},"move_path":null}}}}'
        if self.is_paginated:
            self.item("FileChange", name, f',"changes":{changes},"status":"completed","stdout":"{answer}","stderr":""')
        else:
            self.event(
                "patch_apply_end",
                f',"call_id":"{name}","turn_id":"{self.turn_id}","stdout":"{answer}","stderr":"","success":true,'
                f'"changes":{changes},"status":"completed"',
            )
        output = f"Exit code: 0\\nWall time: 0.1 seconds\\nOutput:\\n{answer}\\n"
        self.response("custom_tool_call_output", f',"call_id":"{name}","output":"{output}"')

    def command_ended(self, call_id: str, command: str, output: str, code: int, spent_ms: int) -> None:
        """The item of a command; not every command gets one."""
        line, printed = quoted(command), quoted(output)
        self.item(
            "CommandExecution",
            call_id,
            f',"process_id":"{self.rng.randrange(1_000, 99_999)}","command":["/bin/bash","-lc",{line}],'
            f'"cwd":"file://{self.cwd}","parsed_cmd":[{{"type":"unknown","cmd":{line}}}],"source":"unified_exec_startup",'
            f'"status":"{"failed" if code else "completed"}","aggregated_output":{printed},"exit_code":{code},'
            f'"duration":{{"secs":{spent_ms // 1_000},"nanos":{spent_ms % 1_000 * 1_000_000}}}',
            self.now_ms - spent_ms,
        )

    def answers(self, call_id: str, output: str) -> None:
        name = f'"id":"fco_{self.uuid()}",' if self.is_paginated else ""
        self.response(
            "function_call_output",
            f',{name}"call_id":"{call_id}","output":{quoted(output)}',
            more=f',"create_time":{self.now_ms / 1_000}',
            about=',"fallback_token_limit_override":3000',
        )

    # What it cost

    def costs(self, tokens: Tokens) -> None:
        """The record of one response; the running total follows with `counts`."""
        self.total = _sum(self.total, tokens)
        self._turn_total = _sum(self._turn_total, tokens)
        if self.has_records:
            self.put(
                "token_usage_record",
                f'{{"thread_id":"{self.thread_id}","turn_id":"{self.turn_id}","session_id":"{self.thread_id}",'
                f'"root_turn_id":"{self.turn_id}","response_id":"resp_{self.rng.getrandbits(64):016x}",'
                f'"usage":{_usage(tokens)},"turn_token_usage":{_usage(self._turn_total)},'
                f'"thread_token_usage":{_usage(self.total)}}}',
            )

    def counts(self, tokens: Tokens | None) -> None:
        """The running total with the last response in it; None before the first one."""
        if tokens is None:
            self.event("token_count", f',"info":null,{_LIMITS}')
            return
        mark = '"last_usage_includes_reasoning":false,' if self.has_records else ""
        self.event(
            "token_count",
            f',"info":{{"total_token_usage":{_usage(self.total)},"last_token_usage":{_usage(tokens)},{mark}'
            f'"model_context_window":258400}},{_LIMITS}',
        )

    # Ends

    def completes(self, message: str | None, error: tuple[str, str] | None = None) -> None:
        root = f',"root_turn_id":"{self.turn_id}"' if self.has_records else ""
        failure = f',"error":{{"message":{quoted(error[0])},"codex_error_info":"{error[1]}"}}' if error else ""
        if error and not self.is_paginated:
            self.event("error", f',"message":{quoted(error[0])},"codex_error_info":"{error[1]}"')
        self.event(
            "task_complete",
            f'{root},"turn_id":"{self.turn_id}","last_agent_message":{quoted(message) if message else "null"}{failure},'
            f'"started_at":{self._turn_began_ms // 1_000},"completed_at":{self.now_ms // 1_000},'
            f'"duration_ms":{self.now_ms - self._turn_began_ms},'
            f'"time_to_first_token_ms":{self.rng.randrange(300, 3_000)}',
        )

    def aborts(self) -> None:
        self._message("user", f'"{_ABORTED}"', _context(self, "generic.turn_aborted"))
        root = f',"root_turn_id":"{self.turn_id}"' if self.has_records else ""
        self.event(
            "turn_aborted",
            f'{root},"turn_id":"{self.turn_id}","reason":"interrupted","started_at":{self._turn_began_ms // 1_000},'
            f'"completed_at":{self.now_ms // 1_000},"duration_ms":{self.now_ms - self._turn_began_ms}',
        )

    def compacts(self, summary: str, history: str) -> None:
        """The summary, and the history that takes the place of the old one."""
        said = quoted(summary)
        self.put(
            "compacted",
            f'{{"message":{said},"replacement_history":[{{"type":"message","id":"msg_{self.uuid()}","role":"developer",'
            f'"content":[{{"type":"input_text","text":"{history}"}}]}},{{"type":"message","id":"msg_{self.uuid()}",'
            f'"role":"user","content":[{{"type":"input_text","text":{said}}}]}}],"window_number":1,'
            f'"window_id":"{self.uuid()}"}}',
        )
        if self.is_paginated:
            self.item("ContextCompaction", self.uuid(), "")

    def permissions(self, skills: str = "") -> None:
        """Context in the developer's name; `skills` is the inside of a JSON string."""
        text = f'"{skills}{_PERMISSIONS}"'
        self._message("developer", text, _context(self, "permissions.instructions"))

    def _message(self, role: str, text: str, extra: tuple[str, str], *, name: str = "") -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        named = f'"id":"{name or f"msg_{self.uuid()}"}",' if self.is_paginated else ""
        body = f',{named}"role":"{role}","content":[{{"type":"{kind}","text":{text}}}]'
        self.response("message", body, more=extra[0], about=extra[1])

    def _spoken(self, message_id: str, role: str, kind: str) -> tuple[str, str]:
        at = f',"create_time":{self.now_ms / 1_000}' if role == "user" else ""
        origin = ',"content_item_metadata":[{"provenance":{"type":"user"}}]' if role == "user" else ""
        source = (
            f',"retained_source":{{"id":{{"message_id":"{message_id}","turn_id":"{self.turn_id}","role":"{role}"}},'
            f'"revision":"retained_{self.uuid()}","complete":true}}'
        )
        order = f',"user_input_order":{self._sequence // 3}' + (',"mcp_attribution":{"status":"none"}' if at else "")
        return f'{at},"content_item_kinds":["{kind}"]{origin}', source + order


def _context(lines: Lines, kind: str) -> tuple[str, str]:
    """What goes with context that the harness adds."""
    at = f',"create_time":{lines.now_ms / 1_000}'
    origin = '"content_item_metadata":[{"provenance":{"type":"harness","hook":false}}]'
    return f'{at},"content_item_kinds":["{kind}"],{origin}', ""


def _usage(tokens: Tokens) -> str:
    given, cached, written, output, reasoning = tokens
    return (
        f'{{"input_tokens":{given},"cached_input_tokens":{cached},"cache_write_input_tokens":{written},'
        f'"output_tokens":{output},"reasoning_output_tokens":{reasoning},"total_tokens":{given + output}}}'
    )


def _sum(one: Tokens, two: Tokens) -> Tokens:
    return one[0] + two[0], one[1] + two[1], one[2] + two[2], one[3] + two[3], one[4] + two[4]
