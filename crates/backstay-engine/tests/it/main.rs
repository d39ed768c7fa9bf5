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
mod forge;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod rescan;
#[cfg(test)]
mod unread;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod create;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod lock;
mod layout;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod moving;
