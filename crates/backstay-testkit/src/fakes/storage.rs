//! A storage in memory, with harm on order: the n-th call of a sort fails, loses, cuts or lies.
//!
//! Harm that ends in an error happens in every real storage. Two sorts break the port's promise without a word, as a
//! broken server would: [`Harm::LoseWrite`] and [`Harm::CutBody`]; whoever reads must notice by itself.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use bytes::Bytes;
use jiff::Timestamp;

/// A sort of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `object_put`.
    Put,
    /// `object_get`.
    Get,
    /// `object_size`.
    Size,
    /// `object_list`.
    List,
    /// `object_remove`.
    Remove,
}

/// Sorts of calls.
const CALLS: usize = 5;

/// What a call suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing is done, and the answer says so.
    Fail,
    /// Nothing is done: no room.
    Full,
    /// It is done, and the answer is an error.
    LoseAnswer,
    /// Nothing is done, and the answer is that of success: a put that is not there.
    LoseWrite,
    /// The answer of a get has half of its bytes, and no error.
    CutBody,
    /// A list hands over half of its objects, then errs.
    CutList,
    /// It takes so long, and succeeds.
    Wait(Duration),
    /// Nothing is done, and no answer ever comes.
    Hang,
}

/// The calls of a sort that suffer, counted from 1 over the storage's whole life.
#[derive(Debug, Clone)]
struct Fault {
    call: Call,
    calls: Range<u64>,
    harm: Harm,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, (Bytes, Timestamp)>,
    counts: [u64; CALLS],
    faults: Vec<Fault>,
    absent: bool,
}

/// A storage in memory.
#[derive(Debug, Default)]
pub struct FakeStorage(Mutex<Inner>);

impl FakeStorage {
    /// Lets the `nth` call of a sort suffer, counted from now: the next one is the first.
    pub fn harm(&self, call: Call, nth: u64, harm: Harm) {
        self.harm_range(call, nth..nth + 1, harm);
    }

    /// Lets every call of a sort suffer from the next on.
    pub fn harm_all(&self, call: Call, harm: Harm) {
        self.harm_from(call, 1, harm);
    }

    /// Lets the `nth` call of a sort suffer, counted from now, and every one after it.
    pub fn harm_from(&self, call: Call, nth: u64, harm: Harm) {
        self.harm_range(call, nth..u64::MAX >> 1, harm);
    }

    fn harm_range(&self, call: Call, nth: Range<u64>, harm: Harm) {
        let mut inner = self.lock();
        let before = inner.counts[call as usize];
        inner.faults.push(Fault { call, calls: before + nth.start..before + nth.end, harm });
    }

    /// Ends all harm.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Takes the whole storage away.
    pub fn vanish(&self) {
        self.lock().absent = true;
    }

    /// Returns how many calls of a sort there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().counts[call as usize]
    }

    /// Returns the keys of all objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Changes the bytes of an object behind the port's back.
    pub fn tamper(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.lock();
        let (body, _) = inner.objects.get_mut(key).expect("only an object that is there can be changed");
        let mut bytes = body.to_vec();
        change(&mut bytes);
        *body = bytes.into();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder panics")
    }

    /// Counts a call and returns what it suffers, after its wait.
    async fn begin(&self, call: Call, on: &str) -> Result<Option<Harm>, StorageError> {
        let harm = {
            let mut inner = self.lock();
            inner.counts[call as usize] += 1;
            let now = inner.counts[call as usize];
            let fault = inner.faults.iter().find(|fault| fault.call == call && fault.calls.contains(&now));
            let harm = fault.map(|fault| fault.harm);
            if inner.absent {
                return Err(StorageError::Absent { place: self.place() });
            }
            harm
        };
        match harm {
            Some(Harm::Fail) => Err(self.failed(on)),
            Some(Harm::Full) => Err(StorageError::Full { place: self.place() }),
            Some(Harm::Wait(time)) => {
                std::thread::sleep(time);
                Ok(None)
            }
            Some(Harm::Hang) => std::future::pending().await,
            other => Ok(other),
        }
    }

    fn failed(&self, key: &str) -> StorageError {
        let source = io::Error::other("harm on order");
        StorageError::Io { place: self.place(), action: "reach", key: key.to_owned(), source }
    }

    fn missing(&self, key: &ObjectKey) -> StorageError {
        StorageError::Missing { place: self.place(), key: key.to_string() }
    }
}

#[async_trait]
impl ObjectStorage for FakeStorage {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        if options.retain_until.is_some() {
            return Err(self.cannot("protect objects"));
        }
        let harm = self.begin(Call::Put, key.as_str()).await?;
        let mut inner = self.lock();
        if harm == Some(Harm::LoseWrite) {
            return Ok(PutAnswer::Created);
        }
        // Its clock is the count of its puts: the same run gives the same instants.
        let at = Timestamp::new(i64::try_from(inner.counts[0]).unwrap_or(0), 0).unwrap_or(Timestamp::UNIX_EPOCH);
        let answer = match inner.objects.entry(key.to_string()) {
            std::collections::btree_map::Entry::Occupied(_) => PutAnswer::Existed,
            std::collections::btree_map::Entry::Vacant(room) => {
                room.insert((body, at));
                PutAnswer::Created
            }
        };
        if harm == Some(Harm::LoseAnswer) { Err(self.failed(key.as_str())) } else { Ok(answer) }
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        _cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let harm = self.begin(Call::Get, key.as_str()).await?;
        let (body, _) = self.lock().objects.get(key.as_str()).cloned().ok_or_else(|| self.missing(key))?;
        let range = range.unwrap_or(0..body.len() as u64);
        let (wanted_bytes, there) = (range.end.saturating_sub(range.start), body.len() as u64);
        if range.end > there {
            let found_bytes = there.saturating_sub(range.start);
            return Err(StorageError::Short { place: self.place(), key: key.to_string(), wanted_bytes, found_bytes });
        }
        let place = |at: u64| usize::try_from(at).expect("it is no further than the body's end");
        let answer = body.slice(place(range.start)..place(range.start.max(range.end)));
        match harm {
            Some(Harm::CutBody) => Ok(answer.slice(..answer.len() / 2)),
            Some(Harm::LoseAnswer) => Err(self.failed(key.as_str())),
            _ => Ok(answer),
        }
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        self.begin(Call::Size, key.as_str()).await?;
        self.lock().objects.get(key.as_str()).map(|(body, _)| body.len() as u64).ok_or_else(|| self.missing(key))
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let harm = self.begin(Call::List, folder).await?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{}/", ObjectKey::new(folder)?) };
        let inner = self.lock();
        let below = inner.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let listed: Result<Vec<_>, StorageError> = below
            .map(|(key, (body, at))| {
                Ok(ListedObject { key: ObjectKey::new(&**key)?, size_bytes: body.len() as u64, modified_at: *at })
            })
            .collect();
        drop(inner);
        let listed = listed?;
        let count = if harm == Some(Harm::CutList) { listed.len() / 2 } else { listed.len() };
        listed.into_iter().take(count).for_each(each);
        if matches!(harm, Some(Harm::CutList | Harm::LoseAnswer)) {
            let source = io::Error::other("harm on order");
            return Err(StorageError::List { place: self.place(), folder: folder.to_owned(), source });
        }
        Ok(())
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let harm = self.begin(Call::Remove, key.as_str()).await?;
        if harm == Some(Harm::LoseWrite) {
            return Ok(());
        }
        self.lock().objects.remove(key.as_str());
        if harm == Some(Harm::LoseAnswer) { Err(self.failed(key.as_str())) } else { Ok(()) }
    }
}
