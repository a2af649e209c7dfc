"""Asking a running recorder how it is.

Owns the question. Does not own the answer (state.py).
Invariant: whatever answers there, and however, there is an answer of ours or none.
"""

import contextlib
import http.client
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from armarius.recorder.access import TOKEN_HEADER
from armarius.recorder.state import ProxyState

__all__ = ["STATUS_PATH", "ask_state"]

STATUS_PATH = b"/armarius/status"
_ASK_S = 5.0
_LARGEST_STATE = 1 << 20


def ask_state(base_url: str, token: str) -> ProxyState | None:
    """What a recorder at `base_url` says of itself; None when nothing of ours answers there."""
    try:
        parts = urlsplit(base_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ASK_S)
        with contextlib.closing(connection):
            connection.request("GET", STATUS_PATH.decode(), headers={TOKEN_HEADER: token})
            answer = connection.getresponse()
            return (
                msgspec.json.decode(answer.read(_LARGEST_STATE), type=ProxyState)
                if answer.status == HTTPStatus.OK
                else None
            )
    except (OSError, ValueError, http.client.HTTPException, msgspec.MsgspecError):
        return None
