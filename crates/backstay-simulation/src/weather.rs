//! How bad the world is: what a network and a database do to a call, and since when all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use backstay_core::ports::store::StoreError;
use jiff::Timestamp;

use crate::stage::{Stage, instant};

/// Calls of a million that err on a calm day.
const CALM: u64 = 1_000;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// Nothing bad.
    Good,
    /// It is never done, and the answer is an error.
    Lost,
    /// It is done, and the answer is an error.
    AnswerLost,
}

/// The weather of a year.
pub struct Weather {
    stage: Arc<Stage>,
    database: AtomicU64,
    network: AtomicU64,
    stormy_until: AtomicI64,
    healed: AtomicBool,
}

impl Weather {
    /// Makes a calm world.
    pub fn new(stage: &Arc<Stage>) -> Arc<Self> {
        let (database, network) = (AtomicU64::new(CALM), AtomicU64::new(CALM));
        let (stormy_until, healed) = (AtomicI64::new(i64::MIN), AtomicBool::new(false));
        Arc::new(Self { stage: Arc::clone(stage), database, network, stormy_until, healed })
    }

    /// Makes so many of a million calls err; the next storm takes its place.
    pub fn storm(&self, database: u64, network: u64, length: Duration) {
        self.database.store(database, SeqCst);
        self.network.store(network, SeqCst);
        let until = self.stage.now().saturating_add(length).unwrap_or(Timestamp::MAX);
        self.stormy_until.fetch_max(until.as_microsecond(), SeqCst);
    }

    /// Ends a storm.
    pub fn calm(&self) {
        self.storm(CALM, CALM, Duration::ZERO);
    }

    /// Ends all harm.
    pub fn heal(&self) {
        self.storm(0, 0, Duration::ZERO);
        self.healed.store(true, SeqCst);
    }

    /// Says whether all harm is over: sources can be read and storages take what they get.
    pub fn is_healed(&self) -> bool {
        self.healed.load(SeqCst)
    }

    /// Notes that somebody who must work does not, until a moment.
    pub fn hindered(&self, until: Timestamp) {
        self.stormy_until.fetch_max(until.as_microsecond(), SeqCst);
    }

    /// Returns since when all that has to work does; a moment of the future while it does not.
    pub fn well_since(&self) -> Timestamp {
        instant(self.stormy_until.load(SeqCst).max(-1_000_000_000_000_000))
    }

    /// Throws the dice for a call of the database.
    pub fn of_database(&self) -> Luck {
        self.throw(self.database.load(SeqCst))
    }

    /// Throws the dice for a call over the network.
    pub fn of_network(&self) -> Luck {
        self.throw(self.network.load(SeqCst))
    }

    fn throw(&self, of_million: u64) -> Luck {
        let dice = &self.stage.dice;
        match (dice.chance(of_million), dice.chance(500_000)) {
            (false, _) => Luck::Good,
            (true, true) => Luck::Lost,
            (true, false) => Luck::AnswerLost,
        }
    }
}

/// Returns the error of a call that found nobody.
pub fn unavailable(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what}: bad weather").into())
}
