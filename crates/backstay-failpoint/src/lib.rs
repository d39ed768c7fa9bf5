//! Named places at which a test has the process killed, as by `kill -9`, or held, as by `kill -STOP`; and shorter leases.
//!
//! `BACKSTAY_FAIL_POINT=NAME.MOMENT:N` ends the process when it comes to that place for the N-th time, such as
//! `pack.after:3`; with `:hold` behind it the process stops there until it is continued. `BACKSTAY_LEASE_MS` is how long
//! leases hold in it. Builds with debug assertions have them, which are the tests' own; in a released program [`pass`] is
//! empty, [`lease_time`] returns what it is given, and the variables mean nothing.
//!
//! A test that has the product in its own process is told of each place by [`listen`], and may stand still there.
//!
//! Places: `pack`, `index`, `snapshot` (a file is put), `forget`, `mark`, `remove` (a snapshot, an index file, a pack is
//! removed), `commit` (a job's end) and `migration` (a step of the schema).

use std::time::Duration;

/// Passes a place. `moment` is `before` or `after` what is done there, or a word of its own.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn pass(_place: &str, _moment: &str) {}

/// Passes a place. `moment` is `before` or `after` what is done there, or a word of its own.
#[cfg(debug_assertions)]
pub fn pass(place: &str, moment: &str) {
    wish::meet(place, moment);
}

/// Has a test of this process told of each place that is passed, in the thread that passes it; the first to listen is the
/// only one.
#[cfg(not(debug_assertions))]
pub const fn listen(_heard: fn(&str, &str)) {}

/// Has a test of this process told of each place that is passed, in the thread that passes it; the first to listen is the
/// only one.
#[cfg(debug_assertions)]
pub fn listen(heard: fn(&str, &str)) {
    let _ = wish::LISTENER.set(heard);
}

/// Returns how long leases hold in this process: `usual`, unless a test says less.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn lease_time(usual: Duration) -> Duration {
    usual
}

/// Returns how long leases hold in this process: `usual`, unless a test says less.
#[cfg(debug_assertions)]
pub fn lease_time(usual: Duration) -> Duration {
    let said = std::env::var(wish::LEASE).ok().and_then(|text| text.parse().ok());
    said.map_or(usual, Duration::from_millis)
}

#[cfg(debug_assertions)]
mod wish {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, OnceLock};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    /// Names the place.
    const PLACE: &str = "BACKSTAY_FAIL_POINT";

    /// How long a signal may need to reach this thread.
    const HEARD_WITHIN: Duration = Duration::from_millis(20);

    /// Says how long leases hold.
    pub(super) const LEASE: &str = "BACKSTAY_LEASE_MS";

    /// Where the process ends or is held.
    struct Wish {
        name: String,
        /// How often it is passed yet, the last time included.
        left: AtomicU64,
        signal: Signal,
    }

    static WISH: LazyLock<Option<Wish>> = LazyLock::new(|| {
        let text = std::env::var(PLACE).ok()?;
        let (text, signal) = match text.strip_suffix(":hold") {
            Some(text) => (text, Signal::STOP),
            None => (text.as_str(), Signal::KILL),
        };
        let (name, times) = text.rsplit_once(':')?;
        Some(Wish { name: name.to_owned(), left: AtomicU64::new(times.parse().ok()?), signal })
    });

    /// Who is told.
    pub(super) static LISTENER: OnceLock<fn(&str, &str)> = OnceLock::new();

    pub(super) fn meet(place: &str, moment: &str) {
        if let Some(heard) = LISTENER.get() {
            heard(place, moment);
        }
        let Some(wish) = &*WISH else { return };
        let is_here = wish.name.split_once('.') == Some((place, moment));
        if is_here && wish.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Killed: what was written to the disk stays, all else is gone.
            let _ = kill_process(getpid(), wish.signal);
            // Held: another thread may be the first to hear of it, and this one goes no further until all have.
            std::thread::sleep(HEARD_WITHIN);
        }
    }
}
