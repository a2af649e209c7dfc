"""`armarius schema`: the JSON Schema of each answer and each file."""

from typing import Any

import click
import msgspec

from armarius.audit.consult import Consultation
from armarius.audit.packet import Packet
from armarius.audit.policy_check import PolicyExplained, PolicyReport, PolicyTest, PolicyWritten
from armarius.audit.run_report import RunsReport
from armarius.audit.stream_events import AuditEvent, HandedOn
from armarius.audit.stream_report import AuditReport
from armarius.audit.streams import Ingested, PruneReport
from armarius.audit.validation import Validation
from armarius.audit.verify import Verification
from armarius.batch.batch import BatchItem, BatchOrder, BatchReport
from armarius.batch.detached import BatchDetached
from armarius.cli.cache.place import Kept
from armarius.cli.doctor.billing import BillingReport
from armarius.cli.doctor.config import ConfigReport
from armarius.cli.doctor.mcp import McpReport
from armarius.cli.gate.plan import GatePlan
from armarius.cli.memory.distill import Distilled
from armarius.cli.memory.place import Remembered
from armarius.cli.output import print_json, say
from armarius.cli.plan.show import PlanShown
from armarius.cli.queued import QueuedMessage
from armarius.cli.runs.asking import Spoken
from armarius.cli.runs.lines import RunList, RunRecord
from armarius.cli.schedule.lines import ScheduleList, ScheduleTimes
from armarius.cli.sessions.search import Found
from armarius.cli.sleep.changes import Changes
from armarius.cli.sleep.harvest import HarvestReport
from armarius.cli.sleep.history import SleepHistory
from armarius.cli.sleep.status import SleepStatus
from armarius.cli.template.copy import TemplateCopied
from armarius.cli.template.list import TemplateList
from armarius.cli.worker import WorkerReport
from armarius.cli.workflow.list import WorkflowList
from armarius.codex.process import Exit
from armarius.demo.flight import FlightReport
from armarius.dispatch.goal import GoalReport
from armarius.dispatch.works import RunWork
from armarius.doctor import Diagnosis
from armarius.errors import UsageError, nearest
from armarius.evolve.explained import Explanation
from armarius.evolve.forecast import Forecast
from armarius.evolve.reflect import SCHEMA as EDITS
from armarius.evolve.rehearsal import Rehearsal
from armarius.evolve.report import NightReport
from armarius.evolve.staging import Change
from armarius.evolve.tasks import TaskFile
from armarius.gate.recorded import Decisions
from armarius.install.codex_skill import SkillReport
from armarius.install.hooks import HooksReport
from armarius.install.profile import ProfileReport
from armarius.install.proxy_doctor import ProxyDiagnosis, ProxyStatus
from armarius.install.scheduling import ScheduleReport
from armarius.lanes.status import LaneList, LaneReports, LaneRow
from armarius.plans.check import CheckReport
from armarius.plans.closing import PlanClosed
from armarius.plans.folder import PlanList
from armarius.plans.resume import Resumption
from armarius.plans.setup import NewPlan, PlansReport
from armarius.proof.receipt import Receipt
from armarius.recorder.exchange import Exchange
from armarius.recorder.state import ProxyState
from armarius.recorder.turns import RecordedSessions
from armarius.resources.report import LeaseReport, ResourceChange, ResourceList, ResourceProbe
from armarius.runs.decisions import Decision
from armarius.runs.request import RunEvent, RunResult
from armarius.sessions.brief import Brief
from armarius.sessions.export import Exported
from armarius.sessions.follow import News
from armarius.sessions.health import Health
from armarius.sessions.listing import Listing
from armarius.sessions.shown import Shown
from armarius.sessions.stats import Stats
from armarius.sessions.sync import Synced
from armarius.sessions.visible import Visibility
from armarius.thread import Thread
from armarius.watch.signals import Signal
from armarius.workflows.engine import WorkflowReport


class _Error(msgspec.Struct, frozen=True, tag_field="schema", tag="armarius.error.v1"):
    """What stands on standard error when a command with --json fails."""

    code: str
    message: str
    hint: str


