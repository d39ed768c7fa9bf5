//! A bucket of an S3 server: Amazon's, Ceph's gateway, and the many that speak the same.
//!
//! `settings` is what a row keeps, `access` who signs, `wire` one exchange with the server and the judgement of its
//! answer, `answer` what a refusal means, `storage` the port itself on OpenDAL. What is opened here repeats what may
//! pass (`crate::retry`). Decision record 0011 says why OpenDAL, and what it is not trusted with.
//!
//! Absent on purpose: multipart uploads (a pack is far below the 5 GiB of a single put), and any secret in settings,
//! errors or debug output.

mod settings;
mod access;
mod answer;
mod wire;
mod storage;

use std::sync::Arc;

use futures::executor::block_on;
use serde_json::Value;

use self::settings::Settings;
pub use self::settings::settings_of;
use self::storage::S3Storage;
use crate::credentials::StorageCredentials;
use crate::error::StorageError;
use crate::kind::{Presence, StorageKind, joined};
use crate::object::ObjectStorage;
use crate::pace::SystemPace;
use crate::retry::{Retry, RetryRules};

/// The storage kind `s3`.
#[derive(Debug)]
pub struct S3;

impl StorageKind for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn describe(&self) -> &'static str {
        "A bucket of an S3 server"
    }

    fn schema(&self) -> Value {
        Settings::schema()
    }

    fn parse(&self, settings: &Value) -> Result<Value, StorageError> {
        Ok(Settings::parse(settings)?.row(settings))
    }

    fn below(&self, settings: &Value, path: &str) -> Value {
        let mut below = settings.clone();
        below["prefix"] = joined(settings["prefix"].as_str().filter(|prefix| !prefix.is_empty()), path).into();
        below
    }

    fn open(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        let storage = S3Storage::new(Settings::parse(settings)?, credentials)?;
        let retry = Retry::new(Arc::new(storage.clone()), RetryRules::default(), Arc::new(SystemPace::default()));
        block_on(retry.again(|| storage.meet(presence)))?;
        Ok(Arc::new(retry))
    }

    fn open_once(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        open_without_retries(settings, credentials, presence)
    }
}

/// Opens a bucket whose calls are tried once each: for whoever brings retry rules of its own.
///
/// # Errors
/// As [`StorageKind::open`].
pub fn open_without_retries(
    settings: &Value,
    credentials: &StorageCredentials,
    presence: Presence,
) -> Result<Arc<dyn ObjectStorage>, StorageError> {
    let storage = S3Storage::new(Settings::parse(settings)?, credentials)?;
    block_on(storage.meet(presence))?;
    Ok(Arc::new(storage))
}
