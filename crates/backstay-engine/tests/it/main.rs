//! The engine from outside: real restic as oracle, harm on order, and trees of every sort.
//!
//! `house` makes repositories and runs the engine on them, `tree` makes and compares trees, `restic` runs the oracles,
//! `forge` writes what no honest writer would. The other files are the tests, by matter. restic 0.14 and 0.19 come from
//! `BACKSTAY_RESTIC_014` and `BACKSTAY_RESTIC_019`, or from the cache that the project's tools are fetched to; without
//! them their tests are skipped aloud, and red where `CI` is `true`.

#[cfg(test)]
mod house;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod restic;
#[cfg(test)]
mod rustic;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod rustic_oracle;
#[cfg(test)]
mod rescan;
#[cfg(test)]
mod large;
#[cfg(test)]
mod unread;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod slice;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod parsers;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod index_files;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod flips_maintain;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod names;
#[cfg(test)]
mod nth;
#[cfg(test)]
mod nth_backup;
#[cfg(test)]
mod nth_restore;
#[cfg(test)]
mod nth_check;
#[cfg(test)]
mod nth_maintain;
#[cfg(test)]
mod restore_half;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod create;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod restore_deep;
#[cfg(test)]
mod restore_oracle;
#[cfg(test)]
mod restore_meet;
#[cfg(test)]
mod restore_resume;
#[cfg(test)]
mod restore_stream;
#[cfg(test)]
mod restore_fail;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod mortal;
#[cfg(test)]
mod prune;
#[cfg(test)]
mod prune_requests;
#[cfg(test)]
mod holes;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod repair_packs;
#[cfg(test)]
mod repair_snapshots;
#[cfg(test)]
mod rewrite;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod repair_beside;
#[cfg(test)]
mod forget;
#[cfg(test)]
mod key;
#[cfg(test)]
mod check;
#[cfg(test)]
mod together;
