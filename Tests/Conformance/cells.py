"""The cells of the matrix: what is done to an agent's conversation, and what has to come of it.

A cell returns its evidence, raises `Cannot` for what the agent itself does not offer, and anything else for a failure.
"""

import os
import pathlib
import re
import secrets
import signal
import time

from installation import Installation, wait_until

PATIENCE = 150


class Cannot(Exception):
    """The agent has no such thing; the text is the evidence."""


class Conversation:
    """One conversation with one agent, through nginx."""

    def __init__(self, installation: Installation, name: str, agent, report: dict, random):
        self.installation, self.name, self.agent, self.report = installation, name, agent, report
        self.id = f"c-{random.getrandbits(40):010x}"
        self.word = f"plum{random.getrandbits(32):08x}"
        self.path = f"/v1/agents/{name}/conversations/{self.id}"
        self.was_greeted = False

    def send(self, directive: str) -> tuple[str, str]:
        """The turn's id, and a mark by which the model's log tells what was asked for it."""
        mark = secrets.token_hex(6)
        text = f"Case {mark}: {directive}"
        turn = self.installation.call("POST", f"{self.path}/turns", {"input": text})["turn"]["id"]
        return turn, mark

    def turn(self, turn: str, wait: int = 0) -> dict:
        return self.installation.call("GET", f"/v1/turns/{turn}?wait={wait}")["turn"]

    def outcome(self, turn: str, seconds: float = PATIENCE) -> dict:
        return wait_until(f"the outcome of {turn}", lambda: self.turn(turn, 20)["outcome"], seconds)

    def completed(self, turn: str) -> str:
        outcome = self.outcome(turn)
        assert outcome["state"] == "completed", f"{outcome['state']} {outcome['code']}: {outcome['message']}"
        return self.ungreeted(outcome["reply"] or "")

    def ungreeted(self, text: str) -> str:
        """The text without the agent's greeting, of which is taken note."""
        rest = re.sub(f"^{self.agent.greeting}", "", text) if self.agent.greeting else text
        self.was_greeted = self.was_greeted or rest != text
        return rest

    def say(self, directive: str) -> str:
        return self.completed(self.send(directive)[0])

    def events(self, turn: str) -> list[dict]:
        page = self.installation.call("GET", f"{self.path}/events?after=0&limit=1000")
        return [event for event in page["events"] if event["turn"] == turn]

    def texts(self, turn: str) -> list[str]:
        return [event["text"] for event in self.events(turn) if event["type"] == "delta"]

    def record(self) -> dict:
        return self.installation.call("GET", self.path)

    def question(self, turn: str) -> dict:
        def pending():
            found = self.installation.call("GET", "/v1/approvals?state=pending&limit=1000")["approvals"]
            mine = [one for one in found if one["turn"] == turn]
            outcome = self.turn(turn)["outcome"]
            if not mine and outcome:
                raise Cannot(f"asked nothing: {outcome['state']} {str(outcome['reply'])[:80]!r}")
            return mine and mine[0]

        return wait_until("the question", pending, PATIENCE)

    def decide(self, question: dict, decision: str) -> None:
        self.installation.call("POST", f"/v1/approvals/{question['id']}", {"decision": decision})

    def runs_on(self, turn: str, mark: str) -> None:
        """Waits until the model's slow words come, or, where the agent keeps them to itself, until it has asked for them."""
        def has_begun():
            outcome = self.turn(turn)["outcome"]
            assert not outcome, f"ended too early: {outcome}"
            return self.texts(turn) if self.agent.streams else self.installation.model.requests(mark)

        wait_until("words of the turn", has_begun, PATIENCE)

    def remember(self) -> None:
        assert "remember" in self.say(f"[[remember {self.word}]]")

    def recalls(self) -> str:
        """Asks for the word, and says how the model came to know it."""
        turn, mark = self.send("[[recall]]")
        reply = self.completed(turn)
        assert self.word in reply, f"the reply is {reply[:120]!r}"
        sent = self.installation.model.requests(mark)
        assert sent, "the model's log has no such request"
        # The first: an agent may ask for a title of all of it afterwards.
        users = [one for one in sent[0]["messages"] if one["role"] == "user" and self.word in str(one["content"])]
        assert users, "the model was not sent the word"
        told = mark in str(users[-1]["content"])
        assert told or sent[0]["messages"].index(users[-1]) < len(sent[0]["messages"]) - 1
        how = "in a transcript told by the gateway" if told else "in the agent's own history"
        if told and not self.report.get("loads_sessions"):
            how += " (the agent offers no session/load)"
        context = [event["context"] for event in self.events(turn) if event["type"] == "context"]
        return f"the model was sent the word {how}, context {context[0] if context else 'of the same worker'}"


