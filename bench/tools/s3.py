"""A server of S3 (s3s-fs, a small one, so that the cores are left to whom they measure), and the slow line in front of it."""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure
import throttle
from places import ROOT, cache

RATE = 10_000_000
DELAY_S = 0.040
BUCKET = "bench"


@dataclass
class Proxy:
    port: int
    requests: int = 0
    connections: int = 0
    most: int = 0

    def repository(self, each):
        return f"s3:http://127.0.0.1:{self.port}/{BUCKET}/{each.name}"


@dataclass
class Server(Proxy):
    environment: dict = None
    root: Path = None

    @contextlib.contextmanager
    def throttled(self):
        """Puts the slow line in front of it, and says at the end what went over it."""
        command = [sys.executable, throttle.__file__, str(self.port), str(RATE), str(DELAY_S)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        proxy = Proxy(int(process.stdout.readline()))
        try:
            yield proxy
        finally:
            said, _ = process.communicate("")
            proxy.requests, proxy.connections, proxy.most = map(int, said.split())

    def stored_mib(self, each):
        """Returns what lies below a program's prefix."""
        return measure.size_mib(self.root / BUCKET / each.name)


@contextlib.contextmanager
def server():
    """Starts it for one run, with its files in memory: they go with it."""
    binary = cache() / "bench-peers/bin/s3s-fs"
    if not binary.exists():
        subprocess.run([ROOT / "bench/peers", "s3s"], check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(tempfile.mkdtemp(prefix="backstay-bench-s3-", dir=os.environ.get("BENCH_OUT", "/dev/shm")))
    # A bucket is a folder.
    (root / BUCKET).mkdir()
    key, secret = "test-only-access", "test-only-secret"
    command = [binary, "--host", "127.0.0.1", "--port", str(port), "--access-key", key, "--secret-key", secret, root]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit("bench: s3s-fs did not come up")
        yield Server(port, environment=keys, root=root)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(root, ignore_errors=True)
