#!/usr/bin/env python3
"""An example agent for Turnpike: copy this file and make it yours. Needs nothing but Python 3.8.

An agent is a program that speaks the Agent Client Protocol (https://agentclientprotocol.com): JSON-RPC 2.0, one JSON
object a line, requests in on standard input, answers and updates out on standard output. Write everything that is not
a protocol message to standard error; Turnpike shows its tail when the agent fails.

    gateway                                  this program
    initialize                        ->
                                      <-     which version we speak, and that we can hand over our state
    session/new (with saved state)    ->
                                      <-     a session id
    session/prompt                    ->
                                      <-     session/update (a piece of the reply), as often as we like
                                      <-     session/request_permission, and its answer comes back ->
                                      <-     the result: why we stopped, and our new state
    session/cancel                    ->     (at any time; then end the open prompt with "cancelled")

What this agent does: it says what you said, and remembers how often and what. Try also
    /state     what it remembers            /tool      a pretended tool call
    /ask       asks for permission first    /slow N    talks for N seconds
    /crash     ends without an answer       /error     answers with an error

State. Turnpike may stop this process whenever no turn is running and start another one later, on another machine. So
the state must not live in this process only: with each reply we hand over a *snapshot*, some bytes of our own choosing,
and a new process gets the snapshots back in `session/new`. A snapshot is either a `base` (everything) or a `delta` (what
changed since the one before); `_meta.turnpike.wants` of a prompt says which of the two Turnpike would like.
"""

import base64
import json
import os
import queue
import sys
import threading
import time

REMEMBERED_LINES = 20


class Memory:
    """What survives this process. One turn changes it by one delta: the line that was said."""

    def __init__(self):
        self.count = 0
        self.lines = []

    def note(self, line):
        self.count += 1
        self.lines = (self.lines + [line])[-REMEMBERED_LINES:]

    def base(self):
        return json.dumps({"count": self.count, "lines": self.lines}).encode()

    @staticmethod
    def delta(line):
        return json.dumps({"line": line}).encode()

    @classmethod
    def restored(cls, base, deltas):
        memory = cls()
        state = json.loads(base)
        memory.count, memory.lines = state["count"], state["lines"]
        for delta in deltas:
            memory.note(json.loads(delta)["line"])
        return memory


class Cancelled(Exception):
    """The client no longer wants the turn."""


