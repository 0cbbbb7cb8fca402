"""A language model that does as it is told: an OpenAI chat-completions endpoint whose replies are in the prompt.

The last directive of the last user message decides:

    [[echo TEXT]]        says TEXT
    [[remember WORD]]    says that it will
    [[recall]]           says the last WORD that any user message it is sent tells it to remember, or that there is none
    [[tool COMMAND]]     calls the shell tool it is offered with COMMAND, then says what came back
    [[slow COUNT]]       says COUNT words, a tenth of a second apart

Anything else (titles, summaries, probes) gets a short sentence. It keeps no state: what it recalls, it was sent. Every
request is appended to a log as one JSON object a line, and so is a reader who leaves in the middle. Standard library only.
"""

import argparse
import http.server
import json
import re
import sys
import threading
import time

DIRECTIVE = re.compile(r"\[\[(echo|remember|recall|tool|slow)\s*(.*?)\]\]", re.DOTALL)
SHELLS = (
    "shell__run_command", "shell-run_command", "bash", "terminal", "execute", "shell", "agent_run_shell_command", "run_shell_command", "execute_bash", "run_command",
    "execute_command",
)
PAUSE = 0.1


def text_of(message):
    """The text of a chat message, whose content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content if isinstance(part, dict))


def shell_tool(tools):
    """The name and the schema of the offered tool that runs a command; None when there is none."""
    offered = {tool["function"]["name"]: tool["function"] for tool in tools or [] if tool.get("type") == "function"}
    named = [name for name in SHELLS if name in offered]
    named += [name for name in offered if any(word in name for word in ("bash", "shell", "terminal", "execute"))]
    return (named[0], offered[named[0]].get("parameters") or {}) if named else None


def arguments(schema, command):
    """Arguments that satisfy the schema of a shell tool and run the command."""
    properties = schema.get("properties") or {}
    key = next((name for name in ("command", "cmd", "code", "script") if name in properties), "command")
    values = {key: command}
    samples = {"string": "as told", "boolean": False, "integer": 20, "number": 20, "array": [], "object": {}}
    for name in schema.get("required") or []:
        if name in values:
            continue
        allowed = properties.get(name, {})
        values[name] = allowed["enum"][0] if allowed.get("enum") else samples.get(allowed.get("type"), "as told")
    return values


def decide(body):
    """What to say to a request: ("say", words, pause between them) or ("call", tool, arguments)."""
    messages = body.get("messages") or []
    users = [text_of(message) for message in messages if message.get("role") == "user"]
    if messages and messages[-1].get("role") == "tool":
        return ("say", ["The", " tool", " said: ", text_of(messages[-1])[:400]], 0)
    found = DIRECTIVE.findall(users[-1]) if users else []
    if not found:
        return ("say", ["Nothing", " was", " asked."], 0)
    verb, rest = found[-1]
    rest = rest.strip()
    if verb == "echo":
        return ("say", re.findall(r"\S+\s*", rest), 0)
    if verb == "remember":
        return ("say", ["I", " will", " remember."], 0)
    if verb == "recall":
        words = [word for text in users for kind, word in DIRECTIVE.findall(text) if kind == "remember"]
        return ("say", ["The", " word", " is ", words[-1].strip() + "."] if words else ["I", " was", " told", " nothing."], 0)
    if verb == "slow":
        return ("say", [f"word{number} " for number in range(int(rest or 50))], PAUSE)
    tool = shell_tool(body.get("tools"))
    if tool is None and any("```shell" in text_of(one) for one in messages if one.get("role") == "system"):
        # An agent whose tools are blocks of code within the text, and their results messages of any role.
        asked = max(place for place, one in enumerate(messages) if text_of(one) == users[-1] and one["role"] == "user")
        if len(messages) > asked + 1:
            return ("say", ["The", " tool", " said: ", text_of(messages[-1])[:400]], 0)
        return ("say", [f"```shell\n{rest}\n```\n"], 0)
    if tool is None:
        return ("say", ["There", " is", " no", " shell", " tool."], 0)
    return ("call", tool[0], arguments(tool[1], rest))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.rstrip("/").endswith("/models"):
            return self.reply({"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "test"}]})
        self.reply({"error": {"message": f"there is no {self.path}"}}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if not self.path.endswith("/chat/completions"):
            self.server.note(kind="unknown", path=self.path)
            return self.reply({"error": {"message": f"there is no {self.path}"}}, 404)
        decision = decide(body)
        entry = {"path": self.path, "stream": bool(body.get("stream")), "messages": body.get("messages")}
        entry["tools"] = [tool.get("function", {}).get("name") for tool in body.get("tools") or []]
        self.server.note(kind="request", decision=decision, **entry)
        try:
            self.stream(body, decision) if body.get("stream") else self.whole(body, decision)
        except (BrokenPipeError, ConnectionResetError):
            self.server.note(kind="left", path=self.path, decision=decision[:1])
            self.close_connection = True

    def reply(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def head(self, body, kind):
        return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": body.get("model", "scripted")}

    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

    def whole(self, body, decision):
        message = {"role": "assistant", "content": None}
        if decision[0] == "say":
            if decision[2]:
                time.sleep(len(decision[1]) * decision[2])
            message["content"] = "".join(decision[1])
        else:
            message["tool_calls"] = [self.call(decision)]
        reason = "stop" if decision[0] == "say" else "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        self.reply(dict(self.head(body, "chat.completion"), choices=[choice], usage=self.usage))

    def call(self, decision):
        function = {"name": decision[1], "arguments": json.dumps(decision[2])}
        return {"id": f"call_{time.monotonic_ns()}", "type": "function", "function": function}

    def stream(self, body, decision):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head = self.head(body, "chat.completion.chunk")

        def chunk(delta, reason=None):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.event(dict(head, choices=[choice]))

        chunk({"role": "assistant", "content": ""})
        if decision[0] == "say":
            for word in decision[1]:
                chunk({"content": word})
                time.sleep(decision[2])
            chunk({}, "stop")
        else:
            chunk({"tool_calls": [dict(self.call(decision), index=0)]})
            chunk({}, "tool_calls")
        if (body.get("stream_options") or {}).get("include_usage"):
            self.event(dict(head, choices=[], usage=self.usage))
        self.piece(b"data: [DONE]\n\n")
        self.piece(b"")

    def event(self, value):
        self.piece(b"data: " + json.dumps(value).encode() + b"\n\n")

    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, log):
        super().__init__(("127.0.0.1", port), Handler)
        self.log = open(log, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """A reader who left is in the log where it matters; everything else is a defect."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def note(self, **entry):
        with self.lock:
            self.log.write(json.dumps(dict(entry, time=time.time())) + "\n")
            self.log.flush()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=0, help="on loopback; 0 takes a free one")
    options.add_argument("--log", default="/dev/null", help="every request, one JSON object a line")
    given = options.parse_args()
    server = Server(given.port, given.log)
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
