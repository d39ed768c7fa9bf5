//! How far a verb is: a live line on a terminal, JSON lines of restic's shape with `--json`, nothing elsewhere.
