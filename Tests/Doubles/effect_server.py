"""Counts effects: each POST to it is one, named by its body; a GET gives the counts as a JSON object. Prints its port."""

import collections
import http.server
import json
import threading

counts = collections.Counter()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        name = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with lock:
            counts[name] += 1
        self.reply(b"{}")

    def do_GET(self):
        with lock:
            data = json.dumps(counts).encode()
        self.reply(data)

    def reply(self, data):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
