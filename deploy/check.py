"""Checks the files in deploy/ and docker-compose.yml with the programs and schemas that they are written for."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
COMPOSE = HERE.parent / "docker-compose.yml"
failures = []


def report(name, problem=None):
    print(f"{'FAILED' if problem else 'ok':6} {name}")
    if problem:
        failures.append(name)
        print(problem)


def run(name, *command):
    """Fails when the command does; a program that is not installed is said, not passed over."""
    if shutil.which(command[0]) is None:
        return report(name, f"{command[0]} is not installed (deploy/packages.sh test)")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return report(name, (done.stdout + done.stderr) if done.returncode else None)


def local_copy(path, folder):
    """A copy in which the replicas' names, which only the composed network knows, resolve."""
    copy = pathlib.Path(folder) / path.name
    copy.write_text(re.sub(r"\bgateway-[123]:", "127.0.0.1:", path.read_text()))
    return copy


def check_balancers():
    with tempfile.TemporaryDirectory() as folder:
        run("nginx.conf", "nginx", "-t", "-q", "-e", "stderr", "-c", str(local_copy(HERE / "nginx.conf", folder)))
        run("haproxy.cfg", "haproxy", "-c", "-q", "-f", str(local_copy(HERE / "haproxy.cfg", folder)))


def check_compose():
    schema = pathlib.Path(sys.executable).parent / "check-jsonschema"
    run("docker-compose.yml schema", str(schema), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    compose = yaml.safe_load(COMPOSE.read_text())
    services = compose["services"]
    replicas = sorted(name for name in services if name.startswith("gateway-"))
    upstreams = sorted(re.findall(r"server (gateway-\d+):7100", (HERE / "nginx.conf").read_text()))
    backends = sorted(re.findall(r"server (gateway-\d+) gateway-\d+:7100", (HERE / "haproxy.cfg").read_text()))
    same = replicas == upstreams == backends and len(replicas) == 3
    report("replicas named alike", None if same else f"{replicas} {upstreams} {backends}")
    postgres = services["postgres"]
    login = re.fullmatch(r"postgresql://(\w+):.*", compose["x-replica"]["environment"]["TURNPIKE_DATABASE_URL"]).group(1)
    roles = (HERE / "roles.sql").read_text()
    is_ordinary = (
        login != postgres["environment"]["POSTGRES_USER"] and f"ALTER ROLE {login} LOGIN NOSUPERUSER NOBYPASSRLS" in roles
        and any(volume.startswith("./deploy/roles.sql:/docker-entrypoint-initdb.d/") for volume in postgres["volumes"])
    )
    report("replicas log in as an ordinary role", None if is_ordinary else f"{login} is not made by deploy/roles.sql")
    known = all(other in services for service in services.values() for other in service.get("depends_on", []))
    report("dependencies named in docker-compose.yml", None if known else "a service depends on an unknown one")


def check_open_webui():
    folder = HERE / "open-webui"
    schema = pathlib.Path(sys.executable).parent / "check-jsonschema"
    file = str(folder / "compose.yaml")
    run("open-webui/compose.yaml schema", str(schema), "--builtin-schema", "vendor.compose-spec", file)
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    added = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["open-webui"]
    lines = [line for line in (folder / "open-webui.env").read_text().splitlines() if line and not line.startswith("#")]
    told = dict(line.split("=", 1) for line in lines)
    host = re.fullmatch(r"http://([a-z0-9-]+):8080/v1", told["OPENAI_API_BASE_URL"]).group(1)
    connection = json.loads(told["OPENAI_API_CONFIGS"])["0"]
    is_right = (
        [host] == added["depends_on"] and host in services and added["env_file"] == ["./open-webui.env"]
        and told["ENABLE_FORWARD_USER_INFO_HEADERS"] == "True" and connection["headers"] == {"X-Task": "{{TASK}}"}
    )
    report("open-webui.env and compose.yaml fit docker-compose.yml", None if is_right else f"{told} {added}")


def check_kubernetes():
    for document in yaml.safe_load_all((HERE / "k8s.yaml").read_text()):
        name = f"k8s.yaml {document['kind']}/{document['metadata']['name']}"
        try:
            kubernetes_validate.validate(document, "1.31", strict=True)
            report(name)
        except kubernetes_validate.ValidationError as error:
            report(name, str(error))


def check_unit():
    unit = HERE / "turnpike.service"
    if shutil.which("systemd-analyze"):
        # Verify also wants the program, which is not installed here; only what it says about the file counts.
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if "turnpike.service" in line and "not executable" not in line]
        return report("turnpike.service", "\n".join(said) or None)
    sections = re.findall(r"^\[(\w+)\]$", unit.read_text(), re.MULTILINE)
    lines = [line for line in unit.read_text().splitlines() if line and not re.match(r"[#\[]|[A-Z]\w+=", line)]
    return report("turnpike.service", None if sections == ["Unit", "Service", "Install"] and not lines else str(lines))


check_balancers()
check_compose()
check_open_webui()
check_kubernetes()
check_unit()
sys.exit(1 if failures else 0)
