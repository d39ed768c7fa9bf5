//! Signals that ask for an end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. From its making on none of them is missed, whether somebody waits or not. SIGHUP is no wish to
/// stop: restic sends it to the holder of a lock to learn whether it lives.
pub(crate) struct Signals([Option<Signal>; 2]);

impl Signals {
    /// Begins to listen. A signal that the system gives no stream for keeps its own effect.
    pub(crate) fn listen() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    /// Waits for the next one. Giving the wait up loses none.
    pub(crate) async fn next(&mut self) {
        let wait = async |signal: &mut Option<Signal>| match signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        };
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            () = wait(interrupt) => {}
            () = wait(terminate) => {}
        }
    }
}
