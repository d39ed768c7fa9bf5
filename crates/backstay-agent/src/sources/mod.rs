//! The source kinds: one file and one row each.
//!
//! A kind reads one sort of source and judges its settings; the port says what each must do, its conformance suite holds
//! it to that. Nothing else in the product names a kind: the API, the command line and the agent look into the slice.

mod settings;
mod trial;
mod first_look;
pub(crate) mod run;
pub(crate) mod private;
mod database;
pub mod filesystem;
pub mod foreign;
pub mod command;
pub mod sqlite;
pub mod postgresql;
pub mod mariadb;

use backstay_core::ports::source::{SettingsError, SourceError, SourceKind};

/// Every source kind that there is.
pub const SOURCE_KINDS: &[&dyn SourceKind] = &[
    &filesystem::Filesystem,
    &command::Command,
    &sqlite::Sqlite,
    &postgresql::Postgresql,
    &mariadb::Mariadb,
    &foreign::Foreign,
];

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
