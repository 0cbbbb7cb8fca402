"""An agent that talks for as long as its prompt says, for Tests/Bench/streams. Standard library only.

The prompt is `chunks seconds bytes`: so many chunks of so many bytes, with a pause before each.
"""

import json
import sys
import time


def send(message):
    sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
    sys.stdout.flush()


def talk(text):
    chunks, pause, size = text.split()
    for number in range(int(chunks)):
        time.sleep(float(pause))
        words = f"{number} ".ljust(int(size), "x")
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": words}}
        send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "initialize":
        send({"id": request["id"], "result": {"protocolVersion": 1, "agentCapabilities": {}}})
    elif method == "session/new":
        send({"id": request["id"], "result": {"sessionId": "s"}})
    elif method == "session/prompt":
        talk(request["params"]["prompt"][-1]["text"])
        send({"id": request["id"], "result": {"stopReason": "end_turn"}})
    elif "id" in request and method:
        send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
