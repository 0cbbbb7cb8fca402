"""A worker that speaks the Agent Client Protocol, well or badly, as its first argument says. Standard library only."""

import base64
import json
import os
import signal
import sys
import time

mode = sys.argv[1] if len(sys.argv) > 1 else "echo"
argument = sys.argv[2] if len(sys.argv) > 2 else ""
blob = mode.startswith("counter") or mode.startswith("snapshot")
state = {"n": 0}
session = "s-1"


def send(message):
    message["jsonrpc"] = "2.0"
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def receive():
    line = sys.stdin.readline()
    if not line:
        if mode == "stubborn":
            while True:
                wait(60)
        sys.exit(0)
    return json.loads(line)


def wait(seconds):
    time.sleep(seconds)


def update(kind, **members):
    send({
        "method": "session/update",
        "params": {"sessionId": session, "update": dict(members, sessionUpdate=kind)},
    })


def say(text):
    update("agent_message_chunk", content={"type": "text", "text": text})


def answer(request, **result):
    # Some agents turn the ids that they are given into strings, or into fractions.
    identity = {"ids": str, "fractions": float}.get(mode, int)(request["id"])
    send({"id": identity, "result": result})


def ask(identity, tool="t-9"):
    send({
        "id": identity,
        "method": "session/request_permission",
        "params": {
            "sessionId": session,
            "toolCall": {"toolCallId": tool, "title": "touch x"},
            "options": [
                {"optionId": "always", "name": "Always", "kind": "allow_always"},
                {"optionId": "once", "name": "Once", "kind": "allow_once"},
                {"optionId": "risky", "name": "Auto", "kind": "allow_once"},
                {"optionId": "no", "name": "Reject", "kind": "reject_once"},
            ],
        },
    })


def setup():
    if mode == "early":
        sys.stderr.write("cannot find my \x1b[31mkeys\x1b[0m\n")
        sys.exit(int(argument))
    if mode == "mute":
        while True:
            wait(60)
    if mode.startswith("boot"):
        wait(float(argument))
    request = receive()
    assert request["method"] == "initialize", request
    assert request["params"]["clientCapabilities"]["terminal"] is False
    if mode == "noise":
        for number in range(int(argument)):
            print("banner", number, flush=True)
    capabilities = {"_meta": {"turnpike": {"blob": True}}} if blob else {}
    if mode in ("parts", "servers", "counter-parts"):
        capabilities.update(json.loads(argument or "{}"))
    answer(
        request,
        protocolVersion=2 if mode == "version2" else 1,
        agentCapabilities=capabilities,
        authMethods=[{"id": "key", "name": "An API key"}, {"id": "browser"}] if mode == "auth" else [],
    )
    request = receive()
    if mode == "boot-shy":
        os._exit(9)
    assert request["method"] == "session/new", request
    assert os.path.samefile(request["params"]["cwd"], os.getcwd())
    if mode == "auth":
        send({"id": request["id"], "error": {"code": -32000, "message": "log in first"}})
        receive()
    state["servers"] = request["params"]["mcpServers"]
    snapshot = request["params"].get("_meta", {}).get("turnpike", {}).get("snapshot")
    if snapshot:
        state["n"] = json.loads(base64.b64decode(snapshot["base"]))["n"]
        for delta in snapshot["deltas"]:
            state["n"] += json.loads(base64.b64decode(delta))["add"]
    if mode == "chatter":
        say("banner before the first prompt")
    answer(request, sessionId=session)


def snapshot(kind, body):
    return {"turnpike": {"snapshot": {"kind": kind, "body": base64.b64encode(body).decode()}}}


def echo(request, text):
    update("agent_thought_chunk", content={"type": "text", "text": "hm"})
    update("tool_call", toolCallId="t-1", title="search", status="pending", rawInput={"q": text})
    update("tool_call_update", toolCallId="t-1", status="completed", rawOutput=[1])
    update("plan", entries=[{"content": "answer"}])
    update("usage_update", used=5, size=10)
    for word in text.split(" "):
        say(word + " ")
    answer(request, stopReason="end_turn", usage={"totalTokens": 3})


def counter(request):
    state["n"] += 1
    state.pop("servers", None)
    wants = request["params"]["_meta"]["turnpike"].get("wants")
    say("n=%d wants=%s" % (state["n"], wants))
    meta = {}
    if wants == "base":
        meta = snapshot("base", json.dumps(state).encode())
    elif wants == "delta":
        meta = snapshot("delta", b'{"add": 1}')
    answer(request, stopReason="end_turn", _meta=meta)


