//! The source kinds: one file and one row each.

pub mod filesystem;

use backstay_core::ports::source::{SettingsError, SourceError, SourceKind};

/// Every source kind that there is.
pub const SOURCE_KINDS: &[&dyn SourceKind] = &[&filesystem::Filesystem];

/// Returns the kind of this name.
///
/// # Errors
/// [`SourceError::Settings`], naming what there is.
pub fn source_kind(name: &str) -> Result<&'static dyn SourceKind, SourceError> {
    SOURCE_KINDS.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let known: Vec<_> = SOURCE_KINDS.iter().map(|kind| kind.name()).collect();
        let problem = format!("this agent knows no source kind `{name}`; known: {}", known.join(", "));
        SourceError::Settings(SettingsError { field: "kind".to_owned(), problem })
    })
}
