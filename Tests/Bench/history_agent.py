"""An agent whose state grows by a little each turn, for Tests/Bench/history. Standard library only.

`blob`: a list of items, handed over as a base or as the items of one turn. `directory`: files in HOME, of which the gateway
makes snapshots by itself: two new small ones, a line in a log, a row in a database and another row changed.
"""

import base64
import json
import os
import pathlib
import sqlite3
import sys

mode = sys.argv[1]
home = pathlib.Path(os.environ["HOME"])
items = []


def send(message):
    sys.stdout.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
    sys.stdout.flush()


def grow(text):
    if mode == "blob":
        items.append(text)
        return
    log = home / "log.jsonl"
    number = log.stat().st_size if log.exists() else 0
    with open(log, "a") as file:
        file.write(json.dumps({"at": number, "text": text * 4}) + "\n")
    notes = home / "notes" / str(number // 20_000)
    notes.mkdir(parents=True, exist_ok=True)
    for name in ("note", "state"):
        (notes / f"{name}-{number}").write_text(f"{text} {number} " * 10)
    database.execute("INSERT INTO t (text) VALUES (?)", (text * 4,))
    database.execute("UPDATE t SET text = text || '.' WHERE n = 1 + ? % (SELECT max(n) FROM t)", (number * 7919,))
    database.commit()


def snapshot(wants):
    if mode != "blob" or not wants:
        return {}
    body = json.dumps(items if wants == "base" else items[-1:]).encode()
    return {"_meta": {"turnpike": {"snapshot": {"kind": wants, "body": base64.b64encode(body).decode()}}}}


if mode == "directory":
    database = sqlite3.connect(home / "state.db")
    database.execute("PRAGMA synchronous = off")
    database.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text)")

for line in sys.stdin:
    request = json.loads(line)
    method, params = request.get("method"), request.get("params", {})
    if method == "initialize":
        meta = {"turnpike": {"version": 1, "blob": mode == "blob"}}
        send({"id": request["id"], "result": {"protocolVersion": 1, "agentCapabilities": {"_meta": meta}}})
    elif method == "session/new":
        send({"id": request["id"], "result": {"sessionId": "s"}})
    elif method == "session/prompt":
        grow(params["prompt"][-1]["text"])
        wants = params.get("_meta", {}).get("turnpike", {}).get("wants")
        send({"id": request["id"], "result": {"stopReason": "end_turn", **snapshot(wants)}})
    elif "id" in request and method:
        send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
