"""A service that improves skills, as a recorder sees one: both contracts, a hub, and calls back.

Owns accepting orders, and publishing what a test wants to be published. Does not own improving anything.
Invariant: it listens on 127.0.0.1 alone; an order with a key that it knows is the job that it already is, and work
is done once for each.

    POST /v1/jobs       202 {"job_id": …}; Idempotency-Key is asked for
    GET  /v1/jobs/ID    {"job_id", "state", "published"}
    POST /trigger       SkillClaw's way: the answer comes when the work is done, and has `uploaded_skills`
    GET  /hub/KEY       the hub, with ETag and If-None-Match
"""

import hashlib
import http.client
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

from armarius.clock import Clock, SystemClock
from armarius.recorder.callback import signed_headers
from armarius.skills.bundle import Bundle, bundle_of
from armarius.skills.hub import MANIFEST, key_of, manifest_line

__all__ = ["EvolveService"]


class EvolveService:
    """Serves from `__enter__` to `__exit__`. `improve` gets the sessions of an order and returns skills: by name the
    files of each. `faults` are statuses that the next requests get in place of an answer.
    """

    def __init__(
        self,
        improve: Callable[[list[str]], Mapping[str, Mapping[str, bytes]]],
        *,
        secret: bytes | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._improve, self._secret, self._clock = improve, secret, clock or SystemClock()
        self._lock = threading.Lock()  # every connection has its thread
        self.hub = dict[str, bytes]()
        self.faults = list[int]()
        self.orders = list[dict[str, Any]]()
        self.requests = list[tuple[str, str, int]]()
        self.jobs = dict[str, dict[str, Any]]()
        self.looks = 1
        """How often a job is asked for until it is done."""
        self._bundles = dict[str, Bundle]()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = False
        cast("Any", self._server).service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def publish(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put a skill into the hub."""
        bundle = bundle_of(name, contents)
        self._bundles[name] = bundle
        self.hub |= {key_of(name, path): data for path, data in contents.items()}
        self.hub[MANIFEST] = b"".join(manifest_line(self._bundles[one]) for one in sorted(self._bundles))

    def withdraw(self, name: str) -> None:
        """Take a skill out of the hub."""
        del self._bundles[name]
        self.hub[MANIFEST] = b"".join(manifest_line(self._bundles[one]) for one in sorted(self._bundles))

    def call_back(self, url: str, headers: Mapping[str, str] | None = None) -> int:
        """Tell a recorder that there is something new; the status of its answer."""
        parts = urlsplit(url)
        body = b'{"event":"published"}'
        signed = signed_headers(self._secret or b"", body, self._clock)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.request("POST", parts.path, body, {**signed, **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    # ---------------------------------------------------------------- what is asked

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            if self.faults:
                status = self.faults.pop(0)
                return status, {"Location": "/elsewhere"} if status // 100 == 3 else {}, b"{}"  # noqa: PLR2004
            if method == "GET" and path.startswith("/hub/"):
                return self._from_hub(unquote(path.removeprefix("/hub/")), headers.get("if-none-match"))
            if (method, path) == ("POST", "/v1/jobs"):
                return self._accept(headers.get("idempotency-key"), json.loads(body))
            if method == "GET" and path.startswith("/v1/jobs/"):
                return self._job(path.rpartition("/")[2])
            if (method, path) == ("POST", "/trigger"):
                published = self._work([])
                return 200, {}, json.dumps({"sessions": 1, "uploaded_skills": len(published)}).encode()
            return 404, {}, b"{}"

    def _from_hub(self, key: str, known: str | None) -> tuple[int, dict[str, str], bytes]:
        data = self.hub.get(key)
        if data is None:
            return 404, {}, b"{}"
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        return (304, {"ETag": etag}, b"") if known == etag else (200, {"ETag": etag}, data)

    def _accept(self, key: str | None, order: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if not key:
            return 400, {}, b'{"error":"Idempotency-Key is missing"}'
        name = f"job_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        if name not in self.jobs:
            self.orders.append(order)
            self.jobs[name] = {"job_id": name, "state": "queued", "looks": 0, "order": order}
        return 202, {}, json.dumps({"job_id": name}).encode()

    def _job(self, name: str) -> tuple[int, dict[str, str], bytes]:
        job = self.jobs.get(name)
        if job is None:
            return 404, {}, b"{}"
        job["looks"] += 1
        if job["state"] == "queued" and job["looks"] >= self.looks:
            job["published"] = self._work(job["order"]["sessions"])
            job["state"] = "succeeded"
            if job["order"].get("callback"):
                self.call_back(job["order"]["callback"])
        told = {field: job[field] for field in ("job_id", "state", "published", "error") if field in job}
        return 200, {}, json.dumps(told).encode()

    def _work(self, sessions: list[str]) -> list[str]:
        skills = self._improve(sessions)
        for name, contents in skills.items():
            self.publish(name, contents)
        return sorted(skills)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def _serve(self) -> None:
        service: EvolveService = cast("Any", self.server).service
        size = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, more, body = service.answer(self.command, self.path, headers, self.rfile.read(size))
        service.requests.append((self.command, self.path, status))
        self.send_response(status)
        for name, value in {**more, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class named it)
        """Nothing: what was asked is in `requests`."""
