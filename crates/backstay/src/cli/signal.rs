//! Signals that ask for an end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP. From its making on none of them is missed, whether somebody waits or not.
pub(crate) struct Signals([Option<Signal>; 3]);

impl Signals {
    /// Begins to listen. A signal that the system gives no stream for keeps its own effect.
    pub(crate) fn listen() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    /// Begins to listen to SIGINT and SIGTERM alone: restic sends SIGHUP to a process to learn whether it lives.
    pub(crate) fn listen_but_hangup() -> Self {
        let Self([interrupt, terminate, _]) = Self::listen();
        Self([interrupt, terminate, None])
    }

    /// Waits for the next one. Giving the wait up loses none.
    pub(crate) async fn next(&mut self) {
        let wait = async |signal: &mut Option<Signal>| match signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        };
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            () = wait(interrupt) => {}
            () = wait(terminate) => {}
            () = wait(hangup) => {}
        }
    }
}
