//! Repair: makes of a damaged repository one that is whole again, and names what was lost.
//!
//! ```text
//!  index      packs in the storage ─> an index that names what they hold, and nothing else
//!  packs      damaged packs ─> their intact blobs in new packs
//!  snapshots  snapshots that refer to lost data ─> repaired ones without it, every changed path told
//! ```
//!
//! In this order: what the index does not name counts as lost, and what lies in a damaged pack can be saved only as long as
//! somebody knows where. Each is a plan that changes nothing, and an `apply` that may die at any moment and be repeated.
//! The order of writes is that of prune: packs, index files, snapshots, and what these replace goes last.

pub mod index;
pub mod packs;
pub mod snapshots;
