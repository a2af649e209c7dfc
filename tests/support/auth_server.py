"""The server that renews logins, on loopback: it gives new tokens, and remembers what it was asked.

Owns its answers and the record. Does not own what Codex makes of them.
Invariant: a refresh token works once, as the real ones do; who brings a spent one is told so.
"""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["ACCOUNT", "FIRST", "AuthServer", "jwt", "write_login"]

FIRST = "rt_first"
ACCOUNT = {
    "email": "a@example.org",
    "https://api.openai.com/auth": {"chatgpt_plan_type": "plus", "chatgpt_account_id": "acc"},
}


def jwt(**claims: Any) -> str:
    """A token that nobody signed."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return ".".join((*(part.decode() for part in parts), "c2ln"))


def write_login(codex_home: Path, expires_at: int) -> Path:
    """A login as Codex writes it, whose token expires at a time in seconds; its file."""
    tokens = {
        "id_token": jwt(exp=expires_at, **ACCOUNT),
        "access_token": jwt(exp=expires_at, **ACCOUNT),
        "refresh_token": FIRST,
        "account_id": "acc",
    }
    login = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-11-20T00:00:00Z"}
    file = codex_home / "auth.json"
    file.write_text(json.dumps(login))
    file.chmod(0o600)
    return file


class AuthServer:
    """Give `expires_at` in seconds to every new token; None refuses to renew. `spent` are the refresh tokens."""

    def __init__(self, expires_at: int | None) -> None:
        self.spent: list[str] = []
        self.refused: list[str] = []
        self._good = FIRST
        self._expires_at = expires_at
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Generator["AuthServer"]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            token = asked["refresh_token"]
            if self._expires_at is None or token != self._good:
                self.refused.append(token)
                return 401, {"error": {"code": "refresh_token_reused", "message": "spent"}}
            self.spent.append(token)
            self._good = f"rt_{len(self.spent)}"
            new = jwt(exp=self._expires_at, number=len(self.spent), **ACCOUNT)
            return 200, {"id_token": new, "access_token": new, "refresh_token": self._good}


def _handler(server: AuthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = server.answer(json.loads(body)) if self.path == "/oauth/token" else (404, {})
            self._send(status, answer)

        def do_GET(self) -> None:
            self._send(404, {})

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class named it)
            pass

    return Handler
