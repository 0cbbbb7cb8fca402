"""Runs as a worker and tries to see and to reach what is not its own. Prints one JSON object: what it managed, by name.

Arguments: the gateway's process id, a folder of the gateway, another workspace, a TCP port on loopback, an abstract socket's
name, a file outside that this process's user could write.
"""

import ctypes
import json
import os
import signal
import socket
import sys

gateway, folder, other, port, abstract, outside = sys.argv[1:7]


def tried(action):
    """Whether `action` went through."""
    try:
        return bool(action())
    except OSError:
        return False


def reads(path):
    with open(path, "rb") as file:
        return len(file.read(4096)) > 0


def writes(path):
    with open(path, "ab") as file:
        file.write(b"x")
    return True


def creates(path):
    with open(path, "x") as file:
        file.write("x")
    os.unlink(path)
    return True


def connects(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        probe.connect(address)
    return True


def traces():
    # PTRACE_SEIZE, which does not stop what it is attached to; the end of this process lets go of it.
    return ctypes.CDLL(None, use_errno=True).ptrace(0x4206, int(gateway), None, None) == 0


def signals():
    os.kill(int(gateway), 0)
    return True


def status(name):
    with open("/proc/self/status") as lines:
        return [line.split()[1] for line in lines if line.startswith(name + ":")][0]


def hosts_processes():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 64 or pid == gateway]


def limits():
    import resource

    names = {"files": "NOFILE", "memory": "AS", "core": "CORE", "file": "FSIZE", "processes": "NPROC"}
    return {name: resource.getrlimit(getattr(resource, "RLIMIT_" + limit))[0] for name, limit in names.items()}


print(json.dumps({
    "reads another workspace": tried(lambda: os.listdir(other) is not None),
    "writes another workspace": tried(lambda: creates(other + "/planted")),
    "sees the gateway's folder": tried(lambda: os.listdir(folder) is not None),
    "reads the gateway's environment": tried(lambda: reads("/proc/%s/environ" % gateway)),
    "opens the gateway's memory": tried(lambda: os.close(os.open("/proc/%s/mem" % gateway, os.O_RDWR)) is None),
    "traces the gateway": traces(),
    "signals the gateway": tried(signals),
    "sees the host's processes": bool(hosts_processes()),
    "reaches a socket in the gateway's folder": tried(lambda: connects(socket.AF_UNIX, folder + "/socket")),
    "reaches an abstract socket": tried(lambda: connects(socket.AF_UNIX, "\0" + abstract)),
    "reaches TCP on the host": tried(lambda: connects(socket.AF_INET, ("127.0.0.1", int(port)))),
    "has other descriptors": any(int(fd) > 2 and os.path.exists("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")),
    "writes outside": tried(lambda: writes(outside)),
    "writes to /usr": tried(lambda: creates("/usr/planted")),
    "writes to /etc": tried(lambda: creates("/etc/planted")),
    "reads /etc/shadow": tried(lambda: reads("/etc/shadow")),
    "reads private keys": tried(lambda: os.listdir("/etc/ssl/private") is not None),
    "changes the kernel": tried(lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)) is None),
    "presses the system's keys": tried(lambda: os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY)) is None),
    "writes to /": tried(lambda: creates("/planted")),
    "may gain privileges": status("NoNewPrivs") != "1",
    "has capabilities": int(status("CapEff"), 16) != 0,
    "writes to its home": tried(lambda: creates(os.environ["HOME"] + "/mine")),
    "writes to its directory": tried(lambda: creates("mine")),
    "writes to /tmp": tried(lambda: creates("/tmp/mine-%d" % os.getpid())),
    "limits": limits(),
}))
