"""A worker that is well until its first prompt and then does harm, as its first argument says. Standard library only.

Everything here is bounded, so that it is no danger to a machine that runs it without a gateway: a bomb forks PROCESSES
times, a hog takes MEMORY bytes, and whatever would go on for ever ends after SECONDS.
"""

import json
import os
import signal
import sys
import time

PROCESSES = 200
MEMORY = 256 << 20
SECONDS = 60

mode = sys.argv[1]
victim = sys.argv[2] if len(sys.argv) > 2 else ""
over = time.monotonic() + SECONDS


def send(message):
    message["jsonrpc"] = "2.0"
    os.write(1, json.dumps(message).encode() + b"\n")


def answer(request, **result):
    send({"id": request["id"], "result": result})


def say(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


def linger():
    while time.monotonic() < over:
        time.sleep(0.5)
    os._exit(0)


def pour(descriptor, block):
    while time.monotonic() < over:
        os.write(descriptor, block)
    os._exit(0)


def flood(request):
    while time.monotonic() < over:
        say("x" * 4000)


def flood_noise(request):
    pour(1, b"no protocol\n" * 4096)


def flood_errors(request):
    pour(2, b"complaint\n" * 4096)


def line(request):
    """One line of a gibibyte."""
    block = b"x" * (1 << 20)
    for _ in range(1024):
        os.write(1, block)


def close_output(request):
    os.close(1)
    linger()


def bomb(request):
    for _ in range(PROCESSES):
        try:
            if os.fork() == 0:
                linger()
        except OSError:
            break
    linger()


def bounded_bomb(request):
    """Forks until it may no more, and so does all that it makes. Only if it could make too many does it answer."""
    own = os.getpid()
    tokens, store = os.pipe()
    reader, writer = os.pipe()
    os.write(store, b"x" * PROCESSES)
    for descriptor in (tokens, reader):
        os.set_blocking(descriptor, False)
    try:
        while True:
            os.read(tokens, 1)
            if os.fork() == 0:
                os.write(writer, b"x")
    except BlockingIOError:
        pass
    time.sleep(0.3)
    if os.getpid() != own:
        linger()
    made = len(os.read(reader, PROCESSES))
    if made < 20:
        linger()
    say("made %d" % made)
    answer(request, stopReason="end_turn")


def hog(request):
    taken = []
    while sum(map(len, taken)) < MEMORY:
        taken.append(bytearray(os.urandom(1 << 10)) * (4 << 10))
    linger()


def daemon(request):
    """A process outside the tree and the session, with the pipe in its hands, and the end of its parent."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            linger()
        os._exit(0)
    os.wait()
    os._exit(0)


def deaf(request):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    linger()


def wrong_turn(request):
    answer({"id": request["id"] + 1000}, stopReason="end_turn")
    linger()


def two_replies(request):
    say("one")
    answer(request, stopReason="end_turn")
    say("two")
    answer(request, stopReason="end_turn")


def invalid_bytes(request):
    for _ in range(20):
        os.write(1, b"\xff\xfe\x00{\xc3\x28}\x80\n")
    linger()


def links(request):
    """Symbolic links to what is not ours, where the gateway may walk, write or remove."""
    for name in ("work", "home", "tmp"):
        for target in ("/etc", victim, "..", "../..", "/proc/self/fd"):
            try:
                os.symlink(target, os.path.join("..", name, "link-%d" % abs(hash(target))))
            except OSError:
                pass
    say("linked")
    answer(request, stopReason="end_turn")


def swap_home(request):
    """The home that the next worker would be given is somewhere else."""
    os.rename("../home", "../was-home")
    os.symlink(victim, "../home")
    say("swapped")
    answer(request, stopReason="end_turn")


for request in map(json.loads, sys.stdin):
    if request.get("method") == "initialize":
        answer(request, protocolVersion=1, agentCapabilities={})
    elif request.get("method") == "session/new":
        answer(request, sessionId="s")
    elif request.get("method") == "session/prompt":
        globals()[mode.replace("-", "_")](request)
if mode == "deaf":
    linger()
