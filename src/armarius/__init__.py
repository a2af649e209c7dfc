"""Runs OpenAI Codex agents under watch, keeps proof, and improves skills behind a held-out gate.

The folders are the parts, in this order; a part imports only from those before it (see
`tests/architecture/test_layers.py`, which holds the list).
"""

__version__ = "0.1.0"
