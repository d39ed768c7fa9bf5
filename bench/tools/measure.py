"""Runs whole processes and says what they used."""
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Used:
    """What one run used: seconds, MiB, and requests where a proxy counted them."""
    user_s: float = 0.0
    sys_s: float = 0.0
    wall_s: float = 0.0
    peak_mib: float = 0.0
    stored_mib: float = 0.0
    requests: int = 0


def run(commands, environment, stdin=None):
    """Runs commands one after another, children and their children, and returns what they used together."""
    used = Used()
    for command in commands:
        source = open(stdin, "rb") if stdin else subprocess.DEVNULL
        began = time.monotonic()
        child = subprocess.Popen(command, env=environment, stdin=source, stdout=subprocess.PIPE if os.environ.get("BENCH_SAY") is None
                                 else None, stderr=subprocess.STDOUT)
        said = child.stdout.read() if child.stdout else b""
        _, status, resources = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        used.wall_s += time.monotonic() - began
        used.user_s += resources.ru_utime
        used.sys_s += resources.ru_stime
        used.peak_mib = max(used.peak_mib, resources.ru_maxrss / 1024)
        if child.returncode:
            sys.exit(f"bench: {command} ended with {child.returncode}: {said.decode(errors='replace')[-2000:]}")
    return used


def size_mib(folder):
    """Returns the bytes of all files below a folder, in MiB."""
    total = 0
    for at, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(at, name)).st_size for name in names)
    return total / (1 << 20)


def warm(folder):
    """Reads all files below a folder, so that both programs of a pair find them in memory."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 22):
                        pass


def load():
    return Path("/proc/loadavg").read_text().split()[0]
