"""A list-append agent on the standard library alone, for turns that take as long as a test says.

The prompt is `item [chunks [seconds]]`: it streams so many chunks `1 `, `2 `, … with a pause before each, then the whole
list as JSON. The list lives in blob snapshots only. A cancel in between ends the turn.
"""

import base64
import json
import os
import select
import sys
import time

items = []
pending = b""
lines = []


def send(message):
    os.write(1, (json.dumps(dict(message, jsonrpc="2.0")) + "\n").encode())


def receive(seconds):
    """The next message, or None after so many seconds; None waits for ever. Ends with the input."""
    global pending
    end = None if seconds is None else time.monotonic() + seconds
    while not lines:
        rest = None if end is None else max(0, end - time.monotonic())
        if not select.select([0], [], [], rest)[0]:
            return None
        read = os.read(0, 65536)
        if not read:
            sys.exit(0)
        *whole, pending = (pending + read).split(b"\n")
        lines.extend(whole)
    return json.loads(lines.pop(0))


def say(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


def prompt(message):
    params = message["params"]
    words = "".join(block.get("text", "") for block in params["prompt"]).split()
    chunks = int(words[1]) if len(words) > 1 else 0
    pause = float(words[2]) if len(words) > 2 else 0.05
    for number in range(1, chunks + 1):
        end = time.monotonic() + pause
        while (rest := end - time.monotonic()) > 0:
            said = receive(rest)
            if said and said.get("method") == "session/cancel":
                return send({"id": message["id"], "result": {"stopReason": "cancelled"}})
        say(f"{number} ")
    items.append(words[0])
    say(json.dumps(items))
    wants = params.get("_meta", {}).get("turnpike", {}).get("wants")
    result = {"stopReason": "end_turn"}
    if wants:
        body = json.dumps([words[0]] if wants == "delta" else items).encode()
        snapshot = {"kind": wants, "body": base64.b64encode(body).decode()}
        result["_meta"] = {"turnpike": {"snapshot": snapshot}}
    return send({"id": message["id"], "result": result})


while True:
    request = receive(None)
    method = request.get("method")
    if method == "initialize":
        meta = {"turnpike": {"version": 1, "blob": True}}
        send({"id": request["id"], "result": {"protocolVersion": 1, "agentCapabilities": {"_meta": meta}}})
    elif method == "session/new":
        saved = request["params"].get("_meta", {}).get("turnpike", {}).get("snapshot")
        for part in [saved["base"], *saved.get("deltas", [])] if saved else []:
            items.extend(json.loads(base64.b64decode(part)))
        send({"id": request["id"], "result": {"sessionId": "s"}})
    elif method == "session/prompt":
        prompt(request)
    elif "id" in request and method:
        send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
