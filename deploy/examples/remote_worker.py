#!/usr/bin/env python3
"""A remote worker: it acts as one account, claims turns over HTTP and answers for them. Standard library only.

    turnpike account add example seat-17
    turnpike account token ACCOUNT my-machine            # prints the token that enrols workers
    turnpike agent put far --driver remote --file far.json     # {"account": {"provider": "example"}}
    TURNPIKE_TOKEN=tpk_... python3 remote_worker.py --url http://127.0.0.1:7100 -- my-program --flag

The program after -- is run once a turn: prompt on standard input, reply on standard output, which is streamed as it
comes; exit code 0 means completed. Without one, the worker repeats what it was told.

Every request may be sent again: a claim by its key, a batch of events by its number, a question by its number, an
outcome by its turn. So whatever answer is lost is simply asked for again. 409 `fenced` means that the turn is somebody
else's by now, and 413 `output_limit` that it said too much and has failed: stop, and say nothing more about it.
"""

import argparse
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid


class Fenced(Exception):
    """The turn is no longer ours."""


class Gateway:
    def __init__(self, url, token):
        self.url, self.token = url.rstrip("/"), token

    def post(self, path, body, timeout=60):
        """The answer, asked for until there is one."""
        delay = 0.1
        while True:
            request = urllib.request.Request(
                self.url + path,
                json.dumps(body).encode(),
                {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=timeout) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                if error.code == 409 or '"output_limit"' in text:
                    raise Fenced(text) from None
                if error.code < 500 and error.code != 429:
                    raise SystemExit(f"the gateway refuses {path}: {error.code} {text}") from None
            except (OSError, ValueError):
                pass  # The answer was lost, if it was given at all.
            time.sleep(delay)
            delay = min(delay * 2, 5)


class Turn:
    """One assignment, from its claim to its outcome."""

    def __init__(self, gateway, assignment):
        self.gateway, self.assignment = gateway, assignment
        self.path = "/v1/remote/turns/" + assignment["turn"]
        self.ticket = {name: assignment[name] for name in ("attempt", "epoch", "lease")}
        self.batch = 0
        self.over = threading.Event()
        self.cancelled = threading.Event()
        self.lost = threading.Event()
        if assignment["cancel"]:
            self.cancelled.set()

    def post(self, part, **body):
        return self.gateway.post(f"{self.path}/{part}", {**self.ticket, **body})

    def beat(self):
        """Keeps the lease until the turn is over, and hears of a cancel."""
        while not self.over.wait(self.assignment["lease_seconds"] / 3):
            try:
                if self.post("heartbeat")["cancel"]:
                    self.cancelled.set()
            except Fenced:
                return self.lost.set()

    def say(self, text):
        self.batch += 1
        self.post("events", batch=self.batch, events=[{"type": "delta", "text": text}])

    def prompt(self):
        said = [f"User: {e['input']}\nYou: {e['reply']}\n" for e in self.assignment["transcript"]]
        parts = [part["text"] for part in self.assignment["input"] if part.get("type") == "text"]
        return "".join(said) + "\n".join(parts)

    def perform(self, command):
        """The reply and the exit code of the program; streams what it says."""
        if not command:
            reply = self.prompt()
            self.say(reply)
            return reply, 0
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        watch = threading.Thread(target=self.watch, args=(process,), daemon=True)
        watch.start()
        try:
            process.stdin.write(self.prompt())
            process.stdin.close()
        except BrokenPipeError:
            pass
        reply = ""
        for line in process.stdout:
            reply += line
            self.say(line)
        return reply, process.wait()

    def watch(self, process):
        """Ends the program when the turn is cancelled or lost."""
        while process.poll() is None:
            if self.cancelled.wait(0.1) or self.lost.is_set():
                process.terminate()
                return

    def run(self, command):
        threading.Thread(target=self.beat, daemon=True).start()
        try:
            if self.cancelled.is_set():
                return self.post("outcome", state="cancelled")
            reply, code = self.perform(command)
            if self.cancelled.is_set():
                return self.post("outcome", state="cancelled", reply=reply)
            if code == 0:
                return self.post("outcome", state="completed", reply=reply, stop_reason="exit_0")
            message = f"the program ended with {code}"
            return self.post("outcome", state="failed", code="worker_exited", message=message, reply=reply)
        except Fenced:
            self.lost.set()
            raise
        finally:
            self.over.set()


def main():
    parser = argparse.ArgumentParser(description="a remote worker for Turnpike")
    parser.add_argument("--url", default=os.environ.get("TURNPIKE_URL", "http://127.0.0.1:7100"))
    parser.add_argument("--lease", type=int, default=30, help="seconds that it may be silent")
    parser.add_argument("--turns", type=int, default=0, help="end after so many turns (default: never)")
    parser.add_argument("command", nargs="*", help="the program, after --")
    options = parser.parse_args()
    token = os.environ.get("TURNPIKE_TOKEN")
    if not token:
        raise SystemExit("set TURNPIKE_TOKEN to an account's token; see: turnpike help account token")
    gateway = Gateway(options.url, token)
    done = 0
    while not options.turns or done < options.turns:
        claim = {"claim_key": str(uuid.uuid4()), "lease_seconds": options.lease, "wait_seconds": 20}
        assignment = gateway.post("/v1/remote/claims", claim)["assignment"]
        if assignment is None:
            continue
        try:
            print("turn", assignment["turn"], Turn(gateway, assignment).run(options.command)["result"], flush=True)
        except Fenced:
            print("turn", assignment["turn"], "is somebody else's", flush=True)
        done += 1


if __name__ == "__main__":
    main()
