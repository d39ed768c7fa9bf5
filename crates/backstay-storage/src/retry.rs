//! Trying again what may pass: by the error's class, with a back-off that is thrown by dice, up to a bound.
//!
//! It knows no kind: an error's disposition says whether it may pass. What was refused, is missing or is frozen comes back
//! at once. A list goes on where it broke off, if the storage can; else nothing is handed over before it is whole.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::disposition::Disposition;
use bytes::Bytes;
use jiff::Timestamp;

use crate::error::StorageError;
use crate::object::{
    Capabilities, ListedObject, ObjectKey, ObjectStorage, ObjectVersion, PutAnswer, PutOptions, ReadCache,
};
use crate::pace::Pace;

/// The time of day that has to pass unseen by the other clock to be a machine's sleep, and no clock that is set right.
const SLEEP_MIN: Duration = Duration::from_secs(60);

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// Tries of one call, the first one counted.
    pub tries: u32,
    /// Longest wait before the second try; it doubles with each.
    pub first_wait: Duration,
    /// Longest wait between two tries, unless the storage asks for more.
    pub wait_max: Duration,
    /// Time after which no new try begins.
    pub total: Duration,
}

impl Default for RetryRules {
    /// Eight tries: waits of up to 0.5, 1, 2, 4, 8, 16 and 30 seconds carry a call over a gateway's restart. Fifteen
    /// minutes, because longer is for the queue, which does not hold an agent meanwhile.
    fn default() -> Self {
        Self {
            tries: 8,
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            total: Duration::from_secs(900),
        }
    }
}

impl RetryRules {
    /// Returns how long to wait before the next try, or `None` when there is none.
    ///
    /// `tried` counts the tries so far, `since` is the time since the first began, `dice` is below 1. The wait lies
    /// between half of the back-off and all of it, so that agents that failed together do not come back together.
    pub fn wait(&self, error: &StorageError, tried: u32, since: Duration, dice: f64) -> Option<Duration> {
        let asked = match error {
            StorageError::Busy { after, .. } => after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let may_pass = matches!(error.disposition(), Disposition::Retry { .. });
        let back_off = self.first_wait.saturating_mul(1u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = back_off.min(self.wait_max).mul_f64(0.5 + dice / 2.0).max(asked);
        (may_pass && tried < self.tries && since + wait <= self.total).then_some(wait)
    }
}

/// A storage whose calls are tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    inner: Arc<dyn ObjectStorage>,
    rules: RetryRules,
    pace: Arc<dyn Pace>,
}

/// What went by since a call began.
struct Tries {
    tried: u32,
    began: Duration,
}

impl Retry {
    /// Wraps a storage.
    pub fn new(inner: Arc<dyn ObjectStorage>, rules: RetryRules, pace: Arc<dyn Pace>) -> Self {
        Self { inner, rules, pace }
    }

    /// Does something until it succeeds, or fails in a way that does not pass, or the rules end it.
    pub(crate) async fn again<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let mut tries = self.begin();
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }

    fn begin(&self) -> Tries {
        Tries { tried: 0, began: self.pace.elapsed() }
    }

    /// Says whether the machine slept since a call began: the time of day went on, and the other clock did not. One that went
    /// back hides how long it was.
    fn has_slept(&self, tries: &Tries, began_at: Timestamp) -> bool {
        let awake = self.pace.elapsed().saturating_sub(tries.began);
        let passed = Duration::try_from(self.pace.now().duration_since(began_at));
        passed.map_or(true, |passed| passed > awake + SLEEP_MIN)
    }

