//! Named places at which a test has the process killed, as by `kill -9`.
//!
//! `BACKSTAY_FAIL_POINT=NAME.MOMENT:N` ends the process when it comes to that place for the N-th time, such as
//! `pack.after:3`. Builds with debug assertions have them, which are the tests' own; in a released program [`pass`] is
//! empty, and the variable means nothing.
//!
//! Places: `pack`, `index`, `snapshot` (a file is put), `forget`, `mark`, `remove` (a snapshot, an index file, a pack is
//! removed), `commit` (a job's end) and `migration` (a step of the schema).

/// Passes a place. `moment` is `before` or `after` what is done there, or a word of its own.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn pass(_place: &str, _moment: &str) {}

/// Passes a place. `moment` is `before` or `after` what is done there, or a word of its own.
#[cfg(debug_assertions)]
pub fn pass(place: &str, moment: &str) {
    wish::meet(place, moment);
}

#[cfg(debug_assertions)]
mod wish {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// Names the place.
    const VARIABLE: &str = "BACKSTAY_FAIL_POINT";

    /// Where the process ends.
    struct Wish {
        name: String,
        /// How often it is passed yet, the last time included.
        left: AtomicU64,
    }

    static WISH: LazyLock<Option<Wish>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, times) = text.rsplit_once(':')?;
        Some(Wish { name: name.to_owned(), left: AtomicU64::new(times.parse().ok()?) })
    });

    pub(super) fn meet(place: &str, moment: &str) {
        let Some(wish) = &*WISH else { return };
        let is_here = wish.name.split_once('.') == Some((place, moment));
        if is_here && wish.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // What was written to the disk stays, all else is gone.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
