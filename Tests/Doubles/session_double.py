"""A worker that keeps its sessions in its home and opens them again, well or badly, as its first argument says.

Each reply is JSON: the session, what its user had said in it before, and the texts of the prompt. Standard library only.
"""

import json
import os
import sys

mode = sys.argv[1]
store = os.path.expanduser("~/sessions.json")
current = None


def send(message):
    sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
    sys.stdout.flush()


def load():
    return json.load(open(store)) if os.path.exists(store) else {}


def save(sessions):
    with open(store, "w") as file:
        json.dump(sessions, file)


def say(session, kind, text):
    update = {"sessionUpdate": kind, "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": session, "update": update}})


def replay(session):
    for text in load()[session]:
        say(session, "user_message_chunk", text)
        say(session, "agent_message_chunk", "replayed")
    update = {"sessionUpdate": "tool_call", "toolCallId": "old", "title": "old"}
    send({"method": "session/update", "params": {"sessionId": session, "update": update}})


def reopen(request, method):
    """Opens an earlier session, or does what its mode does instead."""
    session = request["params"]["sessionId"]
    failure = {"code": -32002, "message": f"{method}: no session {session}"}
    if mode == "dies":
        sys.exit(7)
    if mode == "hangs":
        return None
    if mode == "login":
        return send({"id": request["id"], "error": {"code": -32000, "message": "log in again"}})
    if session not in load() or mode == "broken" or (mode == "half" and method == "session/resume"):
        return send({"id": request["id"], "error": failure})
    if method == "session/load" or mode == "replaying":
        replay(session)
    return send({"id": request["id"], "result": None if method == "session/load" else {}})


def prompt(request):
    session = request["params"]["sessionId"]
    texts = [part["text"] for part in request["params"]["prompt"] if part["type"] == "text"]
    sessions = load()
    if texts[-1] == "refuse":
        return send({"id": request["id"], "result": {"stopReason": "refusal"}})
    say(session, "user_message_chunk", texts[-1])
    say(session, "agent_message_chunk", json.dumps({"session": session, "heard": sessions[session], "texts": texts}))
    sessions[session].append(texts[-1])
    save(sessions)
    total = len(sessions[session])
    return send({"id": request["id"], "result": {"stopReason": "end_turn", "usage": {"totalTokens": 10 * total}}})


def open_new(request):
    sessions = load()
    session = f"s-{len(sessions) + 1}"
    sessions[session] = []
    save(sessions)
    return send({"id": request["id"], "result": {"sessionId": session}})


def initialize(request):
    capabilities = {"loadSession": mode not in ("forgetful", "resume")}
    if mode in ("resume", "replaying", "half"):
        capabilities["sessionCapabilities"] = {"resume": {}, "list": {}}
    send({"id": request["id"], "result": {"protocolVersion": 1, "agentCapabilities": capabilities}})


for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "initialize":
        initialize(message)
    elif method == "session/new":
        open_new(message)
    elif method in ("session/load", "session/resume"):
        reopen(message, method)
    elif method == "session/prompt":
        prompt(message)
