#!/usr/bin/env python3
"""Holds the dependencies in Cargo.lock against deny.toml: licences, bans, sources.

The stand-in for cargo-deny where that is not installed: it takes minutes to build, this takes a second. It reads the
same keys of the same file and knows no rule of its own; a key that it does not know is an error, so that nobody
believes in a rule which is not kept. Advisories need a database from outside and are not judged here.

Usage: ci/deny.py [--self-test]        Exit codes: 0 clean, 1 findings, 2 it could not judge.
"""

import fnmatch
import json
import os
import re
import subprocess
import sys

try:
    import tomllib
except ImportError:
    sys.exit("deny: Python 3.11 or newer is needed (Debian 12: apt-get install python3)")

PUBLIC_REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"  # as Cargo.lock names it
LEVELS = ("deny", "warn", "allow")
KNOWN = {
    "graph": {"targets", "all-features"},
    "licenses": {"allow", "exceptions", "confidence-threshold", "private",
                 "unused-allowed-license", "unused-license-exception"},
    "bans": {"multiple-versions", "wildcards", "allow-wildcard-paths", "deny"},
    "sources": {"unknown-registry", "unknown-git", "allow-registry", "allow-git"},
}


class Refused(Exception):
    """The input cannot be judged."""


def allowed(expression, allow):
    """Whether the licence EXPRESSION (SPDX, or the old form with '/') can be met with the set ALLOW alone."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    place = 0

    def peek():
        return words[place] if place < len(words) else None

    def take():
        nonlocal place
        word = peek()
        if word is None:
            raise Refused(f"the licence '{expression}' ends too soon")
        place += 1
        return word

    def one():
        word = take()
        if word == "(":
            inner = any_of()
            if take() != ")":
                raise Refused(f"the licence '{expression}' has a bracket too few")
            return inner
        if word in (")", "AND", "OR", "WITH"):
            raise Refused(f"the licence '{expression}' has '{word}' where a name belongs")
        if peek() == "WITH":
            take()
            word = f"{word} WITH {take()}"
        return word in allow

    def all_of():
        good = one()
        while peek() == "AND":
            take()
            good = one() and good
        return good

    def any_of():
        good = all_of()
        while peek() == "OR":
            take()
            good = all_of() or good
        return good

    good = any_of()
    if peek() is not None:
        raise Refused(f"the licence '{expression}' has '{peek()}' too much")
    return good


def licences(packages, rules):
    """Findings about what licences the packages are under."""
    allow = set(rules.get("allow", []))
    for package in packages:
        named = f"{package['name']} {package['version']}"
        if not package.get("license"):
            yield "deny", f"{named} names no licence"
            continue
        more = {licence for exception in rules.get("exceptions", []) if exception["crate"] == package["name"]
                for licence in exception["allow"]}
        if not allowed(package["license"], allow | more):
            yield "deny", f"{named} is under '{package['license']}', which [licenses] does not allow: find another crate"


def bans(packages, rules):
    """Findings about crates that may not be there, and about crates that are there twice."""
    versions = {}
    denied = {entry if isinstance(entry, str) else entry["crate"] for entry in rules.get("deny", [])}
    for package in packages:
        versions.setdefault(package["name"], set()).add(package["version"])
        if package["name"] in denied:
            yield "deny", f"{package['name']} {package['version']} is banned: see who wants it with `cargo tree -i {package['name']}`"
        if package["source"] is None and rules.get("wildcards", "allow") != "allow":
            for wanted in package["dependencies"]:
                by_path = wanted.get("path") and rules.get("allow-wildcard-paths", False)
                if wanted["req"] == "*" and not by_path:
                    yield rules["wildcards"], f"{package['name']} takes any version of {wanted['name']}: name one"
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            yield rules.get("multiple-versions", "warn"), f"{name} is there {len(found)} times: {', '.join(sorted(found))}"


def sources(packages, rules):
    """Findings about where packages come from."""
    registries = {"registry+" + index for index in rules["allow-registry"]} if "allow-registry" in rules else {PUBLIC_REGISTRY}
    for package in packages:
        source = package["source"]
        named = f"{package['name']} {package['version']}"
        if source is None:
            continue
        if source.startswith("git+"):
            if source[4:].split("?")[0].split("#")[0] not in rules.get("allow-git", []):
                yield rules.get("unknown-git", "warn"), f"{named} comes from a git repository: {source}"
        elif source not in registries:
            yield rules.get("unknown-registry", "warn"), f"{named} comes from another registry: {source}"


def read_rules(text):
    """The rules in TEXT, or Refused when one of them would not be kept."""
    rules = tomllib.loads(text)
    for table, keys in rules.items():
        if table not in KNOWN:
            raise Refused(f"deny.toml: [{table}] is not known to ci/deny.py")
        for key, value in keys.items():
            if key not in KNOWN[table]:
                raise Refused(f"deny.toml: '{key}' in [{table}] is not known to ci/deny.py")
            if key in ("multiple-versions", "wildcards", "unknown-registry", "unknown-git") and value not in LEVELS:
                raise Refused(f"deny.toml: '{key}' in [{table}] is '{value}', not one of {', '.join(LEVELS)}")
    return rules


def read_packages(root, targets):
    """All packages that the workspace at ROOT needs on one of the TARGETS, each once."""
    found = {}
    for target in targets or [None]:
        command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
        command += ["--filter-platform", target] if target else []
        answer = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=False)
        if answer.returncode != 0:
            raise Refused(f"`{' '.join(command)}` failed")
        metadata = json.loads(answer.stdout)
        reached = {node["id"] for node in metadata["resolve"]["nodes"]}
        found.update((package["id"], package) for package in metadata["packages"] if package["id"] in reached)
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def judge(packages, rules):
    """All findings, each a level and a sentence."""
    yield from licences(packages, rules.get("licenses", {}))
    yield from bans(packages, rules.get("bans", {}))
    yield from sources(packages, rules.get("sources", {}))


def self_test(text):
    """Shows each rule of deny.toml a package that breaks it: a judge that finds nothing is no judge."""
    rules = read_rules(text)

    def package(**facts):
        return {"name": "some", "version": "1.0.0", "license": "MIT", "source": PUBLIC_REGISTRY, "dependencies": [], **facts}

    def check(packages, expected):
        denials = [sentence for level, sentence in judge(packages, rules) if level == "deny"]
        found = denials[0] if denials else ""
        assert fnmatch.fnmatch(found, expected), f"expected '{expected}', found '{found}' for {packages}"

    check([package()], "")
    check([package(license="MIT/Apache-2.0")], "")
    check([package(license="GPL-3.0-only OR MIT")], "")
    check([package(license="(MIT OR GPL-3.0-only) AND Unicode-3.0")], "")
    check([package(license="Apache-2.0 WITH LLVM-exception")], "")
    check([package(license="GPL-3.0-only WITH Classpath-exception-2.0")], "*does not allow*")
    check([package(license="MIT AND GPL-3.0-only")], "*does not allow*")
    check([package(license="AGPL-3.0-or-later")], "*does not allow*")
    check([package(license=None)], "*names no licence")
    check([package(license="MPL-2.0")], "*does not allow*")
    check([package(name="option-ext", license="MPL-2.0")], "")
    check([package(name="openssl-sys")], "openssl-sys 1.0.0 is banned*")
    check([package(source="git+ssh://somewhere/some?branch=main#abc")], "*git repository*")
    check([package(source="registry+sparse://elsewhere/")], "*another registry*")
    check([package(source=None, dependencies=[{"name": "x", "req": "*"}])], "some takes any version of x*")
    for broken in ("MIT OR", "(MIT", "MIT MIT", "AND MIT"):
        try:
            allowed(broken, {"MIT"})
        except Refused:
            continue
        raise AssertionError(f"'{broken}' was taken for a licence")
    try:
        read_rules("[bans]\nskip-tree = []")
    except Refused:
        return
    raise AssertionError("an unknown key was taken")


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(root, "deny.toml"), encoding="utf-8") as file:
        text = file.read()
    if "--self-test" in sys.argv[1:]:
        self_test(text)
        print("deny: each rule refuses what breaks it")
        return 0
    rules = read_rules(text)
    packages = read_packages(root, rules.get("graph", {}).get("targets", []))
    findings = list(judge(packages, rules))
    for level, sentence in findings:
        if level != "allow":
            print(f"deny: {'DENIED' if level == 'deny' else 'note'}: {sentence}")
    denied = sum(level == "deny" for level, _ in findings)
    print(f"deny: {len(packages)} packages, {denied} denied")
    return 1 if denied else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refused:
        print(f"deny: {refused}", file=sys.stderr)
        sys.exit(2)