SHAPES = {
    "audit_event": AuditEvent,
    "audit_exported": HandedOn,
    "audit_ingest": Ingested,
    "audit_prune": PruneReport,
    "audit_report": AuditReport,
    "audit_verify": Verification,
    "batch": BatchReport,
    "batch_detached": BatchDetached,
    "batch_item": BatchItem,
    "batch_order": BatchOrder,
    "brief": Brief,
    "export": Exported,
    "item": News,
    "cache": Kept,
    "change": Change,
    "changes": Changes,
    "decision": Decision,
    "codex_skill": SkillReport,
    "demo": FlightReport,
    "doctor": Diagnosis,
    "doctor_billing": BillingReport,
    "doctor_config": ConfigReport,
    "doctor_mcp": McpReport,
    "doctor_sessions": Health,
    "error": _Error,
    "exit": Exit,
    "gate_plan": GatePlan,
    "gate_replay": Decisions,
    "goal": GoalReport,
    "hooks": HooksReport,
    "lane": LaneRow,
    "lane_status": LaneReports,
    "lanes": LaneList,
    "lease": LeaseReport,
    "memory": Remembered,
    "memory_distilled": Distilled,
    "night": NightReport,
    "packet": Packet,
    "plan": PlanShown,
    "plan_check": CheckReport,
    "plan_closed": PlanClosed,
    "plan_init": PlansReport,
    "plan_new": NewPlan,
    "plan_resume": Resumption,
    "plans": PlanList,
    "policy_check": PolicyReport,
    "policy_explain": PolicyExplained,
    "policy_init": PolicyWritten,
    "policy_test": PolicyTest,
    "queued_message": QueuedMessage,
    "exchange": Exchange,
    "proxy_doctor": ProxyDiagnosis,
    "proxy_profile": ProfileReport,
    "proxy_sessions": RecordedSessions,
    "proxy_state": ProxyState,
    "proxy_status": ProxyStatus,
    "receipt": Receipt,
    "rehearsal": Rehearsal,
    "report": RunsReport,
    "resource": ResourceChange,
    "resource_probe": ResourceProbe,
    "resources": ResourceList,
    "run": RunResult,
    "run_event": RunEvent,
    "run_record": RunRecord,
    "run_work": RunWork,
    "runs": RunList,
    "schedule_times": ScheduleTimes,
    "schedules": ScheduleList,
    "search": Found,
    "session": Shown,
    "sessions": Listing,
    "signal": Signal,
    "sleep_explanation": Explanation,
    "sleep_harvest": HarvestReport,
    "sleep_history": SleepHistory,
    "sleep_plan": Forecast,
    "sleep_schedule": ScheduleReport,
    "sleep_status": SleepStatus,
    "spoken": Spoken,
    "stats": Stats,
    "sync": Synced,
    "tasks": TaskFile,
    "thread": Thread,
    "template": TemplateCopied,
    "templates": TemplateList,
    "worker": WorkerReport,
    "workflow": WorkflowReport,
    "workflows": WorkflowList,
    "consultation": Consultation,
    "validation": Validation,
    "visibility": Visibility,
}


@click.command()
@click.argument("name", required=False)
def command(*, name: str | None) -> int:
    """Print the JSON Schema of an answer or a file.

    NAME is what the answer calls itself; without it, all names are listed.
    """
    if name is None:
        say("\n".join(sorted((*SHAPES, "edits"))))
        return 0
    plain = name.removeprefix("armarius.").removesuffix(".v1")
    if plain == "edits":
        print_json(EDITS)
        return 0
    if plain not in SHAPES:
        raise UsageError("schema-unknown", f"no schema called {name!r}", nearest(plain, (*SHAPES, "edits")))
    print_json(schema_named(plain))
    return 0


def schema_named(plain: str) -> dict[str, Any]:
    """The JSON Schema of one shape; an answer is recognised by the name that it carries."""
    name = f"armarius.{plain}.v1"
    schema = msgspec.json.schema(SHAPES[plain])
    shape = schema["$defs"][SHAPES[plain].__name__]
    if "schema" in shape["properties"] and "schema" not in shape["required"]:
        shape["properties"]["schema"] = {"const": name}
        shape["required"] = [*shape["required"], "schema"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name} | schema