def stream(one: Conversation) -> str:
    turn, _ = one.send("[[slow 12]]")
    reply = one.completed(turn)
    words = [f"word{number}" for number in range(12)]
    assert reply.split() == words, f"the reply is {reply[:120]!r}"
    texts = one.texts(turn)
    assert one.ungreeted("".join(texts)).split() == words, "the deltas are not the reply"
    greeted = ", behind the agent's own greeting" if one.was_greeted else ""
    if not one.agent.streams:
        return f"whole reply in one piece{greeted}: the agent does not stream"
    assert len(texts) > 2, f"{len(texts)} deltas"
    return f"{len(texts)} deltas{greeted}"


def asked(one: Conversation) -> tuple[str, str, dict]:
    file = f"f-{one.word}"
    turn, _ = one.send(f"[[tool {one.agent.command.format(file=file)}]]")
    return turn, file, one.question(turn)


def allowed(one: Conversation) -> str:
    turn, file, question = asked(one)
    assert not one.installation.file_is_there(file), "the tool ran before it was allowed"
    one.decide(question, "allow")
    reply = one.completed(turn)
    assert one.installation.file_is_there(file), f"the tool's file is not there; the reply is {reply[:120]!r}"
    return f"asked {question['tool']['name']!r}, ran, {reply[:40]!r}"


def denied(one: Conversation) -> str:
    turn, file, question = asked(one)
    one.decide(question, "deny")
    outcome = one.outcome(turn)
    assert not one.installation.file_is_there(file), "the tool ran although it was denied"
    assert outcome["state"] == "completed", f"{outcome['state']} {outcome['code']}: {outcome['message']}"
    assert one.say("[[echo still here]]").strip() == "still here"
    return f"did not run, {str(outcome['reply'])[:60]!r}; next turn answered"


def cancelled(one: Conversation, turn: str) -> float:
    begin = time.monotonic()
    one.installation.call("POST", f"/v1/turns/{turn}/cancel")
    outcome = one.outcome(turn)
    assert outcome["state"] == "cancelled", f"{outcome['state']} {outcome['code']}: {outcome['message']}"
    return time.monotonic() - begin


def cancel_stream(one: Conversation) -> str:
    one.remember()
    turn, mark = one.send("[[slow 600]]")
    one.runs_on(turn, mark)
    seconds = cancelled(one, turn)
    return f"cancelled in {seconds:.1f} s; next turn: {one.recalls()}"


def cancel_asking(one: Conversation) -> str:
    one.remember()
    turn, file, question = asked(one)
    seconds = cancelled(one, turn)
    how = one.recalls()
    assert not one.installation.file_is_there(file), "the tool ran although its turn was cancelled"
    state = one.installation.call("GET", f"/v1/approvals/{question['id']}")["approval"]["state"]
    assert state != "pending", "the question still waits"
    return f"cancelled in {seconds:.1f} s, question {state}; next turn: {how}"


def program(launcher: int) -> int:
    """The process that the gateway's launcher stands for."""
    return int(pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()[0])


def worker_killed(one: Conversation) -> str:
    one.remember()
    turn, mark = one.send("[[slow 600]]")
    one.runs_on(turn, mark)
    os.kill(program(one.record()["worker_pid"]), signal.SIGKILL)
    outcome = one.outcome(turn)
    assert (outcome["state"], outcome["code"]) == ("failed", "worker_exited"), str(outcome)[:200]
    return f"turn failed worker_exited; next turn: {one.recalls()}"


def idle_reap(one: Conversation) -> str:
    one.remember()
    begin = time.monotonic()
    wait_until("the worker to be stopped", lambda: one.record()["replica"] is None, PATIENCE)
    seconds = time.monotonic() - begin
    return f"stopped after {seconds:.0f} s idle; next turn: {one.recalls()}"


def replica_killed(one: Conversation) -> str:
    one.remember()
    before = one.installation.owner(one.name, one.id)
    assert before is not None, "no replica holds the conversation"
    before.kill()
    try:
        how = one.recalls()
        after = one.installation.owner(one.name, one.id)
        assert after is not None and after is not before, f"{after and after.name} answered"
    finally:
        before.start()
        before.wait()
    return f"replica {before.name} killed, {after.name} answered: {how}"


# By their names in the table. The last one ends replicas under everybody's feet, so it is run when nothing else is.
CELLS = {
    "stream": stream,
    "allowed": allowed,
    "denied": denied,
    "cancel stream": cancel_stream,
    "cancel asking": cancel_asking,
    "worker killed": worker_killed,
    "idle reap": idle_reap,
    "replica killed": replica_killed,
}
