"""Makes the data of the sets: the same bytes for the same machine, from a seed and from what every machine has."""
import os
import random
import shutil

import tarfile
from pathlib import Path

SEED = 20261122
MIB = 1 << 20

# Set a: what machines hold most of is small files. Each further copy of these folders is changed, so that no file is a
# duplicate of another.
TREES = ["~/.cargo/registry/src", "/usr/share", "/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/local/lib"]
TREE_FILES = 190_000
TREE_BYTES = 2_500_000_000
TREE_FILE_BYTES_MAX = 4 * MIB

# Set b: ten files.
LARGE = {"noise-0": 1024, "noise-1": 256, "noise-2": 256, "noise-3": 256, "noise-4": 256,
         "libraries.tar": 1024, "log-0": 256, "log-1": 256, "log-2": 256, "log-3": 256}
LIBRARIES = ["/usr/lib", "~/.rustup/toolchains", "/usr/bin", "/usr/local/lib"]

IMAGE_BYTES = 8 << 30
EMPTY_FILES = 2_000_000
INDEX_BLOBS = 10_000_000
NOISE_BYTES = 268_435_456


def files_below(folder, accepts):
    """Yields the regular files of a tree in the order of their names."""
    for at, folders, names in os.walk(Path(folder).expanduser()):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            try:
                info = os.lstat(path)
            except OSError:
                continue
            if (info.st_mode & 0o170000) == 0o100000 and accepts(path, info.st_size):
                yield path, info.st_size


def small_files(target):
    files, size, copy = 0, 0, 0
    while files < TREE_FILES or size < TREE_BYTES:
        before = files
        for number, tree in enumerate(TREES):
            root = Path(tree).expanduser()
            # When there are enough files, larger ones bring the bytes.
            least = 24_000 if files >= TREE_FILES else 0
            for path, bytes_of in files_below(root, lambda _, size: least <= size <= TREE_FILE_BYTES_MAX):
                if files >= TREE_FILES and size >= TREE_BYTES:
                    return
                try:
                    body = Path(path).read_bytes()
                except OSError:
                    continue
                at = target / f"{copy}-{number}" / os.path.relpath(path, root)
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_bytes(b"%d " % copy + body if copy else body)
                os.utime(at, ns=((1_700_000_000 + files) * 10**9,) * 2)
                files, size = files + 1, size + bytes_of
        if files == before:
            raise SystemExit("bench/data: this machine has no files to make set a of")
        copy += 1


def noise(path, bytes_wanted, seed):
    made = random.Random(seed)
    with open(path, "wb") as file:
        for at in range(0, bytes_wanted, MIB):
            file.write(made.randbytes(min(MIB, bytes_wanted - at)))


def log(path, bytes_wanted, seed):
    made = random.Random(seed)
    words = "accepted refused opened closed timeout retry session queue worker backup snapshot volume lease pack".split()
    second = 1_700_000_000 + seed % 1000
    with open(path, "wb") as file:
        left = bytes_wanted
        while left > 0:
            lines = []
            for _ in range(8192):
                bits = made.getrandbits(64)
                second += bits & 1
                lines.append(f"{second}.{bits >> 44 & 1023:03} host-{bits >> 1 & 15} {words[bits >> 5 & 7]}[{bits >> 8 & 4095}]: "
                             f"{words[(bits >> 20) % 14]} {words[(bits >> 24) % 14]} id={bits >> 28 & 0xffff:x} in {bits >> 50} ms\n")
            body = "".join(lines).encode()[:left]
            file.write(body)
            left -= len(body)


def libraries(path, bytes_wanted):
    """A tar of shared libraries and programs, cut at a size."""
    with open(path, "wb") as file, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        looks = lambda path, size: size > 16_000 and (".so" in os.path.basename(path) or os.access(path, os.X_OK))
        for folder in LIBRARIES:
            for source, _ in files_below(folder, looks):
                if tar.offset >= bytes_wanted:
                    break
                entry = tar.gettarinfo(source)
                entry.type, entry.linkname, entry.mtime, entry.uid, entry.gid = tarfile.REGTYPE, "", 0, 0, 0
                entry.size, entry.uname, entry.gname = os.path.getsize(source), "", ""
                with open(source, "rb") as body:
                    tar.addfile(entry, body)
    if os.path.getsize(path) < bytes_wanted:
        print(f"bench/data: this machine has libraries of {os.path.getsize(path) >> 20} MiB only")
    else:
        os.truncate(path, bytes_wanted)


def large_files(target):
    for number, (name, mib) in enumerate(LARGE.items()):
        if name.startswith("noise"):
            noise(target / name, mib * MIB, SEED + number)
        elif name.startswith("log"):
            log(target / name, mib * MIB, SEED + number)
        else:
            libraries(target / name, mib * MIB)


def image(target, large):
    """A volume's image: extents of the bytes of set b, and as many bytes of holes, from 64 KiB to 16 MiB each."""
    made = random.Random(SEED)
    sources = [open(large / name, "rb") for name in sorted(LARGE)]
    with open(target / "volume.img", "wb") as out:
        at, data = 0, 0
        while at < IMAGE_BYTES:
            for filled in (True, False):
                extent = min(64 * 1024 << made.randrange(9), IMAGE_BYTES - at)
                if filled and data < IMAGE_BYTES // 2:
                    out.seek(at)
                    left = extent
                    while left and sources:
                        # From one file, then from the next: file systems mix what they hold.
                        source = sources[made.randrange(len(sources))]
                        body = source.read(left)
                        out.write(body)
                        left -= len(body)
                        if not body:
                            sources.remove(source)
                    data += extent
                at += extent
        out.truncate(IMAGE_BYTES)


def empty_files(target):
    for folder in range(EMPTY_FILES // 1000):
        at = target / f"{folder // 100:02}" / f"{folder % 100:02}"
        at.mkdir(parents=True)
        for name in range(1000):
            os.close(os.open(at / f"file-{name:03}", os.O_CREAT | os.O_WRONLY, 0o644))


def make(name, home):
    """Makes a set unless it is there, and returns its folder."""
    target = home / "data" / name
    if target.exists():
        return target
    part = home / "data" / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    if name == "i":
        make("b", home)
    part.mkdir(parents=True)
    {"a": lambda: small_files(part), "b": lambda: large_files(part), "i": lambda: image(part, home / "data" / "b"),
     "k": lambda: empty_files(part), "h": lambda: noise(part / "noise", NOISE_BYTES, SEED),
     "j": lambda: (part / "one").write_bytes(b"one file")}[name]()
    part.rename(target)
    return target


def describe(folder):
    """Returns how many files a folder has, and their bytes."""
    count = size = small = 0
    for _, bytes_of in files_below(folder, lambda *_: True):
        count, size, small = count + 1, size + bytes_of, small + (bytes_of < 65536)
    return f"{count} files, {size / 1e9:.2f} GB, {100 * small / max(count, 1):.0f} % below 64 KiB"
