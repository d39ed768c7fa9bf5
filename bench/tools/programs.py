"""How each program is called. All compress by zstd level 3 (restic's "auto", rustic's and our default), encrypt, and keep no
cache where they can be told; restic and we open and hash each new blob again before it leaves, kopia and borg do not."""
import os
import shutil
import subprocess
from pathlib import Path

from places import ROOT, cache

PASSWORD = "bench"


class Program:
    """A program and its repository in a folder, or in a bucket."""

    def __init__(self, name, binary, folder):
        self.name, self.binary, self.repository = name, str(binary), folder
        self.backup_options = []
        self.environment = dict(os.environ, RESTIC_PASSWORD=PASSWORD, RUSTIC_PASSWORD=PASSWORD, KOPIA_PASSWORD=PASSWORD,
                                BORG_PASSPHRASE=PASSWORD, BORG_BASE_DIR=str(folder) + "-borg", BORG_RELOCATED_REPO_ACCESS_IS_OK="yes",
                                KOPIA_CHECK_FOR_UPDATES="false", RUSTIC_NO_CACHE="true")

    def call(self, *arguments):
        return [self.binary, *map(str, arguments)]

    def fresh(self):
        """Makes an empty repository."""
        shutil.rmtree(self.repository, ignore_errors=True)
        for command in self.init():
            subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def version(self):
        said = subprocess.run(self.call(*self.VERSION), stdout=subprocess.PIPE, check=True, text=True, env=self.environment).stdout
        words = [word for word in said.split() if word[:1].isdigit()]
        return words[0] if words else said.strip()

    def shared_engine_repository(self):
        return True

    def stream(self):
        return None

    def forget_and_prune(self):
        return None

    def check(self):
        return None


class Restic(Program):
    VERSION = ("version",)

    def call(self, *arguments):
        return [self.binary, "-q", "--no-cache", "-r", str(self.repository), *map(str, arguments)]

    def version(self):
        said = subprocess.run([self.binary, "version"], stdout=subprocess.PIPE, check=True, text=True).stdout
        return said.split()[1]

    def init(self):
        return [self.call("init")]

    def backup(self, folder):
        return [self.call("backup", *self.backup_options, folder)]

    def restore(self, target):
        return [self.call("restore", "latest", "--target", target)]

    def forget_and_prune(self):
        return [self.call("forget", "--keep-last", "10", "--group-by", "", "--prune", "--max-unused", "0")]

    def check(self):
        return [self.call("check", "--read-data")]

    def stream(self):
        return [self.call("backup", *self.backup_options, "--stdin", "--stdin-filename", "volume.img")]


class Backstay(Restic):
    def call(self, *arguments):
        return [self.binary, "engine", "-q", "-r", str(self.repository), *map(str, arguments)]

    def version(self):
        made = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True)
        return made.stdout.strip() or "unknown"

    def forget_and_prune(self):
        # What is marked goes with the next prune: both are counted.
        prune = ("--max-unused", "0", "--grace", "0s")
        return [self.call("forget", "--keep-last", "10", "--group-by", "", "--prune", *prune), self.call("prune", *prune)]


class Rustic(Program):
    VERSION = ("--version",)

    def call(self, *arguments):
        return [self.binary, "--no-progress", "--log-level", "error", "--no-cache", "-r", str(self.repository), *map(str, arguments)]

    def version(self):
        return subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[-1]

    def init(self):
        return [self.call("init")]

    def backup(self, folder):
        return [self.call("backup", *self.backup_options, folder)]

    def restore(self, target):
        return [self.call("restore", "latest", target)]

    def forget_and_prune(self):
        prune = ("--prune", "--instant-delete", "--max-unused", "0")
        return [self.call("forget", "--keep-last", "10", "--group-by", "", *prune)]

    def check(self):
        return [self.call("check", "--read-data")]

    def stream(self):
        return [self.call("backup", "--stdin-filename", "volume.img", "-")]


class Kopia(Program):
    VERSION = ("--version",)

    def call(self, *arguments):
        return [self.binary, "--no-progress", "--log-level", "error", "--config-file", str(self.repository) + "-kopia.config",
                *map(str, arguments)]

    def version(self):
        return subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[0]

    def init(self):
        Path(self.repository).mkdir(parents=True)
        return [self.call("repository", "create", "filesystem", "--path", self.repository),
                self.call("policy", "set", "--global", "--compression", "zstd")]

    def backup(self, folder):
        return [self.call("snapshot", "create", folder)]

    def restore(self, target):
        return [self.call("snapshot", "restore", "latest", target)]

    def check(self):
        return [self.call("snapshot", "verify", "--verify-files-percent", "100")]

    def shared_engine_repository(self):
        return False


class Borg(Program):
    VERSION = ("--version",)

    def init(self):
        return [self.call("init", "--encryption", "repokey", self.repository)]

    def backup(self, folder):
        return [self.call("create", "--compression", "zstd,3", f"{self.repository}::{{now:%H%M%S%f}}", folder)]

    def restore(self, target):
        # borg extracts into the current folder, and the newest archive by its name.
        newest = f'cd "$1" && exec {self.binary} extract "{self.repository}::$({self.binary} list --last 1 --short "{self.repository}")"'
        return [["sh", "-c", newest, "sh", str(target)]]

    def shared_engine_repository(self):
        return False


def program(name, folder):
    """Returns a program by its name; ends with the reason when it is not to be had."""
    place = folder / f"{name}"
    binaries = {
        "backstay": lambda: Path(os.environ.get("BENCH_BACKSTAY", cache() / "bench-target/release/backstay")),
        "restic": lambda: Path(os.environ.get("BACKSTAY_RESTIC_019", cache() / "tools/bin/restic-0.19")),
        "rustic": lambda: cache() / "bench-peers/bin/rustic",
        "kopia": lambda: shutil.which("kopia"),
        "borg": lambda: shutil.which("borg"),
    }
    binary = binaries[name]()
    if not binary or not Path(binary).exists():
        raise SystemExit(f"bench: no {name}; bench/peers {name} brings it" if name != "kopia" else
                         "bench: no kopia on the PATH; no registry ships it")
    kinds = {"backstay": Backstay, "restic": Restic, "rustic": Rustic, "kopia": Kopia, "borg": Borg}
    return kinds[name](name, binary, place)
