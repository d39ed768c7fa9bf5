//! Limits on what a storage is used with: bytes a second by the time of day, and calls at once.
//!
//! It knows no kind. Bytes that passed are a debt which the limit pays off; who comes while there is one waits. A body
//! passes at full speed and the next one waits for it, so over a minute the rate is right, over a second it is not.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::StorageError;
use crate::object::{
    Capabilities, ListedObject, ObjectKey, ObjectStorage, ObjectVersion, PutAnswer, PutOptions, ReadCache,
};
use crate::pace::Pace;

/// Longest wait before the time of day is looked at again: a limit that ends at seven ends at seven.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Bytes a second each way; absent: no limit. Zero stands for one: nothing may wait for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// To the storage, in bytes a second.
    pub up: Option<u64>,
    /// From the storage, in bytes a second.
    pub down: Option<u64>,
}

/// A part of each day with a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: Time,
    /// The first moment after it; before `from`: on the next day. Equal to `from`: the whole day.
    pub until: Time,
    /// What holds in it.
    pub rate: Rate,
}

/// Which limits hold when.
#[derive(Debug, Clone)]
pub struct LimitRules {
    /// Whose time of day the windows mean.
    pub zone: TimeZone,
    /// The windows; of those that overlap the first one holds.
    pub windows: Vec<Window>,
    /// What holds outside of them.
    pub otherwise: Rate,
    /// Calls at once; absent: any number.
    pub in_flight: Option<usize>,
}

impl LimitRules {
    /// Returns the rate that holds at an instant.
    pub fn rate(&self, now: Timestamp) -> Rate {
        let time = now.to_zoned(self.zone.clone()).time();
        let holds = |window: &&Window| match window.from < window.until {
            true => window.from <= time && time < window.until,
            false => window.from <= time || time < window.until,
        };
        self.windows.iter().find(holds).map_or(self.otherwise, |window| window.rate)
    }
}

/// A direction's bytes that were passed and not paid off.
#[derive(Debug, Default)]
struct Debt {
    bytes: f64,
    at: Duration,
}

impl Debt {
    /// Pays off what the time since the last look allows, and returns how long until it is paid.
    fn pay(&mut self, now: Duration, rate: u64) -> Duration {
        let rate = rate.max(1) as f64;
        self.bytes = (self.bytes - rate * now.saturating_sub(self.at).as_secs_f64()).max(0.0);
        self.at = now;
        Duration::from_secs_f64((self.bytes / rate).min(LOOK_AGAIN.as_secs_f64()))
    }
}

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// A storage with limits.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn ObjectStorage>,
    rules: LimitRules,
    pace: Arc<dyn Pace>,
    up: Mutex<Debt>,
    down: Mutex<Debt>,
    places: Option<Semaphore>,
}

impl Limited {
    /// Wraps a storage.
    pub fn new(inner: Arc<dyn ObjectStorage>, rules: LimitRules, pace: Arc<dyn Pace>) -> Self {
        let places = rules.in_flight.map(|count| Semaphore::new(count.max(1)));
        Self { inner, rules, pace, up: Mutex::default(), down: Mutex::default(), places }
    }

    /// Waits for a place among the calls at once.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        match &self.places {
            Some(places) => places.acquire().await.ok(),
            None => None,
        }
    }

    /// Waits until what passed before is paid off, and then owes these bytes.
    async fn pass(&self, way: Way, bytes: u64) {
        loop {
            let rate = self.rules.rate(self.pace.now());
            let (debt, rate) = match way {
                Way::Up => (&self.up, rate.up),
                Way::Down => (&self.down, rate.down),
            };
            let now = self.pace.elapsed();
            let wait = {
                let mut debt = debt.lock().unwrap_or_else(PoisonError::into_inner);
                let wait = match rate {
                    Some(rate) => debt.pay(now, rate),
                    None => {
                        *debt = Debt { bytes: 0.0, at: now };
                        Duration::ZERO
                    }
                };
                if wait.is_zero() {
                    debt.bytes += bytes as f64;
                }
                wait
            };
            if wait.is_zero() {
                return;
            }
            self.pace.wait(wait).await;
        }
    }

    /// Owes bytes whose number was not known before.
    fn owe(&self, bytes: u64) {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).bytes += bytes as f64;
    }
}

