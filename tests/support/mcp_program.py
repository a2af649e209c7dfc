"""A small MCP server with one tool, `lookup`, as a program of its own. `silent` says nothing; `rude` no JSON."""

import json
import sys
from typing import Any

for line in sys.stdin:
    asked = json.loads(line)
    if sys.argv[1:] == ["silent"] or "id" not in asked:
        continue
    if sys.argv[1:] == ["rude"]:
        sys.stdout.write("go away\n")
        sys.exit(1)
    answers: dict[str, dict[str, Any]] = {
        "initialize": {
            "protocolVersion": asked.get("params", {}).get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "small", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "lookup", "description": "Looks up.", "inputSchema": {"type": "object"}}]},
    }
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": answers.get(asked["method"], {})}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
