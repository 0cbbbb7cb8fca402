"""The processes that the benchmark starts, and what it reads from /proc about them."""

import contextlib
import glob
import http.client
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


def run_text(command: list, environment: dict | None = None) -> str:
    """Runs a program to its end and returns what it printed; raises with its errors when it fails."""
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what: str, is_there, process: subprocess.Popen, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        if process.poll() is not None:
            raise SystemExit(f"bench: {what} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} did not come up in {seconds:.0f} s")
        time.sleep(0.02)


def end(process: subprocess.Popen, number: signal.Signals) -> None:
    """Asks a child to end, and kills it when it does not."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_by_kind(postmaster: int, gateways: list[int]) -> dict[str, float]:
    """Seconds of CPU used so far by the gateways, by the workers below them, and by PostgreSQL."""
    times, parents = {}, {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = pathlib.Path(path).read_text()
            fields = text[text.rindex(")") + 2:].split()
            pid = int(path.split("/")[2])
            parents[pid] = int(fields[1])
            # utime and stime; for the postmaster also those of its children that ended.
            times[pid] = sum(map(int, fields[11:15] if pid == postmaster else fields[11:13])) / TICK
    result = {"gateway": 0.0, "workers": 0.0, "postgres": 0.0}
    for pid, seconds in times.items():
        if pid in gateways:
            result["gateway"] += seconds
        elif pid == postmaster or parents[pid] == postmaster:
            result["postgres"] += seconds
        elif parents[pid] in gateways:
            result["workers"] += seconds
    return result


class Postgres:
    """A server of its own, durable as installed: only its place, port and lock table differ from the defaults."""

    def __init__(self, folder: pathlib.Path):
        self.binaries = pathlib.Path(max(glob.glob("/usr/lib/postgresql/*/bin")))
        self.prefix = []
        folder.mkdir()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self.prefix = ["setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
        data = folder / "data"
        run_text([*self.prefix, self.program("initdb"), "--pgdata", data, "--username=postgres", "--auth=trust",
                  "--encoding=UTF8", "--locale=C.UTF-8"])
        self.port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": self.port,
                    "max_connections": 200, "max_locks_per_transaction": 512, "shared_buffers": "256MB"}
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [*self.prefix, self.program("postgres"), "-D", data]
            + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
            stdout=self.log, stderr=self.log,
        )
        self.pid = self.process.pid
        ready = [self.program("pg_isready"), "-q", *self.arguments("postgres")]
        wait_for("PostgreSQL", lambda: subprocess.run(ready).returncode == 0, self.process)

    def program(self, name: str) -> str:
        return str(self.binaries / name)

    def arguments(self, database: str) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]

    def url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, database: str, text: str) -> str:
        return run_text([self.program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", *self.arguments(database), "-c", text])

    def show(self, name: str) -> str:
        return self.sql("postgres", f"SHOW {name}").strip()

    def environment(self, folder: pathlib.Path) -> dict[str, str]:
        """What Turnpike is told."""
        return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8",
                "TURNPIKE_DATABASE_URL": self.url("turnpike"), "TURNPIKE_LOG_LEVEL": "warning"}

    def stop(self) -> None:
        end(self.process, signal.SIGINT)
        self.log.close()


class Replica:
    """One gateway process."""

    def __init__(self, program: pathlib.Path, environment: dict[str, str], workspaces: pathlib.Path):
        self.port = free_port()
        self.log = open(f"{workspaces}.log", "w")
        self.process = subprocess.Popen(
            [str(program), "serve", "--listen", f"127.0.0.1:{self.port}", "--workspaces", str(workspaces),
             "--drain-seconds", "2"],
            env=environment, stdout=self.log, stderr=self.log,
        )
        self.pid = self.process.pid

    def request(self, method: str, path: str, headers: dict | None = None, body: str | None = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def wait_until_ready(self) -> None:
        wait_for("a replica", lambda: self.request("GET", "/readyz") == 200, self.process)

    def put_agent(self, token: str, name: str, configuration: dict) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        status = self.request("PUT", f"/v1/agents/{name}", headers, json.dumps(configuration))
        if status not in (200, 201):
            raise SystemExit(f"bench: the agent was refused with {status}")

    def stop(self) -> None:
        end(self.process, signal.SIGTERM)
        self.log.close()


class Nginx:
    """nginx in front of the replicas: round robin, its default buffering, connections kept open on both sides."""

    def __init__(self, folder: pathlib.Path, ports: list[int]):
        folder.mkdir()
        self.port = free_port()
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"""
            {'user root;' if os.geteuid() == 0 else ''}
            daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; {paths}
                keepalive_requests 1000000;
                upstream replicas {{
                    {''.join(f'server 127.0.0.1:{port};' for port in ports)}
                    keepalive 256; keepalive_requests 1000000;
                }}
                server {{
                    listen 127.0.0.1:{self.port};
                    location / {{
                        proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection "";
                    }}
                }}
            }}""")
        self.log = open(folder / "log", "w")
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-e", "stderr"],
                                        stdout=self.log, stderr=self.log)

        def is_listening() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("nginx", is_listening, self.process)

    def stop(self) -> None:
        end(self.process, signal.SIGTERM)
        self.log.close()


class Load:
    """The client in C."""

    def __init__(self, program: pathlib.Path, token: str, seconds: int):
        self.program, self.token, self.seconds = program, token, seconds

    def run(self, port: int, case: dict, note) -> dict:
        """Calls `note` when the measured time begins and when it ends."""
        command = [self.program, "127.0.0.1", port, self.token, case["agent"], case["prefix"] + case["agent"]
                   + str(case["conversations"]), case["conversations"], case["warm_up"], self.seconds]
        client = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True)
        errors = []
        for line in client.stderr:
            note() if line.strip() in ("begin", "end") else errors.append(line)
        text = client.stdout.read()
        if client.wait() not in (0, 2) or not text:
            raise SystemExit(f"bench: the client ended with {client.returncode}: {''.join(errors)}")
        if errors:
            print("".join(errors))
        return json.loads(text)
