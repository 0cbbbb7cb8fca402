"""What people do about an agent's question, each through three doors: the native API, the program, and OpenAI's SDK.

The cells of `cells.py` ask whether an agent fits; these ask whether every client can allow, deny, let expire, and cancel.
"""

import json
import os
import signal
import subprocess
import time
import uuid

from cells import PATIENCE, Cannot, Conversation
from installation import ROOT, TURNPIKE, wait_until

HERE = ROOT / "Tests/Conformance"


class Door:
    """A client of one kind that has asked an agent for something it will not do unasked."""

    def __init__(self, one: Conversation):
        self.one, self.file = one, f"f-{one.word}"
        self.directive = f"[[tool {one.agent.command.format(file=self.file)}]]"

    def did_it(self) -> bool:
        return self.one.installation.file_is_there(self.file)

    def state(self) -> str:
        return self.one.installation.call("GET", f"/v1/approvals/{self.question}")["approval"]["state"]

    def outcome(self) -> dict:
        return self.one.outcome(self.turn)


class API(Door):
    def ask(self) -> None:
        self.turn, _ = self.one.send(self.directive)
        self.question = self.one.question(self.turn)["id"]

    def decide(self, decision: str) -> int:
        try:
            self.one.decide({"id": self.question}, decision)
        except RuntimeError as reason:
            return int(str(reason).split(": ")[1].split()[0])
        return 200

    def cancel(self) -> None:
        self.one.installation.call("POST", f"/v1/turns/{self.turn}/cancel")


class CLI(Door):
    def ask(self) -> None:
        installation = self.one.installation
        environment = {"PATH": os.environ["PATH"], "HOME": str(installation.folder),
                       "TURNPIKE_TOKEN": installation.token, "TURNPIKE_URL": f"http://127.0.0.1:{installation.nginx.port}"}
        words = [str(TURNPIKE), "chat", self.directive, "--agent", self.one.name, "--conversation", self.one.id]
        self.chat = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)

        def listed():
            done = installation.command("approval", "list", "--json")
            assert done.returncode == 0, done.stderr
            mine = [one for one in json.loads(done.stdout)["approvals"] if one["conversation"] == self.one.id]
            if not mine and self.chat.poll() is not None:
                raise Cannot(f"asked nothing: {self.chat.stdout.read()[:80]!r}")
            return mine and mine[0]

        found = wait_until("the question", listed, PATIENCE)
        self.turn, self.question = found["turn"], found["id"]

    def decide(self, decision: str) -> int:
        done = self.one.installation.command("approval", "decide", self.question, decision, "--reason", "as told")
        return 200 if done.returncode == 0 else 410 if "in time" in done.stderr else 500

    def cancel(self) -> None:
        self.chat.send_signal(signal.SIGINT)

    def outcome(self) -> dict:
        try:
            self.chat.communicate(timeout=PATIENCE)
        finally:
            self.chat.kill()
        outcome = super().outcome()
        assert (self.chat.returncode == 0) == (outcome["state"] == "completed"), f"chat ended with {self.chat.returncode}"
        return outcome


class SDK(Door):
    def run(self, *words: str) -> dict:
        installation = self.one.installation
        environment = {"PATH": os.environ["PATH"], "HOME": str(installation.folder), "OPENAI_API_KEY": installation.token,
                       "OPENAI_BASE_URL": f"http://127.0.0.1:{installation.nginx.port}/v1"}
        done = subprocess.run([str(ROOT / ".venv/bin/python"), str(HERE / "openai_client.py"), *words], env=environment,
                              capture_output=True, text=True, timeout=PATIENCE + 20)
        assert done.returncode == 0, done.stderr[-300:]
        return json.loads(done.stdout)

    def ask(self) -> None:
        asked = self.run("ask", self.one.name, self.directive)
        if not asked.get("question"):
            raise Cannot(f"asked nothing: {str(asked)[:80]}")
        self.response, self.item = asked["response"], asked["question"]
        self.question = str(uuid.UUID(self.item.removeprefix("mcpr_")))
        self.turn = self.one.installation.call("GET", f"/v1/approvals/{self.question}")["approval"]["turn"]

    def decide(self, decision: str) -> int:
        found = self.run("decide", self.response, self.item, "yes" if decision == "allow" else "no")
        return found.get("error", 200)

    def cancel(self) -> None:
        self.run("cancel", self.response)


def allow(door: Door) -> str:
    door.ask()
    assert not door.did_it(), "the tool ran before it was allowed"
    assert door.decide("allow") == 200
    outcome = door.outcome()
    assert outcome["state"] == "completed" and door.did_it(), f"{outcome['state']}: {str(outcome['reply'])[:80]!r}"
    return f"ran, {str(outcome['reply'])[:40]!r}"


def deny(door: Door) -> str:
    door.ask()
    assert door.decide("deny") == 200
    outcome = door.outcome()
    assert outcome["state"] == "completed" and not door.did_it(), f"{outcome['state']}, ran: {door.did_it()}"
    return f"did not run, {str(outcome['reply'])[:40]!r}"


def expire(door: Door) -> str:
    """By an agent whose questions wait for seconds only."""
    door.ask()
    begin = time.monotonic()
    wait_until("the question to expire", lambda: door.state() == "expired", PATIENCE)
    seconds = time.monotonic() - begin
    status = door.decide("allow")
    assert status == 410, f"a decision after the expiry is answered {status}"
    outcome = door.outcome()
    assert outcome["state"] == "completed" and not door.did_it(), f"{outcome['state']}, ran: {door.did_it()}"
    return f"expired after {seconds:.1f} s, late decision 410, did not run"


def cancel(door: Door) -> str:
    door.ask()
    begin = time.monotonic()
    door.cancel()
    outcome = door.outcome()
    assert outcome["state"] == "cancelled" and not door.did_it(), f"{outcome['state']}, ran: {door.did_it()}"
    assert door.state() == "withdrawn", door.state()
    return f"cancelled in {time.monotonic() - begin:.1f} s, question withdrawn, did not run"


def cell(act, door):
    return lambda one: act(door(one))


APPROVAL_CELLS = {
    f"{act.__name__} {door.__name__}": cell(act, door) for door in (API, CLI, SDK) for act in (allow, deny, expire, cancel)
}
