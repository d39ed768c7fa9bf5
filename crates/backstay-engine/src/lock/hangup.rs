//! restic asks whether a process lives by sending it SIGHUP, as its own processes read over it. So do ours, from their
//! first lock on: else each `restic unlock` beside us would kill the work whose lock it looks at.

use std::sync::Once;

/// Makes this process read over SIGHUP from now on.
pub(super) fn ignore() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The handler that this installs stays for the process's life, also without the runtime.
        let installed = tokio::runtime::Builder::new_current_thread().enable_io().build().and_then(|runtime| {
            runtime.block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) })
        });
        if let Err(error) = installed {
            tracing::warn!(error = %error, "a restic that looks at our lock may end this process by SIGHUP");
        }
    });
}
