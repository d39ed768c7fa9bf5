//! What a service manager is told (systemd's `sd_notify`): that it is ready, that it lives, that it ends.
//!
//! The manager says in the environment where it listens and how often it wants to hear. A process that nobody manages
//! tells nobody.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use backstay_server::loops::Turns;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A loop that has not turned for so long stands still, however often the manager asks: it turns every five seconds, and a
/// database that is away holds it for half a minute.
const STANDSTILL: Duration = Duration::from_secs(60);

/// The manager of this process, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    manager: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
}

impl Service {
    /// Returns the manager that the environment names.
    pub(crate) fn of_environment() -> Self {
        let said = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let Some(place) = said("NOTIFY_SOCKET") else { return Self::default() };
        let manager = match found(&place) {
            Ok(manager) => Some(Arc::new(manager)),
            Err(error) => {
                tracing::warn!(place, %error, "the service manager cannot be told anything");
                None
            }
        };
        // `systemctl reload` says SIGHUP, and must not end a process that has nothing to read anew.
        if let Err(error) = signal(SignalKind::hangup()) {
            tracing::warn!(%error, "a reload would end this process");
        }
        // Said to another process, whose child this is.
        let is_ours = said("WATCHDOG_PID").is_none_or(|id| id == std::process::id().to_string());
        let micros = said("WATCHDOG_USEC").filter(|_| is_ours).and_then(|text| text.parse().ok());
        Self { manager, watchdog: micros.filter(|micros| *micros > 0).map(Duration::from_micros) }
    }

    /// Says that it answers.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Says that it ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending");
    }

    /// Gives a sign of life twice in the time that the manager waits, as long as the loops turn, until told to end.
    pub(crate) async fn watch(self, turns: Arc<Turns>, end: CancellationToken) {
        let Some(half) = self.watchdog.map(|wait| wait / 2) else { return };
        loop {
            let idle = turns.idle();
            if lives(idle, half) {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!(seconds = idle.as_secs(), "a loop stands still; the service manager is left to act");
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(half) => {}
            }
        }
    }

    fn tell(&self, text: &str) {
        let Some(manager) = &self.manager else { return };
        if let Err(error) = manager.0.send_to_addr(text.as_bytes(), &manager.1) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// Says whether loops turn, of which the slowest has not for so long.
fn lives(idle: Duration, half: Duration) -> bool {
    idle < half.max(STANDSTILL)
}

/// Returns a socket, and where the manager listens: a path, or a name that begins with `@`.
fn found(place: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up a backup.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_no_sign_of_life() {
        let seconds = Duration::from_secs;
        assert!(lives(seconds(5), seconds(150)) && lives(seconds(149), seconds(150)));
        assert!(!lives(seconds(150), seconds(150)));
        assert!(lives(seconds(5), seconds(1)), "a loop need not turn as often as a manager asks");
        assert!(!lives(seconds(60), seconds(1)));
    }

    #[test]
    fn a_manager_is_found_by_path_and_by_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let name = format!("backstay-test-{}", std::process::id());
        let abstract_one = SocketAddr::from_abstract_name(&name).unwrap();
        let heard = [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&abstract_one).unwrap()];
        for (place, socket) in [path.display().to_string(), format!("@{name}")].iter().zip(&heard) {
            let service = Service { manager: Some(Arc::new(found(place).unwrap())), watchdog: None };
            service.ready("here");
            let mut text = [0; 64];
            let bytes = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..bytes], b"READY=1\nSTATUS=here", "{place}");
        }
    }
}
