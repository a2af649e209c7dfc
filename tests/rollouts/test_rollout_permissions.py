"""What Codex recorded a turn to be allowed, in its own words, and what we make of it.

The recorded policies are those of real runs: read-only and workspace-write from 0.36, 0.106, 0.139 and
0.169, full access, more roots, network and permission profiles from 0.163. The rest is what a version
that we do not know might write.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.rollouts.permissions import Permissions, TurnContext
from armarius.rollouts.reader import read_rollout
from armarius.thread import Sandbox

DATA = Path(__file__).parents[1] / "data" / "rollouts"

READ, WRITE, FULL = Sandbox.READ_ONLY, Sandbox.WORKSPACE_WRITE, Sandbox.DANGER_FULL_ACCESS

ROOT = {"path": {"type": "special", "value": {"kind": "root"}}, "access": "read"}
CWD = {"path": {"type": "path", "path": "/srv/ws"}, "access": "write"}
TEMPORARY = [
    {"path": {"type": "special", "value": {"kind": "slash_tmp"}}, "access": "write"},
    {"path": {"type": "special", "value": {"kind": "tmpdir"}}, "access": "write"},
]
GIT = {
    "path": {"type": "path", "path": "/srv/ws/.git"},
    "access": "read",
    "missing_path_behavior": "skip",
}
EXTRA = {"path": {"type": "path", "path": "/srv/extra"}, "access": "write"}
SECRET = {"path": {"type": "path", "path": "/home/u/.codex/auth.json"}, "access": "deny"}
WORKSPACE = {"type": "workspace-write", "network_access": False, "exclude_slash_tmp": False}


def managed(*entries: dict[str, Any], network: str = "restricted") -> dict[str, Any]:
    restricted = {"type": "restricted", "entries": list(entries)}
    return {"type": "managed", "file_system": restricted, "network": network}


def read_back(**recorded: Any) -> Permissions:
    payload = json.dumps({"cwd": "/srv/ws", **recorded}).encode()
    return msgspec.json.decode(payload, type=TurnContext).permissions


RECORDED: list[tuple[dict[str, Any], Permissions]] = [
    ({}, Permissions()),
    ({"sandbox_policy": None, "permission_profile": None}, Permissions()),
    # 0.36 to 0.58, then to 0.118
    ({"sandbox_policy": {"mode": "read-only"}}, Permissions(READ, network=False)),
    ({"sandbox_policy": {"type": "read-only"}}, Permissions(READ, network=False)),
    ({"sandbox_policy": {"mode": "danger-full-access"}}, Permissions(FULL, network=True)),
    # 0.130 and later: both shapes
    ({"sandbox_policy": {"type": "read-only"}, "permission_profile": managed(ROOT)}, Permissions(READ, network=False)),
    (
        {"sandbox_policy": WORKSPACE, "permission_profile": managed(ROOT, CWD, *TEMPORARY, GIT)},
        Permissions(WRITE, network=False),
    ),
    (
        {
            "sandbox_policy": {"type": "danger-full-access"},
            "permission_profile": {"type": "disabled"},
        },
        Permissions(FULL, network=True),
    ),
    # thread_settings_applied has the profile alone
    ({"permission_profile": managed(ROOT)}, Permissions(READ, network=False)),
    ({"permission_profile": managed(ROOT, CWD, *TEMPORARY, GIT)}, Permissions(WRITE, network=False)),
    ({"permission_profile": {"type": "disabled"}}, Permissions(FULL, network=True)),
    # more than the mode's name says is said beside it
    (
        {
            "sandbox_policy": {
                **WORKSPACE,
                "network_access": True,
                "writable_roots": ["/srv/ws", "/srv/extra"],
            }
        },
        Permissions(WRITE, network=True, writable_roots=frozenset({"/srv/extra"})),
    ),
    ({"sandbox_policy": {"type": "read-only", "network_access": True}}, Permissions(READ, network=True)),
    ({"permission_profile": managed(ROOT, CWD, network="enabled")}, Permissions(WRITE, network=True)),
    # named profiles
    (
        {
            "sandbox_policy": {**WORKSPACE, "writable_roots": ["/srv/extra"]},
            "permission_profile": managed(EXTRA, SECRET, ROOT),
            "file_system_sandbox_policy": {"kind": "restricted", "entries": [EXTRA, SECRET, ROOT]},
        },
        Permissions(WRITE, network=False, writable_roots=frozenset({"/srv/extra"})),
    ),
    ({"permission_profile": managed({**ROOT, "access": "write"}, network="enabled")}, Permissions(FULL, network=True)),
    ({"permission_profile": managed({**ROOT, "access": "write"}, SECRET)}, Permissions(FULL, network=False)),
    (
        {
            "permission_profile": {
                "type": "managed",
                "file_system": {"type": "unrestricted"},
                "network": "restricted",
            }
        },
        Permissions(FULL, network=False),
    ),
    # somebody else's sandbox is none of Codex's
    ({"permission_profile": {"type": "external", "network": "restricted"}}, Permissions(FULL, network=True)),
    ({"sandbox_policy": {"type": "external-sandbox", "network_access": "restricted"}}, Permissions(FULL, network=True)),
    # the whole disk by another name
    (
        {"sandbox_policy": {**WORKSPACE, "writable_roots": ["/"]}},
        Permissions(FULL, network=False, writable_roots=frozenset({"/"})),
    ),
    (
        {"sandbox_policy": {**WORKSPACE, "writable_roots": ["/srv/.."]}},
        Permissions(FULL, network=False, writable_roots=frozenset({"/srv/.."})),
    ),
    ({"cwd": "/", "sandbox_policy": WORKSPACE}, Permissions(FULL, network=False)),
    # records that disagree: the widest
    (
        {"sandbox_policy": {"type": "read-only"}, "permission_profile": {"type": "disabled"}},
        Permissions(FULL, network=True),
    ),
    (
        {"sandbox_policy": {"type": "danger-full-access"}, "permission_profile": managed(ROOT)},
        Permissions(FULL, network=True),
    ),
    (
        {
            "permission_profile": managed(ROOT),
            "file_system_sandbox_policy": {"kind": "unrestricted"},
        },
        Permissions(FULL, network=False),
    ),
    ({"file_system_sandbox_policy": {"kind": "restricted", "entries": [ROOT]}}, Permissions(READ)),
    # words we do not know
    ({"sandbox_policy": {"type": "read-mostly"}}, Permissions(FULL, network=True)),
    ({"sandbox_policy": "read-only"}, Permissions(FULL, network=True)),
    ({"sandbox_policy": {}}, Permissions(FULL, network=True)),
    ({"sandbox_policy": {"type": "read-only", "network_access": "some"}}, Permissions(READ, network=True)),
    ({"permission_profile": {"type": "managed"}}, Permissions(FULL, network=True)),
    ({"permission_profile": managed(ROOT, {**CWD, "access": "append"})}, Permissions(WRITE, network=False)),
    (
        {"permission_profile": managed({"path": {"type": "special", "value": {"kind": "home"}}, "access": "write"})},
        Permissions(FULL, network=False),
    ),
    (
        {"permission_profile": managed({"path": {"type": "glob_pattern", "pattern": "**"}, "access": "write"})},
        Permissions(FULL, network=False),
    ),
    (
        {
            "permission_profile": managed(
                ROOT, {"path": {"type": "glob_pattern", "pattern": "**/*.env"}, "access": "deny"}
            )
        },
        Permissions(READ, network=False),
    ),
]


@pytest.mark.parametrize(("recorded", "expected"), RECORDED)
def test_permissions_are_read_back_and_never_narrower(recorded: dict[str, Any], expected: Permissions) -> None:
    assert read_back(**recorded) == expected


@pytest.mark.parametrize(
    ("policy", "name"),
    [("never", "never"), ("on-request", "on-request"), ({"granular": {}}, "granular"), (None, None)],
)
def test_the_approval_policy_is_named(policy: Any, name: str | None) -> None:
    context = msgspec.json.decode(json.dumps({"approval_policy": policy}), type=TurnContext)

    assert context.approval == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0.36-command", [READ]),
        ("0.118-two-turns", [READ, READ]),
        ("0.163-full-access", [FULL]),
        ("0.163-background", [WRITE]),
        ("0.165-two-turns", [READ, READ]),
        ("0.169-codemode", [WRITE]),
        ("0.169-fork", [READ]),
        ("0.169-legacy-resumed", [READ, WRITE]),
        ("0.169-three-turns", [READ, READ, READ]),
        ("0.169-review-parent", [None]),
    ],
)
def test_each_turn_of_a_real_rollout_has_the_sandbox_it_ran_in(name: str, expected: list[Sandbox | None]) -> None:
    assert [turn.sandbox for turn in read_rollout(DATA / f"{name}.jsonl").turns] == expected


def test_network_and_more_roots_of_a_real_run_are_told() -> None:
    [turn] = read_rollout(DATA / "0.163-background.jsonl").turns

    assert (turn.network, turn.writable_roots) == (True, ("/srv/lab/extra",))
