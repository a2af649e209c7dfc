"""The flags that say how a night works: what it may spend, how it judges, who thinks, and what happens at its end.

Owns the words that may be typed and what they mean. Does not own the night.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec

from armarius import settings as configuration
from armarius.budget import Budget
from armarius.cli.numbers import COUNT, Within
from armarius.clock import SystemClock, rfc3339
from armarius.errors import Failed, HostError, NoAnswer, UsageError
from armarius.evolve.directly import AnEndpoint, ByHand, Directly
from armarius.evolve.endpoint import Endpoint
from armarius.evolve.forecast import Choices
from armarius.evolve.replay import Metric
from armarius.evolve.report import NightReport
from armarius.evolve.thinkers import Handoff, Responses, Thinker
from armarius.install.due import on_battery as machine_on_battery
from armarius.install.scheduling import Notes
from armarius.settings import Settings
from armarius.skills.capability import KINDS, Kind

__all__ = [
    "NIGHTLY",
    "Backend",
    "Terms",
    "check_expected",
    "choices_of",
    "directly_of",
    "thinker_of",
    "why_not_now",
]

Backend: TypeAlias = Literal["mock", "codex", "openai", "handoff"]
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The values of NIGHTLY, by their names."""

    model: str | None = None
    gate: Literal["on", "off"] = "on"
    gate_metric: Metric = "mixed"
    rollouts_k: int = 1
    edit_budget: int = 4
    budget_tokens: int | None = None
    budget_requests: int | None = None
    budget_minutes: float | None = None
    preferences: str = ""
    optimizer_backend: Backend | None = None
    optimizer_model: str | None = None
    target_backend: Backend | None = None
    target_model: str | None = None
    auto_adopt: bool = False
    expect_adopt: bool = False
    allow: tuple[Kind, ...] = ()
    progress: bool = False

    @property
    def budget(self) -> Budget:
        return Budget(tokens=self.budget_tokens, requests=self.budget_requests, minutes=self.budget_minutes)

    def optimizer(self, backend: Backend) -> Backend:
        """Who reflects."""
        return self.optimizer_backend or backend

    def check(self) -> None:
        """UsageError for flags that contradict each other, or that nobody could send."""
        for flag in ("model", "optimizer_model", "target_model", "preferences"):
            if any("\ud800" <= character <= "\udfff" for character in getattr(self, flag) or ""):
                raise UsageError("not-utf8", f"--{flag.replace('_', '-')} is not UTF-8", "type it in UTF-8")
        if self.auto_adopt and self.gate == "off":
            raise UsageError(
                "auto-adopt-ungated",
                "--auto-adopt needs the gate: with --gate off nobody has measured what would become live",
                "leave one of them out, and adopt by hand what you have read",
            )
        if self.target_backend == "handoff" and self.gate == "on":
            raise UsageError(
                "handoff-gate",
                "answers written by hand cannot certify: who writes them sees both texts, and knows the answers before",
                "add --gate off, or let --target-backend be codex or openai",
            )
        if self.target_backend == "openai" and self.auto_adopt:
            raise UsageError(
                "auto-adopt-direct",
                "--auto-adopt needs replays by Codex, which is who will use the skill",
                "leave one of them out, and adopt by hand what you have read",
            )


_CHOICE = click.Choice(["mock", "codex", "openai", "handoff"])
_OPTIONS = (
    click.option("--model", help="The model of replays and reflection.  [default: yours]"),
    click.option("--optimizer-backend", type=_CHOICE, help="Who reflects.  [default: --backend]"),
    click.option("--optimizer-model", help="The model that reflects and rates.  [default: --model]"),
    click.option(
        "--target-backend",
        type=_CHOICE,
        help="Who replays: Codex; openai, a model that gets the text and no tools; handoff, who answers files (with "
        "--gate off).  [default: codex, or mock]",
    ),
    click.option("--target-model", help="The model that replays.  [default: --model]"),
    click.option("--rollouts-k", type=click.IntRange(1, 20), default=1, show_default=True, help="Tries of each task."),
    click.option(
        "--gate",
        type=click.Choice(["on", "off"]),
        default="on",
        show_default=True,
        help="off stages the candidate without judging it, and says so.",
    ),
    click.option("--progress", is_flag=True, help="Say how far it is, also with --json."),
    click.option("--edit-budget", type=click.IntRange(1, 20), default=4, show_default=True, help="Edits at most."),
    click.option("--preferences", default="", help="What you want every edit to respect."),
    click.option(
        "--gate-metric",
        type=click.Choice(["hard", "soft", "mixed"]),
        default="mixed",
        show_default=True,
        help="What a pair is about: all checks together, their share, or half and half.",
    ),
    click.option("--budget-tokens", type=COUNT, help="Stop when so many tokens are used up: 200k, 2M."),
    click.option("--budget-requests", type=COUNT, help="Stop after so many answers of the model."),
    click.option("--budget-minutes", type=Within(0, 10_000_000, min_open=True), help="Stop after so many minutes."),
    click.option("--auto-adopt", is_flag=True, help="Make live at once what the gate certifies."),
    click.option("--expect-adopt", is_flag=True, help="Exit with 1 or 6 unless the gate certifies a candidate."),
    click.option(
        "--allow", type=click.Choice(KINDS), multiple=True, help="For --auto-adopt: say yes to new capabilities."
    ),
)


