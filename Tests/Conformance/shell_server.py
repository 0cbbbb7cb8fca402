"""A tool server over standard input and output (the Model Context Protocol): one tool, which runs a command. Standard
library only. For agents that ask before the tools of such servers and before no others."""

import json
import subprocess
import sys

TOOL = {
    "name": "run_command",
    "description": "Runs a shell command and returns what it printed.",
    "inputSchema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


def result(request):
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        return {"protocolVersion": params.get("protocolVersion", "2025-06-18"), "capabilities": {"tools": {}},
                "serverInfo": {"name": "shell", "version": "1"}}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        done = subprocess.run(params["arguments"]["command"], shell=True, capture_output=True, text=True, timeout=60)
        return {"content": [{"type": "text", "text": done.stdout + done.stderr}], "isError": done.returncode != 0}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "method" in message and "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result(message)}), flush=True)
