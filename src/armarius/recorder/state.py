"""What a running recorder says of itself.

Owns the fields. Does not own counting.
Invariant: nothing in it is anybody's words or key.
"""

import msgspec

from armarius.recorder.evolution import EvolutionState
from armarius.recorder.journal import JournalState
from armarius.recorder.pull import SkillsState
from armarius.recorder.snapshots import SnapshotsState

__all__ = ["ProxyState"]


class ProxyState(msgspec.Struct):
    """What a running recorder says of itself (`armarius.proxy_state.v1`). `journal` None: it does not record."""

    pid: int
    since_us: int
    listen: str
    upstream: str
    requests: int = 0
    refused: int = 0
    active: int = 0
    connections: int = 0
    recorded: int = 0
    unrecorded: int = 0
    journal: JournalState | None = None
    trouble: str | None = None
    skills: SkillsState | None = None
    snapshots: SnapshotsState | None = None
    evolution: EvolutionState | None = None
    schema: str = "armarius.proxy_state.v1"
