"""Holds the gateway to its own document: every route of /openapi.json, with data that it allows and data that it does not.

    contract.py URL [EXAMPLES [SEED]]

TURNPIKE_TOKEN is a token that may do everything. The installation is filled first, so that not all answers are that there
is no such thing. A route that the document has is tried without being named here. Ends with 0 when nothing was found.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
url = sys.argv[1]
examples = int(sys.argv[2]) if len(sys.argv) > 2 else 12
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 20_261_126
token = os.environ["TURNPIKE_TOKEN"]
# How a request may be answered that the document allows. A name that was deleted is gone for good, which is as little the
# request's fault as one that never was.
ACCEPTED = ["2xx", "401", "403", "404", "409", "410", "429", "503"]


def ask(method, path, body=None):
    request = urllib.request.Request(url + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", "Bearer " + token)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def python(script, *words):
    return ["/usr/bin/python3", "-S", str(ROOT / script), *words]


def fill():
    """Makes a little of everything, and returns what the parameters of paths may name."""
    plain = {"driver": "command", "command": ["cat"], "store_mode": "none"}
    keeper = {"command": python("Tests/EndToEndTests/workers/paced_agent.py")}
    careful = {"command": python("Tests/Doubles/worker_double.py", "ask"), "store_mode": "none", "permissions": "ask"}
    for name, body in {"echo": plain, "keeper": keeper, "careful": careful, "spare-1": plain, "spare-2": plain}.items():
        ask("PUT", f"/v1/agents/{name}", body)
    turns = []
    for agent in ("echo", "keeper", "spare-1"):
        for conversation in ("seeded", "spare-1", "spare-2"):
            for number in range(2):
                path = f"/v1/agents/{agent}/conversations/{conversation}/turns"
                turns.append(ask("POST", path, {"input": f"seed-{number}"})["turn"]["id"])
    for turn in turns:
        ask("GET", f"/v1/turns/{turn}?wait=30")
    ask("POST", "/v1/agents/careful/conversations/seeded/turns", {"input": "go"})
    deadline = time.monotonic() + 20
    while not (asked := ask("GET", "/v1/approvals?state=pending")["approvals"]):
        assert time.monotonic() < deadline, "no question came"
        time.sleep(0.05)
    threads = [ask("POST", "/v1/conversations", {})["id"] for _ in range(2)]
    message = {"type": "message", "role": "user", "content": "by hand"}
    item = ask("POST", f"/v1/conversations/{threads[0]}/items", {"items": [message]})["data"][0]["id"]
    responses = [ask("POST", "/v1/responses", {"model": "echo", "input": "hi"})["id"] for _ in range(2)]
    revocable = ask("POST", "/v1/tokens", {"name": "spare", "scopes": ["turns"]})["token"]["id"]
    account = ask("POST", "/v1/accounts", {"provider": "forge", "principal": "ann", "label": "seed"})["account"]["id"]
    rule = ask("POST", "/v1/approval-rules", {"effect": "deny", "tool": "seed"})["rule"]["id"]
    recurring = {"agent": "echo", "cron": "@yearly", "input": "now", "paused": True}
    for name in ("seeded", "spare-1"):
        ask("PUT", f"/v1/schedules/{name}", recurring)
    return {
        "agent": ["echo", "keeper"], "model": ["echo"], "conversation": ["seeded", threads[0]], "turn": turns,
        "approval": [asked[0]["id"]], "response": responses[:1], "item": [item], "seq": [1, 2], "token": [revocable],
        "account": [account], "label": ["seed"], "rule": [rule], "schedule": ["seeded"],
    }, {
        "agent": ["spare-1", "spare-2"], "schedule": ["spare-1"], "conversation": ["spare-1", "spare-2", threads[1]],
        "response": responses[1:],
    }


def configuration(seeds, spares):
    """What the runner is told, as TOML: JSON's texts, numbers and arrays are TOML's too."""
    lines = [
        'hooks = "contract_hooks"', "request-timeout = 30", "max-stream-events = 5",
        # PostgreSQL cannot hold U+0000, which the schemas do not say of every text; RouteTests see it refused.
        "[generation]", "allow-x00 = false",
        "[checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(ACCEPTED)}",
        "[dictionaries]", "few-seconds.values = [0, 1]", 'cron.values = ["@daily", "*/5 8-18 * * mon-fri"]',
        'zone.values = ["UTC", "Europe/Berlin"]',
    ]
    for prefix, values in (("", seeds), ("spare-", spares)):
        lines += [f"{prefix}{name}.values = {json.dumps(list)}" for name, list in values.items()]
    lines += ["[parameters]", '"query.wait" = { dictionary = "few-seconds" }']
    lines += [f'"body.{name}" = {{ dictionary = "{source}", probability = 0.8 }}'
              for name, source in (("model", "model"), ("cron", "cron"), ("time_zone", "zone"))]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.8 }}' for name in seeds]
    for method in ("DELETE", "PUT"):
        lines += ["[[operations]]", f'include-method = "{method}"', "[operations.parameters]"]
        lines += [f'"path.{name}" = {{ dictionary = "spare-{name}", probability = 0.8 }}' for name in spares]
    # Which options a question has, only its worker knows; for a response that is not kept 400 is what OpenAI's API says; and
    # which texts are times of a schedule, and which names are time zones, no schema says.
    for name in ("POST /v1/approvals/{approval}", "POST /v1/responses", "PUT /v1/schedules/{schedule}"):
        lines += ["[[operations]]", f'include-name = "{name}"', "[operations.checks.positive_data_acceptance]"]
        lines += [f"expected-statuses = {json.dumps([*ACCEPTED, '400'])}"]
    # Without it the log is a stream, which ends when its reader leaves.
    lines += ["[[operations]]", 'include-path-regex = "/events$"', 'headers = { Accept = "application/json" }']
    return "\n".join(lines) + "\n"


def main():
    seeds, spares = fill()
    print(f"seed {seed}, at most {examples} examples a route", flush=True)
    with tempfile.TemporaryDirectory(prefix="turnpike-contract-") as folder:
        file = pathlib.Path(folder, "schemathesis.toml")
        file.write_text(configuration(seeds, spares))
        words = [
            "--config-file", str(file), "run", url + "/openapi.json", "--checks", "all", "--mode", "all",
            "--max-examples", str(examples), "--seed", str(seed), "--header", "Authorization: Bearer " + token,
            "--generation-database", "none", "--no-color", "--continue-on-failure",
        ]
        environment = dict(
            os.environ, PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1", TURNPIKE_OWN_TOKEN=ask("GET", "/v1/session")["token"]
        )
        run = subprocess.run([sys.executable, "-m", "schemathesis.cli", *words], cwd=folder, env=environment, check=False)
    sys.exit(run.returncode)


main()
