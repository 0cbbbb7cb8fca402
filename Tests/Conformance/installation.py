"""Three replicas behind nginx on a PostgreSQL of their own, the scripted model, and the agents' environments."""

import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TURNPIKE = ROOT / ".build/release/turnpike"
sys.path.insert(0, str(ROOT / "Tests/Bench"))

from parts import Postgres, end, free_port, run_text, wait_for  # noqa: E402


def interpreter(minor: int) -> str | None:
    """A Python 3 of at least this minor version: the oldest that will do, since that one has wheels for everything."""
    homes = [os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")]
    for version in range(minor, 15):
        found = shutil.which(f"python3.{version}", path="/usr/local/bin:/usr/bin:/bin")
        for home in homes:
            found = found or next(iter(sorted(glob.glob(f"{home}/versions/3.{version}.*/bin/python3"))), None)
        if found:
            return found
    return None


def install(agent) -> tuple[pathlib.Path | None, str]:
    """The folder of the agent's programs, and why there is none."""
    home = ROOT / ".venv/agents" / agent.preset
    stamp = home / "installed"
    presets = json.loads(run_text([TURNPIKE, "agent", "presets", "--json"]))["presets"]
    packages = next(one["packages"] for one in presets if one["name"] == agent.preset)
    constraints = HERE / f"constraints/{agent.preset}.txt"
    wanted = "\n".join(packages) + constraints.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return home / "bin", ""
    python = interpreter(agent.python)
    if python is None:
        return None, f"needs Python 3.{agent.python}, which is not installed"
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([python, "-m", "venv", home], check=True)
    command = [home / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", constraints, *packages]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"pip cannot install it: {done.stderr.strip().splitlines()[-1:]}"
    stamp.write_text(wanted)
    return home / "bin", ""


class Model:
    """The scripted model and the log of what it was sent."""

    def __init__(self, folder: pathlib.Path):
        self.log = folder / "model.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "model.py"), "--log", str(self.log)], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def url(self, agent: str) -> str:
        return f"http://127.0.0.1:{self.port}/{agent}/v1"

    def requests(self, mark: str) -> list[dict]:
        """What it was asked with `mark` in the last user message, oldest first."""
        found = []
        for line in self.log.read_text().splitlines():
            if mark not in line:
                continue
            entry = json.loads(line)
            users = [json.dumps(one) for one in entry.get("messages") or [] if one.get("role") == "user"]
            if users and mark in users[-1]:
                found.append(entry)
        return found

    def stop(self) -> None:
        end(self.process, signal.SIGTERM)


class Replica:
    """One gateway, in a mount namespace in which `workspaces` is a folder of its own: the same path on every replica with
    different files in it, as on different machines."""

    def __init__(self, name: str, folder: pathlib.Path, environment: dict, workspaces: pathlib.Path):
        self.name, self.environment, self.workspaces = name, environment, workspaces
        self.disk = folder / f"disk-{name}"
        self.disk.mkdir()
        self.port = free_port()
        self.log = open(folder / f"replica-{name}.log", "a")
        self.start()

    def start(self) -> None:
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        self.process = subprocess.Popen(
            [*unshare, "sh", "-c", script, str(self.disk), str(self.workspaces), str(TURNPIKE), "serve", "--label",
             self.name, "--listen", f"127.0.0.1:{self.port}", "--workspaces", str(self.workspaces)],
            env=self.environment, stdout=self.log, stderr=self.log,
        )

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def wait(self) -> None:
        wait_for(f"replica {self.name}", self.is_ready, self.process)

    def kill(self) -> None:
        """As a machine that loses its power, but for its disk."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        end(self.process, signal.SIGTERM)

    def holds(self, file: str) -> bool:
        """Whether a file of this name lies in the working directory of one of its workspaces."""
        return bool(glob.glob(f"{self.disk}/*/work/**/{file}", recursive=True))


class Nginx:
    """deploy/nginx.conf with this installation's names, ports and folder in it."""

    def __init__(self, folder: pathlib.Path, ports: list[int]):
        folder.mkdir()
        self.port = free_port()
        text = (ROOT / "deploy/nginx.conf").read_text()
        for number, port in enumerate(ports, 1):
            text = text.replace(f"gateway-{number}:7100", f"127.0.0.1:{port}")
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{self.port};").replace("/tmp/", f"{folder}/")
        text = re.sub(r"^error_log .*$", "", text, flags=re.MULTILINE).replace("auto;", "1;")
        head = "daemon off; " + ("user root;\n" if os.geteuid() == 0 else "\n")
        (folder / "nginx.conf").write_text(head + text)
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"],
            stdout=self.log, stderr=self.log,
        )

        def is_listening() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("nginx", is_listening, self.process)

    def stop(self) -> None:
        end(self.process, signal.SIGTERM)


class Installation:
    """Everything together. Ends what it started, by pid."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.started = contextlib.ExitStack()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        self.postgres = Postgres(self.folder / "postgres")
        self.started.callback(self.postgres.stop)
        self.model = Model(self.folder)
        self.started.callback(self.model.stop)
        environment = self.postgres.environment(self.folder)
        self.postgres.sql("postgres", "CREATE DATABASE turnpike")
        run_text([TURNPIKE, "migrate"], environment)
        words = [TURNPIKE, "token", "create", "conformance", "--direct", "--scope", "admin", "--scope", "operator", "--json"]
        self.token = json.loads(run_text(words, environment))["secret"]
        workspaces = self.folder / "workspaces"
        workspaces.mkdir()
        self.replicas = []
        for name in ("one", "two", "three"):
            replica = Replica(name, self.folder, environment, workspaces)
            self.replicas.append(replica)
            self.started.callback(replica.stop)
        for replica in self.replicas:
            replica.wait()
        self.nginx = Nginx(self.folder / "nginx", [replica.port for replica in self.replicas])
        self.started.callback(self.nginx.stop)

    def stop(self) -> None:
        self.started.close()

    def left(self) -> list[str]:
        """Processes that have this installation's folder in their environment: nothing of a worker may outlive its gateway.
        They are killed."""
        found = []
        for path in glob.glob("/proc/[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"={self.folder}/workspaces".encode() in pathlib.Path(path).read_bytes():
                    pid = int(path.split("/")[2])
                    found.append(pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200])
                    os.kill(pid, signal.SIGKILL)
        return found

    # What a client does, through nginx.

    def call(self, method: str, path: str, body=None, timeout: float = 90):
        connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300].decode()}")
        return json.loads(text) if text else {}

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """The program as a user's shell runs it."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TURNPIKE_TOKEN": self.token,
                       "TURNPIKE_URL": f"http://127.0.0.1:{self.nginx.port}"}
        return subprocess.run([str(TURNPIKE), *words], env=environment, capture_output=True, text=True, timeout=200)

    def file_is_there(self, name: str) -> bool:
        return any(replica.holds(name) for replica in self.replicas)

    def owner(self, agent: str, conversation: str) -> Replica | None:
        """The replica that holds the conversation."""
        held = self.call("GET", f"/v1/agents/{agent}/conversations/{conversation}")["replica"]
        labels = {one["id"]: one["label"] for one in self.call("GET", "/v1/replicas")["replicas"]}
        return next((one for one in self.replicas if one.name == labels.get(held)), None)


def wait_until(what: str, body, seconds: float):
    """The first true value of `body`; raises when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = body()
        if value:
            return value
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")
