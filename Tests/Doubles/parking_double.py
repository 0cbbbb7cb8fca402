"""A worker that asks about calls before it makes them: two questions at once (`asking`), or by parking its turn (`parking`).

Each prompt's text is the calls' names, separated by spaces; a call that is allowed is made by appending its name to the
file of the second argument, one line a call, or by posting it to that URL. A name that ends with `!` is declared
idempotent; one that holds `~` ends the process between the call and its end, the first time; one that holds `%` is begun
with other arguments than were shown. In the mode `unsaid` it parks without having said that it can; in the mode `again` it
parks with every prompt, half a second after it. Standard library only.
"""

import base64
import json
import os
import sys
import time

mode, effects = sys.argv[1], sys.argv[2]
session = "s-1"
state = {"next": 100}


def send(message):
    sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
    sys.stdout.flush()


def receive():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def say(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": session, "update": update}})


def effect(name):
    """One request, or one write with O_APPEND, so that two processes never mix their lines."""
    if effects.startswith("http:"):
        import urllib.request

        urllib.request.urlopen(effects, data=name.encode(), timeout=10).read()
        return
    descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, (name + "\n").encode())
    os.close(descriptor)


def request(method, **params):
    """Asks and waits for the answer; nothing else is expected meanwhile but a cancellation."""
    state["next"] += 1
    send({"id": state["next"], "method": method, "params": dict(params, sessionId=session)})
    while True:
        message = receive()
        if message.get("id") == state["next"] and "method" not in message:
            return message
        if message.get("method") == "session/cancel":
            state["cancelled"] = True


def options():
    return [
        {"optionId": "once", "name": "Once", "kind": "allow_once"},
        {"optionId": "always", "name": "Always", "kind": "allow_always"},
        {"optionId": "no", "name": "No", "kind": "reject_once"},
        {"optionId": "never", "name": "Never", "kind": "reject_always"},
    ]


def asking(prompt, names):
    """All questions at once; each call is made as soon as its own answer comes."""
    for number, name in enumerate(names):
        call = {"toolCallId": name, "title": "call", "rawInput": {"name": name}}
        params = {"sessionId": session, "toolCall": call, "options": options()}
        send({"id": number, "method": "session/request_permission", "params": params})
    made, waiting = [], dict(enumerate(names))
    while waiting:
        message = receive()
        if message.get("id") not in waiting or "result" not in message:
            continue
        name = waiting.pop(message["id"])
        outcome = message["result"]["outcome"]
        if outcome.get("optionId") in ("once", "always"):
            effect(name)
            made.append(name)
    say(" ".join(sorted(made)))
    send({"id": prompt["id"], "result": {"stopReason": "end_turn"}})


def park(prompt, names):
    say("asked ")
    calls = [
        {"call": name, "tool": {"name": "call"}, "arguments": {"name": name}, "options": options(),
         "idempotent": name.endswith("!")}
        for name in names
    ]
    parked = {"continuation": base64.b64encode(json.dumps(names).encode()).decode(), "calls": calls}
    send({"id": prompt["id"], "result": {"stopReason": "parked", "_meta": {"turnpike": {"parked": parked}}}})


def finish(prompt, resume):
    """Makes the calls that are allowed and were not begun, in order, and says what became of each."""
    names = json.loads(base64.b64decode(resume["continuation"]))
    calls = {call["call"]: call for call in resume["calls"]}
    said = []
    for name in names:
        call = calls[name]
        if call["state"] == "done":
            said.append(f"{name}=done before")
            continue
        if call["state"] == "unknown":
            # An agent that would begin it all the same is refused.
            refused = request("_turnpike/call_start", call=name)["result"]
            said.append(f"{name}=unknown{'' if refused['granted'] is False else ' and begun'}")
            continue
        arguments = {"name": "else" if "%" in name else name}
        granted = request("_turnpike/call_start", call=name, arguments=arguments)["result"]
        if not granted["granted"]:
            said.append(f"{name}={granted['state']}")
            continue
        again = request("_turnpike/call_start", call=name)["result"]
        effect(name)
        once = f"{effects}.{name}"
        if "~" in name and not os.path.exists(once):
            open(once, "w").close()
            os._exit(5)
        request("_turnpike/call_done", call=name, result={"made": name})
        said.append(f"{name}=made{' twice' if again['granted'] else ''}")
    say(", ".join(said))
    send({"id": prompt["id"], "result": {"stopReason": "end_turn"}})


def prompted(message):
    resume = message["params"]["_meta"]["turnpike"].get("resume")
    names = message["params"]["prompt"][-1]["text"].split()
    if mode == "asking":
        asking(message, names)
    elif mode == "again":
        time.sleep(0.5)
        park(message, [f"call {len(resume['calls']) if resume else 0}"])
    elif resume:
        finish(message, resume)
    else:
        park(message, names)


while True:
    incoming = receive()
    method = incoming.get("method")
    if method == "initialize":
        capabilities = {"_meta": {"turnpike": {"park": mode != "unsaid"}}}
        send({"id": incoming["id"], "result": {"protocolVersion": 1, "agentCapabilities": capabilities}})
    elif method == "session/new":
        send({"id": incoming["id"], "result": {"sessionId": session}})
    elif method == "session/prompt":
        prompted(incoming)
