"""An upstream: answers Chat Completions as the backend that the file `backend` of its folder names, and notes the header
lines of each call in the file `calls`. Arguments: port, folder. Standard library only."""

import http.server
import json
import os
import sys

port, folder = int(sys.argv[1]), sys.argv[2]


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(os.path.join(folder, "calls"), "a") as calls:
            calls.write(json.dumps({name.lower(): value for name, value in self.headers.items()}) + "\n")
        with open(os.path.join(folder, "backend")) as file:
            backend = file.read()
        if asked.get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("one ", "two ", "three")]
            body = "".join("data: %s\n\n" % chunk for chunk in [*map(json.dumps, chunks), "[DONE]"]).encode()
        else:
            choices = [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]
            body = json.dumps({"choices": choices, "usage": {"total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-aao-preferred-backend", backend)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Upstream).serve_forever()
