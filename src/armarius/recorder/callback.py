r"""A call from outside that says: there are new skills.

Owns telling the real one from all others. Does not own what is done then.
Invariant: a call counts once, within its time, from an address on the list, and signed with the secret that both
sides have. Whoever lacks one of these learns nothing but that he was refused.

The signature is HMAC-SHA256 over `TIMESTAMP\nNONCE\n` and the body, in hex; the timestamp is in seconds.
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from pathlib import Path

from armarius.clock import Clock
from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.recorder.access import Refusal
from armarius.recorder.secret import made_once

__all__ = ["CALLBACK_PATH", "LARGEST_CALL", "CallGate", "callback_secret", "signed_headers"]

CALLBACK_PATH = b"/armarius/reload"
LARGEST_CALL = 64 << 10
_WINDOW_S = 300
_MOST_NONCES = 10_000
_TIME, _NONCE, _SIGNATURE = "x-armarius-timestamp", "x-armarius-nonce", "x-armarius-signature"
_NONCE_FORM = re.compile(rb"[A-Za-z0-9_-]{16,128}")


def callback_secret(folder: Path, clock: Clock) -> bytes:
    """The secret that the service signs with; made once, to be given to the service."""
    path = made_once(folder / "callback-secret", clock)
    secret = read_bounded(path, 1024).strip()
    if len(secret) < 32:  # noqa: PLR2004  # characters, of a secret that cannot be guessed
        raise DataError("callback-secret", f"{path} holds no secret", "remove it, and start the recorder again")
    return secret


def signed_headers(secret: bytes, body: bytes, clock: Clock) -> dict[str, str]:
    """The headers of a call, as the service makes them."""
    moment = str(clock.now_us() // 1_000_000)
    nonce = clock.entropy(16).hex()
    return {_TIME: moment, _NONCE: nonce, _SIGNATURE: _sign(secret, moment.encode(), nonce.encode(), body)}


class CallGate:
    """Looks at calls. `allowed` are addresses that they may come from."""

    def __init__(self, secret: bytes, clock: Clock, allowed: frozenset[str]) -> None:
        self._secret, self._clock, self._allowed = secret, clock, allowed
        self._nonces = OrderedDict[bytes, int]()

    def refusal(self, peer: str, headers: dict[bytes, bytes], body: bytes) -> Refusal | None:
        """Why a call does not count; `headers` by lower-case name."""
        moment, nonce = headers.get(_TIME.encode(), b""), headers.get(_NONCE.encode(), b"")
        signature = headers.get(_SIGNATURE.encode(), b"").decode("latin-1")
        if peer not in self._allowed:
            return _NO
        if not moment.isdigit() or len(moment) > 12 or _NONCE_FORM.fullmatch(nonce) is None:  # noqa: PLR2004
            return _NO
        wanted = _sign(self._secret, moment, nonce, body)
        if not hmac.compare_digest(signature.encode(), wanted.encode()):
            return _NO
        now = self._clock.now_us() // 1_000_000
        if abs(now - int(moment)) > _WINDOW_S:
            return _NO
        while self._nonces and (next(iter(self._nonces.values())) < now or len(self._nonces) > _MOST_NONCES):
            self._nonces.popitem(last=False)
        if nonce in self._nonces:
            return _NO
        self._nonces[nonce] = max(now, int(moment)) + _WINDOW_S  # so long could it be told again
        return None


_NO = Refusal(403, "callback", "this call is not one of the service's")


def _sign(secret: bytes, moment: bytes, nonce: bytes, body: bytes) -> str:
    return hmac.new(secret, b"%b\n%b\n%b" % (moment, nonce, body), hashlib.sha256).hexdigest()
