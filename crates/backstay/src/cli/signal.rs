//! Signals that ask for an end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first of SIGINT, SIGTERM and SIGHUP. Without signals it waits for ever.
pub(crate) async fn ended() {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
