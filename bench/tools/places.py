"""Where benchmarks keep what they make and find what they use."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cache():
    return Path(os.environ.get("BACKSTAY_CACHE", "~/.cache/backstay")).expanduser()


def home():
    return Path(os.environ.get("BENCH_HOME", cache() / "bench-data"))
