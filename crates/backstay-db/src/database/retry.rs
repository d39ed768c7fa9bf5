//! What is done again: a transaction that a server ended because it stood in another one's way.
//!
//! Deadlocks and failed serialisations are how servers keep order; the loser wrote nothing and does it again. Nothing
//! else is repeated here: after a connection that broke in the middle of a commit nobody knows what was written, and
//! the caller's own repetition must find out (each call of the stores may run twice).

use std::time::Duration;

use backstay_core::ports::job::LeaseError;
use backstay_core::ports::store::StoreError;
use sea_orm::DbErr;

use crate::Database;
use crate::error::is_conflict;

/// How often a transaction is tried. Two that lock in one order cannot lose twice to the same third one; eight claimers
/// at once lost four times at most.
const TRIES_MAX: u32 = 8;

/// The first pause; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(5);

/// An error that may say that a transaction was the victim of another one.
pub(crate) trait MayConflict {
    /// Says so.
    fn is_conflict(&self) -> bool;
}

impl MayConflict for StoreError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Unavailable(source) if source.downcast_ref::<DbErr>().is_some_and(is_conflict))
    }
}

impl MayConflict for LeaseError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_conflict())
    }
}

impl Database {
    /// Runs a transaction, from its begin to its commit, until it is no victim of another one.
    pub(crate) async fn retrying<T, E, F, Fut>(&self, transaction: F) -> Result<T, E>
    where
        E: MayConflict,
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            match transaction().await {
                Err(error) if self.is_server() && error.is_conflict() => {
                    tracing::debug!("a transaction stood in another one's way and is tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        transaction().await
    }
}
