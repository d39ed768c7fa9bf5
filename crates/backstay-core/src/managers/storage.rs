//! Tries a storage with the keys that are declared for it.

use std::collections::BTreeMap;

use super::context::Context;
use super::lease::access_key;
use crate::domain::probe::Probe;
use crate::domain::storage::Storage;
use crate::ports::secret::SecretError;
use crate::ports::storage::StorageJudge;

/// What the names of objects begin with that a test writes.
const PREFIX: &str = "backstay-test-";

/// Tries a storage: what a backup, a restore and a prune would do there, with a tiny object that is gone afterwards.
///
/// # Errors
/// [`SecretError`]: a key that is not to be had.
pub async fn storage_test(
    context: &Context,
    judge: &dyn StorageJudge,
    storage: &Storage,
) -> Result<Probe, SecretError> {
    let mut keys = BTreeMap::new();
    for (purpose, reference) in &storage.credentials {
        keys.insert(*purpose, access_key(context, reference).await?);
    }
    let name = format!("{PREFIX}{}", data_encoding::HEXLOWER.encode(&context.ten()));
    Ok(judge.probe(&storage.place.settings, keys, &name).await)
}
