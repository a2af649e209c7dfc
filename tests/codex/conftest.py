"""A world with a scripted model for the real Codex."""

from support.worlds import binary, each_world, server, wheel_binary, world

__all__ = ["binary", "each_world", "server", "wheel_binary", "world"]
