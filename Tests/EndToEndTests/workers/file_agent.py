"""An agent like many: it knows nothing of snapshots and keeps its list in a file of its HOME. Standard library only.

The prompt is `item [chunks [seconds]]`: the item goes into the file at once, then come so many chunks with a pause before
each, then the whole list as JSON. Killed in between, it has half a turn in its file.
"""

import json
import os
import sys
import time

PATH = os.path.join(os.environ["HOME"], ".file_agent", "list")


def send(message):
    sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
    sys.stdout.flush()


def say(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


def prompt(request):
    # The last block is the prompt; one before it may tell what was said before, which this agent has in its file.
    words = request["params"]["prompt"][-1]["text"].split()
    os.makedirs(os.path.dirname(PATH), exist_ok=True)
    with open(PATH, "a") as file:
        file.write(words[0] + "\n")
    for number in range(int(words[1]) if len(words) > 1 else 0):
        time.sleep(float(words[2]))
        say(f"{number + 1} ")
    with open(PATH) as file:
        say(json.dumps(file.read().split()))
    send({"id": request["id"], "result": {"stopReason": "end_turn"}})


for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "initialize":
        send({"id": request["id"], "result": {"protocolVersion": 1, "agentCapabilities": {}}})
    elif method == "session/new":
        send({"id": request["id"], "result": {"sessionId": "s"}})
    elif method == "session/prompt":
        prompt(request)
    elif "id" in request and method:
        send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
