//! What stands still once: the port of jobs, the randomness behind it, and the places of the engine that a test may
//! hear of.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::random::Random;
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::random::SeededRandom;
use bytes::Bytes;
use jiff::Timestamp;

use super::Place;

/// What happens while somebody stands still.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// Where somebody is to be held next, once.
#[derive(Default, Clone)]
pub(super) struct Hold(Arc<Mutex<Option<(Place, Meanwhile)>>>);

/// Whose engine passes places now.
static HELD: Mutex<Option<Hold>> = Mutex::new(None);

/// Packs that were put since a hold was armed.
static PACKS: AtomicU64 = AtomicU64::new(0);

/// Hears of a place of the production code, and holds who passes it.
fn passed(place: &str, moment: &str) {
    let place = match (place, moment) {
        ("pack", "before") => match PACKS.fetch_add(1, SeqCst) {
            0 => Place::WorkToPack,
            1 => Place::PackToPack,
            _ => return,
        },
        ("index", "before") => Place::PackToIndex,
        ("snapshot", "before") => Place::SecondLookToSnapshot,
        _ => return,
    };
    let held = HELD.lock().unwrap().clone();
    if let Some(hold) = held {
        hold.at(place);
    }
}

impl Hold {
    /// Arms it.
    pub(super) fn arm(&self, place: Place, meanwhile: impl FnOnce() + Send + 'static) {
        backstay_failpoint::listen(passed);
        PACKS.store(0, SeqCst);
        *HELD.lock().unwrap() = Some(self.clone());
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
            // On a thread of its own: whoever stands still may be in the middle of waiting for something. What else this
            // thread had to do, such as giving a connection back, is done by others meanwhile.
            tokio::task::block_in_place(|| std::thread::spawn(meanwhile).join().unwrap());
        }
    }
}

/// The repository's storage as its pruner sees it: on the simulation's clock. Agents open it by themselves.
#[derive(Debug)]
pub(super) struct DatedStorage {
    inner: Arc<dyn ObjectStorage>,
    clock: ManualClock,
    made: Mutex<HashMap<String, Timestamp>>,
}

impl DatedStorage {
    pub(super) fn new(inner: Arc<dyn ObjectStorage>, clock: ManualClock) -> Self {
        Self { inner, clock, made: Mutex::default() }
    }
}

#[async_trait]
impl ObjectStorage for DatedStorage {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
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
            let mut made = self.made.lock().unwrap();
            let modified_at = *made.entry(object.key.to_string()).or_insert_with(|| self.clock.now());
            drop(made);
            each(ListedObject { modified_at, ..object });
        };
        self.inner.object_list(folder, &mut dated).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.made.lock().unwrap().remove(key.as_str());
        self.inner.object_remove(key).await
    }
}

/// Randomness that is asked for between a finish and its rows, which get their ids then.
pub(super) struct HeldRandom {
    pub(super) random: SeededRandom,
    pub(super) hold: Hold,
}

impl Random for HeldRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.hold.at(Place::FinishToRows);
        self.random.fill(bytes);
    }
}