def offer(request):
    if mode == "snapshot-missing":
        answer(request, stopReason="end_turn")
    elif mode == "snapshot-bad":
        meta = {"turnpike": {"snapshot": {"kind": "base", "body": "no base64!"}}}
        answer(request, stopReason="end_turn", _meta=meta)
    elif mode == "snapshot-delta":
        answer(request, stopReason="end_turn", _meta=snapshot("delta", b"{}"))
    else:
        answer(request, stopReason="end_turn", _meta=snapshot("base", b"x" * int(argument)))


def slow(request):
    say("half ")
    if mode == "slow-ask":
        ask("q")
    while True:
        message = receive()
        if mode == "slow-deaf":
            continue
        if message.get("method") == "session/prompt":
            say("and a second prompt")
        if mode == "slow-ask" and "result" in message:
            say("answered=" + message["result"]["outcome"]["outcome"])
        if message.get("method") == "session/cancel":
            if mode == "slow-late":
                ask("late")
                say(receive()["result"]["outcome"]["outcome"])
            if mode == "slow-error":
                send({"id": request["id"], "error": {"code": -32603, "message": "'NoneType' has no attribute 'id'"}})
                return
            stop = {"slow-done": "end_turn", "slow-refusal": "refusal", "slow-odd": "whatever"}.get(mode, "cancelled")
            answer(request, stopReason=stop)
            return


def leave():
    sys.stderr.write("first line\nout of \x07cheese\n")
    sys.stderr.flush()
    if mode == "grandchild":
        import subprocess

        subprocess.Popen(["sleep", "300"])
    if argument == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(int(argument))


def chatter(request):
    update("user_message_chunk", content={"type": "text", "text": "echo of the prompt"})
    update("agent_message_chunk", content={"type": "text", "text": ""})
    update("agent_message_chunk", content={"type": "image", "data": "", "mimeType": "image/png"})
    update("sparkles", anything=[1])
    update("available_commands_update", availableCommands=[])
    update("current_mode_update", currentModeId="code")
    update("config_option_update", configOptions=[])
    update(7)
    send({"method": "session/update", "params": {"sessionId": session, "update": {}}})
    send({"method": "session/update"})
    send({"method": "_session/retrying", "params": {}})
    send({
        "method": "session/update",
        "params": {
            "sessionId": "another",
            "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "foreign"}},
        },
    })
    send({"id": 4711, "result": {}})
    print("", flush=True)
    say("only this")
    answer(request, stopReason="end_turn")
    say("too late")
    print("a stray line", flush=True)


