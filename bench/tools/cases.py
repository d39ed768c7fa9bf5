"""The cases of the sets: what is made ready, what is timed, what is put back."""
import os
import shutil
import subprocess
import sys

import measure
import s3
import sets
from places import cache, home

# One file of so many is changed for set d.
CHANGED_OF = 100
# Set f: snapshots, the files of each, and which part of them is new in each.
SNAPSHOTS, SNAPSHOT_FILES, RENEWED_OF = 20, 57_000, 25


def run(name, pair, pairs, out, which, later, tell):
    """Runs the cases of a set, and keeps the repositories that later sets need."""
    {"a": first, "b": first, "k": first, "c": unchanged, "d": changed, "e": restore, "f": prune, "g": check, "h": over_s3,
     "i": stream, "j": wide_index}[name](name, pair, pairs, (out, which) if name in "eg" else out, tell)
    for data, users in {"a": "acdeg", "b": "beg"}.items():
        if not set(users) & set(later):
            for each in pair:
                shutil.rmtree(at(each, data).repository, ignore_errors=True)


def at(each, data):
    """Points a program at its repository for some data."""
    base = home() / "repositories" / f"{each.name}-{data}"
    each.repository = base
    return each


def left_out(each, what):
    print(f"{each.name} is left out of {what}: it cannot", file=sys.stderr, flush=True)


def timed(each, case, commands, tell, stdin=None):
    before = measure.size_mib(each.repository)
    used = measure.run(commands, each.environment, stdin)
    used.stored_mib = measure.size_mib(each.repository) - before
    tell(case, each, used)


def primed(each, data):
    """Sees to it that a program has a backup of some data."""
    at(each, data)
    if not each.repository.exists():
        each.fresh()
        measure.run(each.backup(sets.make(data, home())), each.environment)


def first(name, pair, pairs, _, tell):
    folder = sets.make(name, home())
    for _ in range(pairs):
        for each in pair:
            at(each, name).fresh()
            if name != "k":
                measure.warm(folder)
            timed(each, name, each.backup(folder), tell)
    if name == "k":
        for each in pair:
            shutil.rmtree(each.repository)


def unchanged(name, pair, pairs, _, tell):
    folder = sets.make("a", home())
    for each in pair:
        primed(each, "a")
    for _ in range(pairs):
        for each in pair:
            timed(at(each, "a"), name, each.backup(folder), tell)


def changed(name, pair, pairs, _, tell):
    folder = sets.make("a", home())
    for each in pair:
        primed(each, "a")
    for number in range(pairs):
        touched = []
        for count, (path, size) in enumerate(sets.files_below(folder, lambda *_: True)):
            if count % CHANGED_OF == number % CHANGED_OF:
                touched.append((path, size, os.stat(path).st_mtime_ns))
                with open(path, "ab") as file:
                    file.write(b"changed %d\n" % number)
        for each in pair:
            timed(at(each, "a"), name, each.backup(folder), tell)
        for path, size, modified in touched:
            os.truncate(path, size)
            os.utime(path, ns=(modified, modified))
        # The files have their bytes again, and another change time: both see them before they are timed again.
        for each in pair:
            measure.run(at(each, "a").backup(folder), each.environment)


def restore(name, pair, pairs, where, tell):
    out, which = where
    for data in which:
        for each in pair:
            primed(each, data)
        for _ in range(pairs):
            for each in pair:
                at(each, data)
                measure.warm(each.repository)
                target = out / each.name
                target.mkdir(parents=True)
                used = measure.run(each.restore(target), each.environment)
                tell(f"{name}-{data}", each, used)
                shutil.rmtree(target)


def check(name, pair, pairs, where, tell):
    for data in where[1]:
        for each in pair:
            primed(each, data)
        for _ in range(pairs):
            for each in pair:
                commands = at(each, data).check()
                if commands is None:
                    left_out(each, name)
                    continue
                measure.warm(each.repository)
                timed(each, f"{name}-{data}", commands, tell)


def prune(name, pair, pairs, _, tell):
    """Both get copies of one repository, so that the same space is there to be freed."""
    maker = next((each for each in pair if each.name == "restic"), pair[0])
    base = at(maker, "f")
    base.fresh()
    tree = home() / "repositories" / "f-tree"
    shutil.rmtree(tree, ignore_errors=True)
    source = sets.make("a", home())
    files = []
    for count, (path, size) in enumerate(sets.files_below(source, lambda *_: True)):
        if count % 3 == 0 and len(files) < SNAPSHOT_FILES:
            name_in = tree / os.path.relpath(path, source)
            name_in.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, name_in)
            files.append(name_in)
    for number in range(SNAPSHOTS):
        for path in files[number % RENEWED_OF::RENEWED_OF] if number else []:
            with open(path, "r+b") as file:
                file.write(b"%02d" % number)
        measure.run(base.backup(tree), base.environment)
    kept = home() / "repositories" / "f-kept"
    shutil.rmtree(kept, ignore_errors=True)
    base.repository.rename(kept)
    for _ in range(pairs):
        for each in pair:
            at(each, "f")
            commands = each.forget_and_prune()
            if commands is None or not each.shared_engine_repository():
                left_out(each, name)
                continue
            shutil.rmtree(each.repository, ignore_errors=True)
            shutil.copytree(kept, each.repository)
            timed(each, name, commands, tell)
            shutil.rmtree(each.repository)
    shutil.rmtree(kept)
    shutil.rmtree(tree)


def over_s3(name, pair, pairs, _, tell):
    folder = sets.make("h", home())
    for _ in range(pairs):
        for each in pair:
            if each.name not in ("backstay", "restic"):
                left_out(each, name)
                continue
            with s3.server() as server:
                each.repository = server.repository(each)
                each.environment.update(server.environment)
                measure.run(each.init(), each.environment)
                with server.throttled() as proxy:
                    each.repository = proxy.repository(each)
                    used = measure.run(each.backup(folder), each.environment)
                used.requests = proxy.requests
                used.stored_mib = server.stored_mib(each)
                tell(f"{name}-{proxy.most}-connections" if os.environ.get("BENCH_CONNECTIONS") else name, each, used)


def stream(name, pair, pairs, _, tell):
    image = sets.make("i", home()) / "volume.img"
    for _ in range(pairs):
        for each in pair:
            at(each, name)
            commands = each.stream()
            if commands is None:
                left_out(each, name)
                continue
            each.fresh()
            measure.warm(image.parent)
            timed(each, name, commands, tell, stdin=image)
            shutil.rmtree(each.repository)


def wide_index(name, pair, pairs, _, tell):
    """Both get copies of one repository, whose index was made up."""
    folder = sets.make("j", home())
    kept = home() / "data" / "j-repository"
    ours = next(each for each in pair if each.name == "backstay")
    if not kept.exists():
        at(ours, "j-part").fresh()
        engine = cache() / "bench-target/release/examples/engine"
        subprocess.run([engine, "index", ours.repository, str(sets.INDEX_BLOBS)], env=ours.environment, check=True)
        ours.repository.rename(kept)
    for _ in range(pairs):
        for each in pair:
            if not each.shared_engine_repository():
                left_out(each, name)
                continue
            shutil.rmtree(at(each, name).repository, ignore_errors=True)
            shutil.copytree(kept, each.repository)
            timed(each, name, each.backup(folder), tell)
            shutil.rmtree(each.repository)