class Agent:
    def __init__(self):
        self.memory = Memory()
        self.session = None
        # Requests that a prompt's thread is waiting to have answered, by their id.
        self.answers = {}
        self.next_id = 1
        self.cancelled = threading.Event()
        # Two threads write: this one answers requests while the prompt's thread streams. A line must stay whole.
        self.output_lock = threading.Lock()

    # Messages

    def send(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False) + "\n"
        with self.output_lock:
            sys.stdout.buffer.write(line.encode())
            sys.stdout.buffer.flush()

    def update(self, update_kind, **members):
        params = {"sessionId": self.session, "update": {"sessionUpdate": update_kind, **members}}
        self.send({"method": "session/update", "params": params})

    def say(self, text):
        self.update("agent_message_chunk", content={"type": "text", "text": text})

    def request(self, method, params):
        """Asks the client something and waits for the answer. Our ids are our own: the client counts separately."""
        request_id = f"echo-{self.next_id}"
        self.next_id += 1
        self.answers[request_id] = answer = queue.Queue()
        self.send({"id": request_id, "method": method, "params": params})
        return answer.get()

    def run(self):
        """Reads until the client closes our input, which means that we should end."""
        for line in sys.stdin.buffer:
            if line.strip():
                self.received(json.loads(line))

    def received(self, message):
        method, message_id, params = message.get("method"), message.get("id"), message.get("params") or {}
        if method is None:
            if waiting := self.answers.pop(message_id, None):
                waiting.put(message.get("result"))
        elif method == "initialize":
            self.send({"id": message_id, "result": self.initialize()})
        elif method == "session/new":
            self.send({"id": message_id, "result": self.new_session(params)})
        elif method == "session/prompt":
            # In a thread of its own, so that `session/cancel` is heard while the reply is being written.
            self.cancelled.clear()
            threading.Thread(target=self.prompt, args=(message_id, params), daemon=True).start()
        elif method == "session/cancel":
            self.cancelled.set()
        elif message_id is not None:
            self.send({"id": message_id, "error": {"code": -32601, "message": f"method not found: {method}"}})

    # The protocol

    def initialize(self):
        return {
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": False},
            "authMethods": [],
            "agentInfo": {"name": "turnpike-echo", "version": "1"},
            # Without this line Turnpike neither gives nor takes snapshots.
            "_meta": {"turnpike": {"version": 1, "blob": True}},
        }

    def new_session(self, params):
        saved = ((params.get("_meta") or {}).get("turnpike") or {}).get("snapshot")
        if saved:
            self.memory = Memory.restored(
                base64.b64decode(saved["base"]), [base64.b64decode(delta) for delta in saved.get("deltas", [])]
            )
        self.session = "echo"
        return {"sessionId": self.session}

    def prompt(self, message_id, params):
        line = "\n".join(part["text"] for part in params["prompt"] if part.get("type") == "text")
        try:
            self.reply(line.strip())
            stop_reason = "end_turn"
        except Cancelled:
            stop_reason = "cancelled"
        except Exception as problem:  # Whatever happens, a prompt has to be answered: the client waits for it.
            self.send({"id": message_id, "error": {"code": -32603, "message": str(problem)}})
            return
        result = {"stopReason": stop_reason}
        wants = ((params.get("_meta") or {}).get("turnpike") or {}).get("wants")
        if wants:  # Absent when this turn has no part in the conversation's state; then we must not remember it either.
            self.memory.note(line)
            body = Memory.delta(line) if wants == "delta" else self.memory.base()
            snapshot = {"kind": wants, "body": base64.b64encode(body).decode()}
            result["_meta"] = {"turnpike": {"snapshot": snapshot}}
        self.send({"id": message_id, "result": result})

    # What it is all for

    def reply(self, line):
        command, _, argument = line.partition(" ")
        if command == "/state":
            said = "".join(f"\n- {earlier}" for earlier in self.memory.lines)
            self.stream(f"I have heard {self.memory.count} lines before this one.{said}")
        elif command == "/tool":
            self.tool("tool-1", "Look it up", {"query": argument})
            self.stream("I have looked it up.")
        elif command == "/ask":
            self.stream("I did it." if self.may("Do it") else "I did not do it.")
        elif command == "/slow":
            self.slow(argument)
        elif command == "/crash":
            sys.stderr.write("echo: crashing as asked\n")
            sys.stderr.flush()
            os._exit(3)  # sys.exit would end this thread only.
        elif command == "/error":
            raise ValueError("an error, as asked")
        else:
            self.stream(f"You said: {line}")

    def stream(self, text):
        """Word by word, as a model would."""
        words = text.split(" ")
        for index, word in enumerate(words):
            self.pause(0.02)
            self.say(word if index == len(words) - 1 else word + " ")

    def slow(self, argument):
        try:
            seconds = float(argument or "5")
        except ValueError:
            raise ValueError("usage: /slow SECONDS") from None
        end = time.monotonic() + seconds
        self.say("This takes a while")
        while (rest := end - time.monotonic()) > 0:
            self.pause(min(0.5, rest))
            self.say(".")

    def tool(self, tool_id, title, given):
        self.update("tool_call", toolCallId=tool_id, title=title, kind="search", status="in_progress", rawInput=given)
        self.pause(0.2)
        self.update("tool_call_update", toolCallId=tool_id, status="completed", rawOutput={"found": 1})

    def may(self, title):
        answer = self.request(
            "session/request_permission",
            {
                "sessionId": self.session,
                "toolCall": {"toolCallId": "ask-1", "title": title, "kind": "execute", "status": "pending"},
                "options": [
                    {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
                    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
                ],
            },
        )
        outcome = (answer or {}).get("outcome") or {}
        if outcome.get("outcome") == "cancelled" and self.cancelled.is_set():
            raise Cancelled
        return outcome.get("optionId") == "yes"

    def pause(self, seconds):
        """Waits, unless the turn is cancelled meanwhile."""
        if self.cancelled.wait(seconds):
            raise Cancelled


if __name__ == "__main__":
    Agent().run()