def foreign(request):
    send({"id": 0, "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}})
    reply = receive()
    say("id=%s code=%s" % (json.dumps(reply["id"]), reply["error"]["code"]))
    answer(request, stopReason="end_turn")


def odd_ids(request):
    """Requests that no gateway answers, under every id that JSON can write."""
    codes = []
    for identity in (None, "", "s", 1.5, -1, 2**60, True, [1], {"a": 1}):
        send({"id": identity, "method": "terminal/create", "params": {}})
        reply = receive()
        codes.append([reply["id"] == identity, reply["error"]["code"]])
    send({"id": None, "method": "session/request_permission", "params": {"sessionId": session, "options": []}})
    codes.append(receive().get("id", "lacking"))
    say(json.dumps(codes))
    answer(request, stopReason="end_turn")


def twice(request):
    """Two questions about one tool that nobody has heard of, under ids that only their type tells apart."""
    ask(0, "perm-check-1")
    ask("0", "perm-check-1")
    replies = [receive(), receive()]
    say(json.dumps([[reply["id"], reply["result"]["outcome"]["optionId"]] for reply in replies]))
    answer(request, stopReason="end_turn")


def garble(request):
    """Lines that are no messages, or are with something broken in them."""
    chunk = (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s-1","update":'
        b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%s"}}}}\n'
    )
    lines = [
        b"[" * 100000 + b"\n", b'{"a":' * 5000 + b"\n", b"\xff\xfe\x00\n", chunk % b"a\xff\xc3b", b"[]\n",
        chunk % b"\\u0000\\ud800", b'{"jsonrpc":"2.0"\n', b"\x00\n", chunk % b"\xf0\x9f\x98\x80",
    ]
    for line in lines:
        sys.stdout.buffer.write(line)
    sys.stdout.flush()
    answer(request, stopReason="end_turn")


def usage(request):
    """Totals of the session, or the turn's own figures, as the argument says."""
    state["n"] += 1
    n = state["n"]
    if argument == "totals":
        update("usage_update", used=100 * n, size=1000, cost={"amount": 0.1 * n, "currency": "EUR"})
        answer(request, stopReason="end_turn", usage={"inputTokens": 10 * n, "outputTokens": 3 * n + n * n})
    else:
        answer(request, stopReason="end_turn", usage={"inputTokens": 10 * n, "outputTokens": 9 - n})


def flood_errors(request):
    for _ in range(int(argument)):
        sys.stderr.write("x" * 1023 + "\n")
    sys.stderr.write("the very last\n")
    sys.stderr.flush()
    say("done")
    answer(request, stopReason="end_turn")
    sys.exit(3)


def daemonize(request):
    """Leaves a process behind that has nothing to do with this one: another group, another session, another parent."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        child = os.fork()
        if child == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.write(writer, str(os.getpid()).encode())
            while True:
                wait(60)
        os._exit(0)
    os.wait()
    say(os.read(reader, 20).decode())
    answer(request, stopReason="end_turn")


def permission(request):
    ask(0)
    reply = receive()
    outcome = reply["result"]["outcome"]
    say("%s:%s" % (json.dumps(reply["id"]), outcome.get("optionId", outcome["outcome"])))
    answer(request, stopReason="end_turn")


def limits():
    import resource

    with open("/proc/self/status") as status:
        privileges = [line.split()[1] for line in status if line.startswith("NoNewPrivs")][0]
    return {
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "privileges": privileges,
    }


performances = {
    "ask": permission, "chatter": chatter, "daemon": daemonize, "foreign": foreign, "garble": garble,
    "odd-ids": odd_ids, "stderr": flood_errors, "twice": twice, "usage": usage,
}


def descriptors(_):
    names = [int(name) for name in os.listdir("/proc/self/fd")]
    return json.dumps(sorted(number for number in names if os.path.exists("/proc/self/fd/%d" % number)))


sayings = {
    "descriptors": descriptors,
    "environment": lambda _: json.dumps(dict(os.environ)),
    "files": lambda request: (it := {}, exec(request["params"]["prompt"][-1]["text"], it), str(it.get("reply", "")))[2],
    "error-text": lambda _: "API Error: 500 Internal Server Error",
    "limits": lambda _: json.dumps(limits()),
    "parts": lambda request: json.dumps([part["type"] for part in request["params"]["prompt"]]),
    "servers": lambda _: json.dumps(state["servers"]),
}


def perform(request):
    text = request["params"]["prompt"][-1].get("text", "")
    if mode in performances:
        performances[mode](request)
    elif mode.startswith("boot"):
        say(json.dumps({"at": time.time(), "pid": os.getpid(), "home": os.environ["HOME"]}))
        answer(request, stopReason="end_turn")
    elif mode.startswith("counter"):
        counter(request)
    elif mode.startswith("snapshot"):
        offer(request)
    elif mode.startswith("slow"):
        slow(request)
    elif mode in ("exit", "grandchild"):
        say("half ")
        leave()
    elif mode in sayings and os.environ.get("SEAT") != "full":
        say(sayings[mode](request))
        answer(request, stopReason="end_turn")
    elif mode == "uninvited":
        answer(request, stopReason="end_turn", _meta=snapshot("base", b"x"))
    elif mode == "refusal":
        say("I will not")
        answer(request, stopReason="refusal")
    elif mode == "error" or os.environ.get("SEAT") == "full":
        data = "boom" if mode == "error" else {"turnpike": "no_capacity"}
        send({"id": request["id"], "error": {"code": -32603, "message": "Internal error", "data": data}})
    elif mode == "noisy-turn":
        for number in range(int(argument)):
            print("not json", number, flush=True)
        answer(request, stopReason="end_turn")
    elif mode == "huge":
        say("x" * int(argument))
        answer(request, stopReason="end_turn")
    elif mode == "flood":
        while True:
            say("x" * 1000)
    elif mode == "silent":
        wait(60)
    elif mode == "trickle":
        while True:
            update("sparkles")
            wait(0.1)
    elif mode == "closed":
        os.close(1)
        wait(60)
    else:
        echo(request, text)


if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
setup()
while True:
    incoming = receive()
    if incoming.get("method") == "session/prompt":
        perform(incoming)
