//! Wrappers at the ports that stand still once: a storage and a clock.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::ports::clock::Clock;
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::storage::FakeStorage;
use bytes::Bytes;
use jiff::Timestamp;

use super::Place;

/// What happens while somebody stands still.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// Where somebody is to be held next, once.
#[derive(Default, Clone)]
pub(super) struct Hold(Arc<Mutex<Option<(Place, Meanwhile)>>>);

impl Hold {
    /// Arms it.
    pub(super) fn arm(&self, place: Place, meanwhile: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((place, Box::new(meanwhile)));
    }

    /// Says whether somebody was held since it was armed.
    pub(super) fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    /// Stands still here, if this is the place.
    pub(super) fn at(&self, place: Place) {
        let taken = self.0.lock().unwrap().take_if(|(armed, _)| *armed == place);
        if let Some((_, meanwhile)) = taken {
            // On a thread of its own: whoever stands still may be in the middle of waiting for something.
            std::thread::spawn(meanwhile).join().unwrap();
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

/// A storage in memory whose clock is the simulation's.
#[derive(Debug)]
pub(super) struct HeldStorage {
    inner: FakeStorage,
    hold: Hold,
    clock: ManualClock,
    made: Mutex<HashMap<String, Timestamp>>,
    /// Packs that were put since the hold was armed.
    packs: Mutex<u64>,
}

impl HeldStorage {
    pub(super) fn new(hold: Hold, clock: ManualClock) -> Self {
        Self { inner: FakeStorage::default(), hold, clock, made: Mutex::default(), packs: Mutex::default() }
    }

    /// Counts packs from zero again.
    pub(super) fn begin(&self) {
        *self.packs.lock().unwrap() = 0;
    }
}

#[async_trait]
impl ObjectStorage for HeldStorage {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        match key.as_str().split('/').next() {
            Some("data") => {
                let nth = {
                    let mut packs = self.packs.lock().unwrap();
                    *packs += 1;
                    *packs
                };
                match nth {
                    1 => self.hold.at(Place::RenewalToPack),
                    2 => self.hold.at(Place::PackToPack),
                    _ => {}
                }
            }
            Some("index") => self.hold.at(Place::PackToIndex),
            Some("snapshots") => self.hold.at(Place::SecondLookToSnapshot),
            _ => {}
        }
        let answer = self.inner.object_put_with(key, body, options).await;
        self.made.lock().unwrap().entry(key.to_string()).or_insert_with(|| self.clock.now());
        answer
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        self.inner.object_get(key, range, cache).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        self.inner.object_size(key).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let mut dated = |object: ListedObject| {
            let made = self.made.lock().unwrap().get(object.key.as_str()).copied();
            each(ListedObject { modified_at: made.unwrap_or(object.modified_at), ..object });
        };
        self.inner.object_list(folder, &mut dated).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.made.lock().unwrap().remove(key.as_str());
        self.inner.object_remove(key).await
    }
}

/// A clock that is asked between a finish and its rows.
pub(super) struct HeldClock {
    pub(super) clock: ManualClock,
    pub(super) hold: Hold,
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        self.hold.at(Place::FinishToRows);
        self.clock.now()
    }
}