#[async_trait]
impl ObjectStorage for Limited {
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
        let _place = self.place().await;
        self.pass(Way::Up, body.len() as u64).await;
        self.inner.object_put_with(key, body, options).await
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let _place = self.place().await;
        let known = range.as_ref().map(|range| range.end.saturating_sub(range.start));
        self.pass(Way::Down, known.unwrap_or(0)).await;
        let body = self.inner.object_get(key, range, cache).await?;
        if known.is_none() {
            self.owe(body.len() as u64);
        }
        Ok(body)
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        let _place = self.place().await;
        self.inner.object_size(key).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let _place = self.place().await;
        self.inner.object_list(folder, each).await
    }

    async fn object_list_after(
        &self,
        folder: &str,
        after: &ObjectKey,
        each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        let _place = self.place().await;
        self.inner.object_list_after(folder, after, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let _place = self.place().await;
        self.inner.object_remove(key).await
    }

    async fn object_versions(
        &self,
        folder: &str,
        each: &mut (dyn FnMut(ObjectVersion) + Send),
    ) -> Result<(), StorageError> {
        let _place = self.place().await;
        self.inner.object_versions(folder, each).await
    }

    async fn object_retained_until(&self, key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        let _place = self.place().await;
        self.inner.object_retained_until(key).await
    }

    async fn object_copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<PutAnswer, StorageError> {
        let _place = self.place().await;
        self.inner.object_copy(from, to).await
    }

    async fn object_warm_up(&self, key: &ObjectKey, days: u32) -> Result<(), StorageError> {
        let _place = self.place().await;
        self.inner.object_warm_up(key, days).await
    }

    async fn object_is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        let _place = self.place().await;
        self.inner.object_is_warm(key).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn check(at: &str, expected: Option<u64>) {
        let window = |from, until, up| Window { from, until, rate: Rate { up: Some(up), down: None } };
        let rules = LimitRules {
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            windows: vec![
                window(time(8, 0, 0, 0), time(18, 0, 0, 0), 8),
                window(time(22, 0, 0, 0), time(6, 0, 0, 0), 22),
            ],
            otherwise: Rate::default(),
            in_flight: None,
        };
        assert_eq!(rules.rate(at.parse().unwrap()).up, expected, "{at}");
    }

    #[test]
    fn a_window_holds_by_the_time_of_its_zone() {
        check("2026-01-10T06:59:59Z", None);
        check("2026-01-10T07:00:00Z", Some(8));
        check("2026-07-10T06:00:00Z", Some(8));
        check("2026-07-10T15:59:59Z", Some(8));
        check("2026-07-10T16:00:00Z", None);
    }

    #[test]
    fn a_window_may_pass_midnight() {
        check("2026-01-10T20:59:59Z", None);
        check("2026-01-10T21:00:00Z", Some(22));
        check("2026-01-10T23:30:00Z", Some(22));
        check("2026-01-11T04:59:59Z", Some(22));
        check("2026-01-11T05:00:00Z", None);
    }

    #[test]
    fn a_debt_is_paid_with_time() {
        let mut debt = Debt { bytes: 1000.0, at: Duration::ZERO };
        assert_eq!(debt.pay(Duration::ZERO, 500), Duration::from_secs(2));
        assert_eq!(debt.pay(Duration::from_secs(1), 500), Duration::from_secs(1));
        assert_eq!(debt.pay(Duration::from_secs(5), 500), Duration::ZERO);
        // Time in which nothing passed is not saved for later.
        assert_eq!(debt.bytes, 0.0);
    }
}
