//! The adapters that are the machine itself: its clock, its randomness, its names, its storage kinds.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backstay_core::domain::probe::Probe;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::random::Random;
use backstay_core::ports::source::SettingsError;
use backstay_core::ports::storage::StorageJudge;
use backstay_storage::{AccessKey, Purpose, STORAGE_KINDS, StorageError, StorageKind};
use jiff::Timestamp;
use rand::RngCore;
use serde_json::Value;

use super::storage_probe;

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Rows keep microseconds: what was written and what is read back are the same instant.
        let micros = Timestamp::now().as_microsecond();
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The system's generator, good enough for keys.
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// A storage kind as the API's door sees it.
struct Judge(&'static dyn StorageKind);

#[async_trait]
impl StorageJudge for Judge {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn describe(&self) -> &'static str {
        self.0.describe()
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }

    fn below(&self, settings: &Value, path: &str) -> Value {
        self.0.below(settings, path)
    }

    fn judge(&self, settings: &Value) -> Result<Value, SettingsError> {
        self.0.parse(settings).map_err(|error| match error {
            StorageError::Settings { field, problem } => SettingsError { field: field.to_owned(), problem },
            other => SettingsError { field: "kind".to_owned(), problem: other.to_string() },
        })
    }

    async fn probe(&self, settings: &Value, keys: BTreeMap<Purpose, AccessKey>, name: &str) -> Probe {
        storage_probe::probe(self.0, settings, keys, name).await
    }
}

/// Returns the storage kinds for the API's door.
pub(crate) fn storage_judges() -> Vec<Box<dyn StorageJudge>> {
    STORAGE_KINDS.iter().map(|kind| Box::new(Judge(*kind)) as Box<dyn StorageJudge>).collect()
}

/// Returns the machine's name, as snapshots show it.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns the user's name, as snapshots show it.
pub(crate) fn username() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_clock_keeps_the_promises_of_a_clock() {
        backstay_testkit::conformance::clock::exercise(&SystemClock);
    }
}
