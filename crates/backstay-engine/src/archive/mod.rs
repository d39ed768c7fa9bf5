//! Makes a snapshot of a tree: walk, read, cut, hash, compress, seal, pack, upload, and publish last.
//!
//! ```text
//!  queue (one stack of folders and batches of files)
//!    │  N workers: stat, compare with the parent's tree, read, cut, hash, compress, seal into packs of their own
//!    ▼
//!  full packs ──> uploaders (a bounded queue: memory stays bounded) ──> storage
//!                    └─> index files, each after its packs are durable
//!  the last worker out of a folder writes its tree; the root's tree ends the run
//!  [`Archived::publish`] writes the snapshot: nothing before it can be seen, everything before it can be used again
//! ```
//!
//! No channel, lock or allocation a blob but one of 64 shards of known ids; where workers are free, a large file's blobs
//! are handed to them (`handed`). `run` begins it, `roots` lays out what it was
//! told, `exclude` says what is left out; `walk`, `files` (over `holes`) and `close` are what workers do, `packer` what
//! they do with blobs, `upload` what happens to packs. `stream` and `command` save one file that comes from outside.
//! Absent on purpose: leases. The caller renews its lease between [`archive`](run::archive) and
//! [`Archived::publish`](publish::Archived::publish).

pub mod options;
pub mod exclude;
mod pattern;
mod lines;
pub mod run;
pub mod publish;
pub mod stream;
pub mod command;
mod roots;
mod queue;
mod folder;
mod walk;
pub(crate) use walk::metadata_of as walk_metadata;
mod attributes;
mod files;
mod handed;
mod holes;
mod links;
mod close;
mod known;
mod owners;
mod packer;
mod upload;
mod crew;
mod estimate;
mod counters;
