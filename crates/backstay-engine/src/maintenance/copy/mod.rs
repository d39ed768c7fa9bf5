//! Copy: snapshots of one repository in another, sealed with the other's key.
//!
//! ```text
//!  plan   snapshots that the other does not have ─> trees ─> blobs that it does not have
//!  apply  1 packs of the source, each read once in order ─> new packs, named by index files as they come
//!         2 snapshot files
//! ```
//!
//! Blobs stay as they were compressed, and are hashed on their way. What an index file of the target names is never sent
//! again: a copy that was cut goes on from there. It works beside others in both repositories; its shared lock in the
//! target is asked for before and after all that names something. Several copiers work at once, each with packs of its own.
//! Memory is that of both indexes, which lie in files when they are long, two bits for each blob of the source, and the
//! copiers' packs.

mod plan;
mod apply;

pub use apply::{Copied, apply};
pub use plan::{CopyPlan, CopyPreview, SnapshotCopy, plan};
