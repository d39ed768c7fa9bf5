//! Time as storages need it: how much of it went by, and waiting for more. A test hands in its own.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::runtime;

/// Tells the time, waits, and throws the dice of a back-off.
#[async_trait]
pub trait Pace: std::fmt::Debug + Send + Sync {
    /// Returns the present moment, for limits by the time of day. It may jump.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment. It never jumps.
    fn elapsed(&self) -> Duration;

    /// Waits so long.
    async fn wait(&self, time: Duration);

    /// Returns a number from 0 to below 1, each as likely as the others.
    fn dice(&self) -> f64;
}

/// The system's time.
#[derive(Debug)]
pub struct SystemPace(Instant);

impl Default for SystemPace {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Pace for SystemPace {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn wait(&self, time: Duration) {
        runtime::start(async move { tokio::time::sleep(time).await }).await;
    }

    fn dice(&self) -> f64 {
        rand::random()
    }
}
