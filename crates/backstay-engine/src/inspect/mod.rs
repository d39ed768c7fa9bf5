//! Looking at snapshots as a person does: list, find, compare, count.
//!
//! `entry` reads an entry with all that restic stores about it, `walk` goes through a tree in the order of names, each
//! folder's entries right behind it. `find`, `diff` and `stats` answer like restic's commands of these names; the rules
//! were learnt from what restic 0.19 prints, and tests hold both against each other.
//!
//! Absent on purpose: JSON lines and words, which are the command line's; restoring (`restore`) and proving (`verify`).
//! Harm that is met is handed on and the walk goes on.

pub mod entry;
pub mod walk;
pub mod find;
pub mod diff;
pub mod stats;
