"""A server of S3 of our own (moto), and the slow line in front of it."""
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

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
        """Returns what lies below a program's prefix, by the server's own list."""
        import re
        total, after = 0, ""
        while True:
            url = f"http://127.0.0.1:{self.port}/{BUCKET}?list-type=2&prefix={each.name}/{after}"
            text = urllib.request.urlopen(url).read().decode()
            total += sum(map(int, re.findall(r"<Size>(\d+)</Size>", text)))
            token = re.search(r"<NextContinuationToken>([^<]*)<", text)
            if not token:
                return total / (1 << 20)
            after = f"&continuation-token={token[1]}"


@contextlib.contextmanager
def server():
    """Starts moto for one run: its memory goes with it."""
    venv = cache() / "peers/moto/venv"
    if not (venv / "bin/moto_server").exists():
        subprocess.run([ROOT / "testkit/peers/moto/up"], check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = open(os.devnull, "w")
    process = subprocess.Popen([venv / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    keys = {"AWS_ACCESS_KEY_ID": "test-only-access", "AWS_SECRET_ACCESS_KEY": "test-only-secret", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1"}
    try:
        for _ in range(300):
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
                request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test-only-access/20260101/us-east-1/s3/aws4_request")
                urllib.request.urlopen(request).read()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit("bench: moto did not come up")
        yield Server(port, environment=keys)
    finally:
        process.terminate()
        process.wait()
