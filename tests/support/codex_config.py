"""Codex's `config.toml`, for a home that a test makes.

Owns what it says of the model and of the vendor. Does not own the home.
Invariant: Codex asks the scripted model alone: plugins and telemetry, which are off, look up hosts of the vendor at
each start, and cost a third of a short run.
"""

from typing import Any

import tomli_w

__all__ = ["codex_config"]


def codex_config(base_url: str, *, name: str = "s", provider: dict[str, Any] | None = None, **more: Any) -> str:
    """The file for the model at `base_url`; `provider` and `more` say what is otherwise."""
    said = {"name": name, "base_url": base_url, "wire_api": "responses"}
    said |= {"request_max_retries": 1, "stream_max_retries": 1} | (provider or {})
    config: dict[str, Any] = {"model": "gpt-5.5", "model_provider": name, "model_providers": {name: said}}
    return tomli_w.dumps(config | {"analytics": {"enabled": False}, "features": {"plugins": False}} | more)
