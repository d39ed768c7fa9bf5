//! Simulated couriers: they take messages, hang, refuse, take one and do not say so, and are away for days.
//!
//! What they were given is kept, by the message's id: the ledger holds it against the outbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::channel::ChannelSettings;
use backstay_core::domain::id::MessageId;
use backstay_core::domain::message::Message;
use backstay_core::managers::deliver::DELIVERY_TIME_MAX;
use backstay_core::ports::courier::{Courier, DeliveryError, Parcel};
use jiff::Timestamp;

use crate::stage::Stage;
use crate::weather::Weather;

/// Tries of a million that go wrong where the other side is there.
const UNLUCKY: u64 = 60_000;

/// What became of a message at the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// How often it was taken.
    pub taken: u32,
    /// How often it was tried and not taken, or nobody heard that it was.
    pub failed: u32,
    /// Whether something else came by the same id.
    pub differed: bool,
    first: Message,
}

/// All couriers.
pub struct Couriers {
    stage: Arc<Stage>,
    weather: Arc<Weather>,
    away: Mutex<HashMap<String, Timestamp>>,
    handed: Mutex<HashMap<MessageId, Handed>>,
}

impl Couriers {
    /// Makes couriers who are all there.
    pub fn new(stage: &Arc<Stage>, weather: &Arc<Weather>) -> Arc<Self> {
        let (away, handed) = (Mutex::default(), Mutex::default());
        Arc::new(Self { stage: Arc::clone(stage), weather: Arc::clone(weather), away, handed })
    }

    /// Has the other side of a place be away for so long.
    pub fn leave(&self, place: &str, length: Duration) {
        let until = self.stage.now().saturating_add(length).unwrap_or(Timestamp::MAX);
        self.away.lock().expect("no holder panics").insert(place.to_owned(), until);
    }

    /// Returns what became of a message; none when nobody ever tried it.
    pub fn became(&self, id: MessageId) -> Option<Handed> {
        self.handed().get(&id).cloned()
    }

    fn handed(&self) -> MutexGuard<'_, HashMap<MessageId, Handed>> {
        self.handed.lock().expect("no holder panics")
    }

    fn is_away(&self, place: &str) -> bool {
        let until = self.away.lock().expect("no holder panics").get(place).copied();
        !self.weather.is_healed() && until.is_some_and(|until| self.stage.now() < until)
    }
}

#[async_trait]
impl Courier for Couriers {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        let place = match parcel.settings {
            ChannelSettings::Smtp(smtp) => smtp.host.clone(),
            other => panic!("no such channel is declared here: {other:?}"),
        };
        let dice = &self.stage.dice;
        // Others step while it is on its way.
        self.stage.sleep(Duration::ZERO).await;
        let is_unlucky = !self.weather.is_healed() && dice.chance(UNLUCKY);
        let (is_away, sort) = (self.is_away(&place), dice.below(4));
        let hangs = (is_away || is_unlucky) && sort == 0;
        if hangs {
            self.stage.sleep(DELIVERY_TIME_MAX).await;
        }
        // One that was taken and nobody heard so.
        let is_taken = !is_away && (!is_unlucky || sort == 1);
        let mut handed = self.handed();
        let fresh = Handed { taken: 0, failed: 0, differed: false, first: parcel.message.clone() };
        let row = handed.entry(parcel.id).or_insert(fresh);
        row.differed |= row.first != *parcel.message;
        row.taken += u32::from(is_taken);
        if is_taken && !is_unlucky {
            return Ok(());
        }
        row.failed += 1;
        let said = "the simulated other side is not well".to_owned();
        Err(match sort {
            2 => DeliveryError::Refused { place, said },
            3 => DeliveryError::Later { place, said },
            _ => DeliveryError::Unreachable { place, said },
        })
    }
}
