"""Asking a service to improve skills from what was recorded, and learning what became of it.

Owns the two contracts: jobs (`POST /v1/jobs`, `GET /v1/jobs/ID`), and SkillClaw's `POST /trigger`. Does not own
snapshots, or getting the skills that were published.
Invariant: one order is under way at a time; what is written meanwhile makes the next one. An order has its key before
it is sent and keeps it over every retry and restart, so that a service does its work once. What may have begun at a
service without keys is never sent again.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import ArmariusError, DataError, HostError
from armarius.files import private_folder, write_atomic
from armarius.recorder.outbound import Outbound, Reply

__all__ = ["Api", "Evolution", "EvolutionState", "Job", "JobOrder", "JobState"]

Api = Literal["jobs", "skillclaw"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SYNCHRONOUS_S = 900.0
_FIRST_LOOK_S, _LONGEST_WAIT_S = 1.0, 300.0
_MOST_TRIES = 50
_MOST_SESSIONS = 1_000
_ACCEPTED = (200, 201, 202)
_FORGOTTEN = (404, 410)
_MOST_FORGOTTEN = 3
_LATER = (408, 425, 429, 500, 502, 503, 504)


class JobOrder(msgspec.Struct, frozen=True):
    """The body of `POST /v1/jobs`: the snapshots to learn from, and whom to tell when something is published."""

    sessions: tuple[str, ...]
    callback: str | None = None
    schema: str = "armarius.evolve_order.v1"


class Job(msgspec.Struct, frozen=True):
    """What the service says of a job. `published` are the skills that a pull will find."""

    job_id: str
    state: JobState = "queued"
    published: tuple[str, ...] = ()
    error: str | None = None


class EvolutionState(msgspec.Struct):
    """How it went; `job` is under way."""

    service: str
    waiting: int = 0
    done: int = 0
    failed: int = 0
    job: str | None = None
    trouble: str | None = None


class _Kept(msgspec.Struct):
    """What survives a restart: snapshots that nobody was told of, and the order that is under way."""

    waiting: list[str] = []
    order: JobOrder | None = None
    job: str | None = None
    begun: bool = False


_job = msgspec.json.Decoder(Job)


class Evolution:
    """Orders and follows; used by one thread. `published` is called when there is something to pull."""

    def __init__(
        self,
        service: Outbound,
        folder: Path,
        clock: Clock,
        published: Callable[[], None],
        *,
        api: Api = "jobs",
        callback: str | None = None,
    ) -> None:
        self._service, self._clock, self._published = service, clock, published
        self._api, self._callback = api, callback
        name = hashlib.sha256(service.endpoint.shown.encode()).hexdigest()[:16]
        self._path = private_folder(folder) / f"{name}.json"
        self._kept = self._read()
        self._tries = self._forgotten = 0
        self.state = EvolutionState(service.endpoint.shown, len(self._kept.waiting), job=self._kept.job)

    def note(self, key: str) -> None:
        """A snapshot was written."""
        self._kept.waiting = [*(other for other in self._kept.waiting if other != key), key][-_MOST_SESSIONS:]
        self._keep()

    def step(self) -> float | None:
        """Do what is next; in how many seconds to call again, None: when something was noted."""
        kept = self._kept
        if kept.order is None:
            if not kept.waiting:
                return None
            kept.order, kept.waiting, kept.job, kept.begun = (
                JobOrder(tuple(kept.waiting), self._callback),
                [],
                None,
                False,
            )
            self._tries = self._forgotten = 0
            self._keep()
        try:
            wait = self._trigger() if self._api == "skillclaw" else self._follow() if kept.job else self._send()
        except ArmariusError as error:
            wait = self._later(error)
        return wait if wait is not None else (0.0 if kept.waiting else None)

    @staticmethod
    def key_of(order: JobOrder) -> str:
        """The idempotency key of an order."""
        return hashlib.sha256(msgspec.json.encode(order.sessions)).hexdigest()

    # ---------------------------------------------------------------- jobs

    def _send(self) -> float | None:
        order = self._kept.order
        assert order is not None
        headers = {"idempotency-key": self.key_of(order)}
        reply = self._service.ask("POST", "/v1/jobs", msgspec.json.encode(order), headers)
        if reply.status not in _ACCEPTED:
            return self._refused(reply)
        self._kept.job = _read_job(reply).job_id
        self._tries = 0
        self._keep()
        return self._wait(_FIRST_LOOK_S)

    def _follow(self) -> float | None:
        reply = self._service.ask("GET", f"/v1/jobs/{self._kept.job}")
        if reply.status in _FORGOTTEN and self._forgotten < _MOST_FORGOTTEN:
            return self._forgot()
        if reply.status not in _ACCEPTED:
            return self._refused(reply)
        job = _read_job(reply)
        match job.state:
            case "succeeded":
                return self._over(None, published=bool(job.published))
            case "failed" | "cancelled":
                return self._over(f"job {job.job_id} {job.state}: {job.error or 'no reason was given'}")
            case _:
                self._tries = min(self._tries + 1, 8)
                return self._wait(_FIRST_LOOK_S * 1.5**self._tries)

    def _forgot(self) -> float | None:
        """The service does not know its job any more: the order is sent again, with the key that it had."""
        text = f"{self.state.service} has forgotten job {self._kept.job}"
        self._kept.job = None
        self._forgotten += 1
        self._keep()
        return self._later(HostError("job-forgotten", text, "it is ordered again"))

    # ---------------------------------------------------------------- SkillClaw's way

    def _trigger(self) -> float | None:
        if self._kept.begun:
            return self._over("the recorder ended while SkillClaw was at work; its answer is not known", published=True)
        self._kept.begun = True
        self._keep()
        try:
            reply = self._service.ask("POST", "/trigger", b"{}", seconds=_SYNCHRONOUS_S)
        except HostError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                self._kept.begun = False  # nobody heard it
                self._keep()
                raise
            return self._over(f"{error.message}; it may be at work, and is not asked twice", published=True)
        if reply.status not in _ACCEPTED:
            return self._over(f"{self.state.service}/trigger: status {reply.status}")
        try:
            said: Any = msgspec.json.decode(reply.body)
            uploaded = int(said.get("uploaded_skills") or 0)
        except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, UnicodeError, RecursionError):
            return self._over("SkillClaw's answer cannot be read", published=True)
        return self._over(None, published=uploaded > 0)

    # ---------------------------------------------------------------- ends

    def _refused(self, reply: Reply) -> float | None:
        text = f"{self.state.service}/v1/jobs: status {reply.status}"
        if reply.status in _LATER:
            after = reply.headers.get("retry-after", "")
            wait = float(after) if after.isascii() and after.isdecimal() else 0.0
            return self._later(HostError("service", text, "wait"), least_s=min(wait, _LONGEST_WAIT_S))
        return self._over(text)

    def _later(self, error: ArmariusError, least_s: float = 0.0) -> float | None:
        """Try again, with the same key; not for ever."""
        self._tries += 1
        if self._tries >= _MOST_TRIES or not isinstance(error, HostError):
            return self._over(error.message)
        self.state.trouble = error.message
        return max(least_s, self._wait(min(_FIRST_LOOK_S * 2**self._tries, _LONGEST_WAIT_S)))

    def _over(self, trouble: str | None, *, published: bool = False) -> float | None:
        self._kept.order, self._kept.job = None, None
        self._keep()
        self.state.trouble = trouble
        self.state.done += trouble is None
        self.state.failed += trouble is not None
        if published:
            self._published()
        return None

    def _wait(self, seconds: float) -> float:
        """With jitter: a group of recorders is not to ask in step."""
        return seconds * (1 + self._clock.entropy(1)[0] / 1024)

    def _keep(self) -> None:
        write_atomic(self._path, msgspec.json.encode(self._kept))
        self.state.waiting, self.state.job = len(self._kept.waiting), self._kept.job

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
            return _Kept()


def _read_job(reply: Reply) -> Job:
    try:
        job = _job.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DataError("job", f"the service's answer is no job: {error}", "check its version") from error
    if _JOB_ID.fullmatch(job.job_id) is None:
        raise DataError("job", f"{job.job_id[:80]!r} is no id of a job", "check the service")
    return job
