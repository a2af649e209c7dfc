"""A world with a scripted model, and the hooks of its Codex."""

from support.worlds import binary, each_world, server, wheel_binary, world

__all__ = ["binary", "each_world", "server", "wheel_binary", "world"]
