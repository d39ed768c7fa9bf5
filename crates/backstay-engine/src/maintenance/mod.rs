//! What keeps a repository small and whole: forget, prune, check, repair, rewrite, copy, and its keys.
//!
//! Each is a preview, a value that says what would happen, and a second function that does it. `forget` removes
//! snapshots, `prune` data that no snapshot needs (in two phases, so that a writer whom a lock did not keep out loses
//! nothing), `check` finds harm, `repair` mends it, `rewrite` makes snapshots anew, `copy` takes them to another
//! repository, `key` changes who opens this one. Decision records 0012 and 0032 have the arguments.
//!
//! Memory is bounded whatever the repository: what is known of blobs lies in files when there are many (`by_pack`), or is a
//! bit each. Decision record 0038 says what is held.
//!
//! Absent on purpose: taking locks. The caller takes one and hands its guard in, where one is needed.

mod bits;
mod by_pack;
mod in_order;
mod ledger;
mod repack;
mod tree_queue;
pub mod forget;
pub mod prune;
pub mod repair;
pub mod rewrite;
pub mod copy;
pub mod check;
pub mod key;