def NIGHTLY(command: _Command) -> _Command:  # noqa: N802  # stands among the other options
    """All flags of how a night works, handed on as `terms`; a plan takes them all, so that one line does for both."""

    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        terms = Terms(**{name: values.pop(name) for name in Terms.__struct_fields__ if name in values})
        terms.check()
        return command(terms=terms, **values)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]  # click adds its parameters to the function itself


def choices_of(settings: Settings, terms: Terms, backend: Backend, workers: int) -> Choices:
    """What a night of these terms would be, for a forecast."""
    replays, model = terms.target_backend or "codex", terms.model or settings.model
    reflects = terms.optimizer(backend)
    return Choices(
        backend=backend,
        reflects_by="codex" if reflects == "mock" else reflects,
        reflects_on=terms.optimizer_model or model,
        replays_by="codex" if replays == "mock" else replays,
        replays_on=terms.target_model or model,
        rollouts=terms.rollouts_k,
        gate=terms.gate == "on",
        workers=workers,
        budget=terms.budget,
        edits=terms.edit_budget,
        said=len(terms.preferences.encode(errors="replace")),
    )


def thinker_of(settings: Settings, backend: Backend, model: str | None) -> Thinker | None:
    """Whom to ask instead of Codex; None when it is Codex."""
    if backend == "handoff":
        return Handoff(settings.home / "handoff")
    if backend != "openai":
        return None
    chosen = model or settings.model
    if chosen is None:
        raise UsageError("no-model", "the endpoint needs the name of a model", "name --optimizer-model")
    return Responses(_endpoint_of(settings, "--optimizer-backend"), model=chosen, folder=settings.home / "answers")


def directly_of(settings: Settings, terms: Terms) -> Directly | None:
    """Who answers replays instead of Codex; None when it is Codex."""
    if terms.target_backend == "handoff":
        return ByHand(settings.home / "handoff")
    if terms.target_backend != "openai":
        return None
    model = terms.target_model or terms.model or settings.model
    if model is None:
        raise UsageError("no-model", "the endpoint needs the name of a model", "name --target-model")
    return AnEndpoint(_endpoint_of(settings, "--target-backend"), model)


def _endpoint_of(settings: Settings, flag: str) -> Endpoint:
    """The endpoint that the environment names; `flag` is the one that asks for it."""
    key = settings.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise HostError("no-key", "OPENAI_API_KEY is not set", f"set it, or take {flag} codex")
    return Endpoint(settings.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1", key)


def check_expected(report: NightReport) -> None:
    """What --expect-adopt is about: Failed when the gate says no, NoAnswer when it cannot say yet."""
    if report.decision == "adopt":
        return
    message = f"nothing was certified: {report.decision} ({report.reason})"
    if report.decision in ("trial", "continue"):
        raise NoAnswer("undecided", message, "the evidence is kept: run another night")
    raise Failed("not-adopted", message, f"see {report.report}")


def why_not_now(settings: Settings, project: Path, at: datetime, *, on_battery: bool) -> str | None:
    """Why a clock that asks for a night gets none; None when it gets one, which is noted."""
    root = str(configuration.project_root(project).resolve())
    clock = SystemClock()
    notes = Notes(settings.home, clock)
    try:
        zone: tzinfo = ZoneInfo(configuration.local_zone(settings))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = UTC
    if not notes.is_due(root, at.hour, at.minute, zone):
        return f"{rfc3339(clock.now_us())} {root}: no night is due"
    if not on_battery and machine_on_battery():
        return f"{rfc3339(clock.now_us())} {root}: not on battery; it is made up for later"
    notes.begin(root)
    return None