    /// Waits before the next try; the error itself when there is none.
    async fn pause(&self, tries: &mut Tries, error: StorageError) -> Result<(), StorageError> {
        tries.tried += 1;
        let since = self.pace.elapsed().saturating_sub(tries.began);
        match self.rules.wait(&error, tries.tried, since, self.pace.dice()) {
            Some(wait) => {
                self.pace.wait(wait).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Says what a repeated put has met: an answer may have got lost on the way back, and then the object is our own.
    /// Size alone does not say it: two configurations of two repositories are as long as each other.
    async fn met(&self, key: &ObjectKey, body: &Bytes) -> Result<PutAnswer, StorageError> {
        if self.object_size(key).await? != body.len() as u64 {
            return Ok(PutAnswer::Existed);
        }
        let is_ours = match self.object_get(key, None, ReadCache::Bypass).await {
            Ok(there) => there == *body,
            // It cannot be compared: it froze at once, or this credential may not read. Names are hashes of contents.
            Err(StorageError::Frozen { .. } | StorageError::Credential { .. } | StorageError::Denied { .. }) => true,
            Err(error) => return Err(error),
        };
        Ok(if is_ours { PutAnswer::Created } else { PutAnswer::Existed })
    }

    /// Lists without handing over anything twice: on from the last object, or, where the storage cannot, from what was
    /// remembered of those that were handed over.
    async fn list(
        &self,
        folder: &str,
        after: Option<&ObjectKey>,
        each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        if !self.inner.capabilities().list_after {
            return self.list_whole(folder, each).await;
        }
        let mut tries = self.begin();
        let mut last = after.cloned();
        loop {
            let mut moved = false;
            let mut seen = last.clone();
            let mut hand = |object: ListedObject| {
                moved = true;
                seen = Some(object.key.clone());
                each(object);
            };
            let answer = match &last {
                None => self.inner.object_list(folder, &mut hand).await,
                Some(last) => self.inner.object_list_after(folder, last, &mut hand).await,
            };
            let Err(error) = answer else { return Ok(()) };
            if moved {
                // A long list meets more failures than a short one: what counts is whether it gets on.
                tries = self.begin();
            }
            last = seen;
            self.pause(&mut tries, error).await?;
        }
    }

    async fn list_whole(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        // Sixteen bytes an object remember what was handed over; two hashes with keys of their own do not meet.
        let (one, two) = (RandomState::new(), RandomState::new());
        let mut handed = std::collections::HashSet::new();
        let mut tries = self.begin();
        loop {
            let mut hand = |object: ListedObject| {
                if handed.insert((one.hash_one(&object.key), two.hash_one(&object.key))) {
                    each(object);
                }
            };
            match self.inner.object_list(folder, &mut hand).await {
                Ok(()) => return Ok(()),
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }
}

#[async_trait]
impl ObjectStorage for Retry {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let mut tries = self.begin();
        loop {
            match self.inner.object_put_with(key, body.clone(), options).await {
                Ok(PutAnswer::Existed) if tries.tried > 0 => return self.met(key, &body).await,
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        self.again(|| self.inner.object_get(key, range.clone(), cache)).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        self.again(|| self.inner.object_size(key)).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        self.list(folder, None, each).await
    }

    async fn object_list_after(
        &self,
        folder: &str,
        after: &ObjectKey,
        each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        if !self.inner.capabilities().list_after {
            return Err(self.cannot("go on with a list"));
        }
        self.list(folder, Some(after), each).await
    }

    /// A removal that the machine slept through is not sent again: what was to go may be needed by now, and whoever asked
    /// looks first.
    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let (mut tries, began_at) = (self.begin(), self.pace.now());
        loop {
            match self.inner.object_remove(key).await {
                Ok(()) => return Ok(()),
                Err(error) if self.has_slept(&tries, began_at) => return Err(error),
                Err(error) => self.pause(&mut tries, error).await?,
            }
            if self.has_slept(&tries, began_at) {
                let source = std::io::Error::other("the machine slept meanwhile");
                return Err(StorageError::Io { place: self.place(), action: "remove", key: key.to_string(), source });
            }
        }
    }

    async fn object_versions(
        &self,
        folder: &str,
        each: &mut (dyn FnMut(ObjectVersion) + Send),
    ) -> Result<(), StorageError> {
        let mut tries = self.begin();
        loop {
            let mut found = Vec::new();
            match self.inner.object_versions(folder, &mut |version| found.push(version)).await {
                Ok(()) => {
                    found.into_iter().for_each(each);
                    return Ok(());
                }
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }

    async fn object_retained_until(&self, key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        self.again(|| self.inner.object_retained_until(key)).await
    }

    async fn object_copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<PutAnswer, StorageError> {
        self.again(|| self.inner.object_copy(from, to)).await
    }

    async fn object_warm_up(&self, key: &ObjectKey, days: u32) -> Result<(), StorageError> {
        self.again(|| self.inner.object_warm_up(key, days)).await
    }

    async fn object_is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        self.again(|| self.inner.object_is_warm(key)).await
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn io() -> StorageError {
        StorageError::Io { place: "s".to_owned(), action: "put", key: "k".to_owned(), source: io::Error::other("x") }
    }

    fn busy(seconds: u64) -> StorageError {
        let after = Some(Duration::from_secs(seconds));
        let (place, key, source) = ("s".to_owned(), "k".to_owned(), io::Error::other("x"));
        StorageError::Busy { place, action: "put", key, after, source }
    }

    /// `expected` in milliseconds.
    fn check(error: &StorageError, tried: u32, since_seconds: u64, dice: f64, expected: Option<u64>) {
        let wait = RetryRules::default().wait(error, tried, Duration::from_secs(since_seconds), dice);
        assert_eq!(wait, expected.map(Duration::from_millis), "{error:?} {tried} {since_seconds} {dice}");
    }

    #[test]
    fn waits_double_are_thrown_by_dice_and_have_bounds() {
        check(&io(), 1, 0, 0.0, Some(250));
        check(&io(), 1, 0, 0.5, Some(375));
        check(&io(), 2, 0, 0.0, Some(500));
        check(&io(), 5, 0, 0.0, Some(4_000));
        check(&io(), 7, 0, 0.0, Some(15_000));
        check(&io(), 8, 0, 0.0, None);
        check(&io(), 1, 900, 0.0, None);
    }

    #[test]
    fn what_the_storage_asks_for_is_kept() {
        check(&busy(0), 1, 0, 0.0, Some(250));
        check(&busy(7), 1, 0, 0.0, Some(7_000));
        check(&busy(100), 2, 0, 0.0, Some(100_000));
        // Longer than a call may last: the queue's affair.
        check(&busy(3600), 1, 0, 0.0, None);
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        let (place, key) = ("s".to_owned(), "k".to_owned());
        check(&StorageError::Missing { place: place.clone(), key: key.clone() }, 1, 0, 0.0, None);
        check(&StorageError::Frozen { place: place.clone(), key: key.clone() }, 1, 0, 0.0, None);
        check(&StorageError::Full { place: place.clone() }, 1, 0, 0.0, None);
        let source = io::Error::other("x");
        check(&StorageError::Denied { place, action: "put", key, source }, 1, 0, 0.0, None);
    }
}
