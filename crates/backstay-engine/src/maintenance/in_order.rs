//! Several workers at once, whose results are told in order: what a person reads is the same whoever was first, and few
//! results are held.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::error::EngineError;

/// Results that may wait to be told, for each worker: enough that a slow piece of work keeps nobody.
const WAITING_EACH: usize = 4;

/// What workers and the teller share.
#[derive(Debug)]
struct Shared<I, T> {
    state: Mutex<State<I, T>>,
    changed: Condvar,
    waiting_max: usize,
}

#[derive(Debug)]
struct State<I, T> {
    items: I,
    /// Items that were taken, and results that were told.
    taken: usize,
    told: usize,
    results: BTreeMap<usize, T>,
    /// Whether nothing more is to be taken: all is, or somebody failed.
    ended: bool,
    panicked: bool,
}

/// Does `work` on each item with so many workers, each with a state that `begin` makes, and hands the results to `tell` in
/// the order of the items. No item is taken any more after `tell` fails.
///
/// # Errors
/// What `tell` returns; [`EngineError::Panicked`], which says what was done, when `work` panics.
pub(super) fn in_order<I, S, T>(
    workers: usize,
    does: &'static str,
    items: I,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I::Item) -> T + Sync,
    tell: &mut dyn FnMut(T) -> Result<(), EngineError>,
) -> Result<(), EngineError>
where
    I: Iterator + Send,
    T: Send,
{
    let results = BTreeMap::new();
    let state = State { items, taken: 0, told: 0, results, ended: false, panicked: false };
    let workers = workers.max(1);
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), waiting_max: WAITING_EACH * workers };
    let one = || {
        let _noted = NotePanic(&shared);
        let mut own = begin();
        while let Some((number, item)) = shared.take() {
            shared.put(number, work(&mut own, item));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        let told = shared.each_result(tell, does);
        shared.end();
        // Their panics were noted: they are told as an error.
        threads.into_iter().for_each(|thread| _ = thread.join());
        told
    })
}

impl<I: Iterator, T> Shared<I, T> {
    fn locked(&self) -> MutexGuard<'_, State<I, T>> {
        // Work is done outside: nobody panics who holds it, and `items` is a list.
        self.state.lock().expect("no holder panics")
    }

    /// Takes the next item, with its number; none when there is none.
    fn take(&self) -> Option<(usize, I::Item)> {
        let is_full = |state: &mut State<I, T>| !state.ended && state.taken >= state.told + self.waiting_max;
        let mut state = self.changed.wait_while(self.locked(), is_full).expect("no holder panics");
        let item = if state.ended { None } else { state.items.next() };
        if item.is_none() {
            state.ended = true;
            drop(state);
            self.changed.notify_all();
            return None;
        }
        state.taken += 1;
        item.map(|item| (state.taken - 1, item))
    }

    fn put(&self, number: usize, result: T) {
        self.locked().results.insert(number, result);
        self.changed.notify_all();
    }

    /// Tells results in order until all are told.
    fn each_result(
        &self,
        tell: &mut dyn FnMut(T) -> Result<(), EngineError>,
        does: &'static str,
    ) -> Result<(), EngineError> {
        loop {
            let is_awaited = |state: &mut State<I, T>| {
                let comes = !state.ended || state.told < state.taken;
                comes && !state.panicked && !state.results.contains_key(&state.told)
            };
            let mut state = self.changed.wait_while(self.locked(), is_awaited).expect("no holder panics");
            if state.panicked {
                return Err(EngineError::Panicked { does });
            }
            let told = state.told;
            let Some(result) = state.results.remove(&told) else { return Ok(()) };
            state.told += 1;
            drop(state);
            self.changed.notify_all();
            tell(result)?;
        }
    }

    fn end(&self) {
        self.locked().ended = true;
        self.changed.notify_all();
    }
}

/// Says at the end of a worker that panics that it did, or the teller would wait for its result for ever.
struct NotePanic<'a, I: Iterator, T>(&'a Shared<I, T>);

impl<I: Iterator, T> Drop for NotePanic<'_, I, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.locked();
            (state.ended, state.panicked) = (true, true);
            drop(state);
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_few_wait() {
        let (told, ahead) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut seen = Vec::new();
        let work = |_: &mut (), number: usize| {
            ahead.fetch_max(number - told.load(Ordering::SeqCst).min(number), Ordering::SeqCst);
            if number.is_multiple_of(7) {
                std::thread::yield_now();
            }
            number
        };
        let mut tell = |number| {
            told.fetch_add(1, Ordering::SeqCst);
            seen.push(number);
            Ok(())
        };
        let done = in_order(3, "counts", 0..1_000, || (), work, &mut tell);
        assert!(done.is_ok() && seen == (0..1_000).collect::<Vec<_>>());
        assert!(ahead.into_inner() <= 3 * WAITING_EACH);
    }

    #[test]
    fn nothing_is_taken_after_a_failure() {
        let taken = AtomicUsize::new(0);
        let work = |_: &mut (), number: usize| {
            taken.fetch_add(1, Ordering::SeqCst);
            number
        };
        let mut tell = |number| if number == 5 { Err(EngineError::Interrupted) } else { Ok(()) };
        let done = in_order(2, "counts", 0.., || (), work, &mut tell);
        assert!(matches!(done, Err(EngineError::Interrupted)));
        assert!(taken.into_inner() <= 6 + 2 * WAITING_EACH);
    }

    #[test]
    fn a_panic_is_an_error_and_nobody_waits_for_ever() {
        let work = |_: &mut (), number: usize| assert_ne!(number, 4);
        let done = in_order(2, "counts", 0..100, || (), work, &mut |()| Ok(()));
        assert!(matches!(done, Err(EngineError::Panicked { does: "counts" })), "{done:?}");
        assert!(in_order(2, "counts", 0..0, || (), work, &mut |()| Ok(())).is_ok());
    }
}
