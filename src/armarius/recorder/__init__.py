"""The Responses proxy: it stands between Codex and its model provider, and keeps what was said."""
