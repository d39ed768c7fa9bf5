//! The restic repository format, version 2, as bytes: no I/O here, but the file that a
//! large index lies in (`sorted`).
//!
//! The source of every rule is restic's design document (`doc/design.rst`, read as a specification) and, where it is
//! silent, what restic 0.14 and 0.19 write and accept; the tests hold both against us. Read `id`, `crypto`, then the
//! objects in the order in which a repository is made: `key`, `config`, `pack`, `index`, `tree`, `snapshot`.

pub mod id;
pub mod crypto;
pub mod compression;
pub mod object;
pub mod key;
pub mod polynomial;
pub mod config;
pub mod chunker;
pub mod pack;
pub mod index;
pub(crate) mod sorted;
pub mod node;
pub mod tree;
pub mod name;
pub mod time;
pub mod snapshot;
pub mod lock;

/// Why bytes are not what the format demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The seal does not fit: wrong key or changed bytes.
    #[error("the {what} does not authenticate: it was changed, or the key is another")]
    Seal {
        /// What was opened.
        what: &'static str,
    },
    /// It does not have the shape that the format demands.
    #[error("the {what} has the wrong shape: {problem}")]
    Shape {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It hashes to another id than its name.
    #[error("the {what} {wanted} hashes to {found}")]
    Hash {
        /// What was read.
        what: &'static str,
        /// The id that it should have.
        wanted: id::Id,
        /// The id that it has.
        found: id::Id,
    },
    /// The repository has a format version that we do not know.
    #[error("the repository has format version {version}; this program reads version 2")]
    Version {
        /// The version.
        version: u32,
    },
    /// No key opens with this password.
    #[error("the password opens none of the repository's keys")]
    Password,
}

impl FormatError {
    /// Says that something has the wrong shape.
    pub(crate) fn shape(what: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Shape { what, problem: problem.to_string() }
    }
}
