"""A worker that uses its model as its prompts say: an agent of the Agent Client Protocol. Standard library only."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

session = "m-1"


def send(message):
    message["jsonrpc"] = "2.0"
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def update(text, **meta):
    content = {"type": "text", "text": text}
    params = {"sessionId": session, "update": {"sessionUpdate": "agent_message_chunk", "content": content}}
    if meta:
        params["_meta"] = {"turnpike": meta}
    send({"method": "session/update", "params": params})


def call(token, model="m", **more):
    """One call of Chat Completions, as the clients of others make it."""
    body = json.dumps(dict(more, model=model, messages=[{"role": "user", "content": "hi"}])).encode()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)
    request.add_header("Authorization", "Bearer " + token)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return "%d %s" % (answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return "%d %s" % (error.code, error.read().decode())


def perform(text, own):
    verb, _, rest = text.partition(" ")
    key = os.environ.get("OPENAI_API_KEY", "")
    if verb == "backend":
        for name in rest.split():
            update(name + " ", backend=name)
    elif verb == "call":
        update(call(key))
    elif verb == "call-own":
        update(call(own))
    elif verb == "hold":
        update("%s %s " % (key, own))
        while not os.path.exists(rest):
            time.sleep(0.01)
    else:
        update(text)


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        method, params = request.get("method"), request.get("params", {})
        if method == "initialize":
            send({"id": request["id"], "result": {"protocolVersion": 1}})
        elif method == "session/new":
            send({"id": request["id"], "result": {"sessionId": session}})
        elif method == "session/prompt":
            # What was said before may come first.
            perform(params["prompt"][-1]["text"], params["_meta"]["turnpike"].get("token", ""))
            send({"id": request["id"], "result": {"stopReason": "end_turn"}})


main()
