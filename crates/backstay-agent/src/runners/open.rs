//! What a backup reads, as the engine takes it: a tree with what is left out of it, or a stream.
//!
//! Nothing of a stream runs before the repository is open and locked: a dump that waits holds a transaction.

use std::path::PathBuf;

use backstay_core::domain::source::Source;
use backstay_core::ports::source::{Opened, SourceError, SourceKind, SourceStream};
use backstay_engine::archive::exclude::Excludes;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::Archived;
use backstay_engine::archive::run::archive;
use backstay_engine::archive::stream::{Stream, archive_stream};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};

use super::{RunError, Runner};
use crate::agent::Commands;
use crate::sources::filesystem::excludes_of;
use crate::sources::source_kind;

/// What is read.
#[derive(Debug)]
pub(super) enum Reading {
    /// A tree.
    Tree { root: PathBuf, excludes: Box<Excludes> },
    /// A stream that was not begun.
    Stream(SourceStream),
}

/// Returns the kind of a source, if this agent does what it asks for.
pub(super) fn permitted(runner: &Runner, source: &Source) -> Result<&'static dyn SourceKind, SourceError> {
    let kind = source_kind(&source.kind)?;
    match (kind.runs_commands(), runner.options.commands) {
        (true, Commands::Refused) => Err(SourceError::CommandsRefused),
        _ => Ok(kind),
    }
}

impl Reading {
    /// Opens an item.
    pub(super) async fn of(runner: &Runner, source: &Source, item: &str) -> Result<Self, RunError> {
        match permitted(runner, source)?.open(&source.settings, item).await? {
            Opened::Path { path, left_out } => {
                let excludes = excludes_of(&left_out).map_err(SourceError::from)?;
                Ok(Self::Tree { root: path, excludes: Box::new(excludes) })
            }
            Opened::Stream(stream) => Ok(Self::Stream(stream)),
            _ => Err(RunError::Unsupported { what: "a source of a shape that it cannot read".to_owned() }),
        }
    }

    /// Returns the roots of the tree; none for a stream.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        match self {
            Self::Tree { root, .. } => vec![root.clone()],
            Self::Stream(_) => Vec::new(),
        }
    }

    /// Returns what is left out.
    pub(super) fn excludes(&self) -> Excludes {
        match self {
            Self::Tree { excludes, .. } => (**excludes).clone(),
            Self::Stream(_) => Excludes::default(),
        }
    }

    /// Reads all of it into a repository.
    pub(super) fn archive<'a>(
        self,
        repository: &'a Repository,
        options: &'a ArchiveOptions,
        progress: &EngineProgress,
        interrupt: &Interrupt,
    ) -> Result<Archived<'a>, EngineError> {
        let SourceStream { path, begin } = match self {
            Self::Tree { .. } => return archive(repository, options, progress, interrupt),
            Self::Stream(stream) => stream,
        };
        interrupt.check()?;
        let begun = begin().map_err(|source| EngineError::Source { path: path.display().to_string(), source })?;
        let stream = Stream::with_stop(begun.reader, begun.stop);
        archive_stream(repository, options, &path, stream, progress, interrupt)
    }
}
