//! Years from seeds: `./check` lives two whole ones and 120 days of eighteen more, and each mutant until it breaks its
//! promise.
//!
//! `BACKSTAY_SEEDS=1000 cargo test -p backstay-simulation --test it -- year --nocapture` lives a thousand whole years
//! (from `BACKSTAY_FROM=21` on, if that is given), and `BACKSTAY_SEED=17` that one alone; with `BACKSTAY_STORY=1` it
//! tells each step. `BACKSTAY_MUTANTS=NoCaps,NoQuota` looks at those mutants alone.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use backstay_simulation::mutant::Mutant;
use backstay_simulation::year::{BrokenYear, YearOptions, live};

/// Seeds of every check.
const SEEDS: u64 = 20;

/// Whole years of every check: a year is seconds of a processor, mostly in the database. The other seeds live
/// [`SHORT_DAYS`].
const WHOLE: u64 = 2;

/// How long the others of a check are: past the change to summer time.
const SHORT_DAYS: u32 = 120;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Lives years on all processors, and returns the first broken ones.
fn years(years: &[YearOptions]) -> Vec<BrokenYear> {
    let (next, broken) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(options) = years.get(next.fetch_add(1, SeqCst) as usize) {
                    match live(*options) {
                        Ok(year) => {
                            let YearOptions { seed, days, .. } = options;
                            println!("seed {seed}, {days} days: {} steps, {:?}", year.steps, year.counts);
                        }
                        Err(year) => {
                            println!("{year}");
                            broken.lock().unwrap().push(*year);
                        }
                    }
                }
            });
        }
    });
    let lived: u32 = years.iter().map(|year| year.days).sum();
    println!("{:.1} years in {:.1} s", f64::from(lived) / 365.0, began.elapsed().as_secs_f64());
    broken.into_inner().unwrap()
}

#[test]
fn years_keep_all_promises() {
    let of_check = |seed| YearOptions { days: if seed <= WHOLE { 365 } else { SHORT_DAYS }, ..YearOptions::new(seed) };
    let wanted: Vec<YearOptions> = match (number("BACKSTAY_SEED"), number("BACKSTAY_SEEDS")) {
        (Some(seed), _) => vec![YearOptions::new(seed)],
        (None, Some(last)) => (number("BACKSTAY_FROM").unwrap_or(1)..=last).map(YearOptions::new).collect(),
        (None, None) => (1..=SEEDS).map(of_check).collect(),
    };
    let broken = years(&wanted);
    let first = broken.first().map(ToString::to_string).unwrap_or_default();
    assert!(broken.is_empty(), "{} of {} years broke a promise; one of them:\n{first}", broken.len(), wanted.len());
}

/// Returns the year in which a mutant is seen first: of the seeds of a check, in their order.
fn seen(mutant: Mutant) -> Option<BrokenYear> {
    let year = (1..=SEEDS).find_map(|seed| live(YearOptions { mutant: Some(mutant), ..YearOptions::new(seed) }).err());
    match &year {
        Some(year) => println!(
            "{mutant:?}: seed {}, step {}, {}: {}: {}",
            year.seed, year.step, year.at, year.broken.promise, year.broken.seen
        ),
        None => println!("{mutant:?} breaks no promise in {SEEDS} years"),
    }
    year.map(|year| *year)
}

/// A check that cannot fail is none: with each protection left out, the promise that it keeps is seen to break.
#[test]
fn each_mutant_breaks_its_promise() {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let named = std::env::var("BACKSTAY_MUTANTS").ok();
    let is_named =
        |mutant: &Mutant| named.as_ref().is_none_or(|names| names.split(',').any(|name| name == format!("{mutant:?}")));
    let wanted: Vec<Mutant> = Mutant::ALL.iter().copied().filter(is_named).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = wanted.get(next.fetch_add(1, SeqCst) as usize) {
                    let promise = seen(*mutant).map(|year| year.broken.promise);
                    found.lock().unwrap().push((*mutant, promise));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let of_the_dead =
        ["no snapshot of a dead attempt is shown as good", "a confirmation is by the attempt that finished its job"];
    let one_message = ["an alert that was told has one message for each channel"];
    assert_eq!(found.len(), wanted.len());
    for (mutant, promise) in found {
        let expected: &[&str] = match mutant {
            Mutant::NoFence => &of_the_dead,
            Mutant::NoUniqueKey => &["at most one live backup an item"],
            Mutant::DoubleCatchUp => &["what was missed is made up for once"],
            Mutant::RescueTooEarly => &["nothing is rescued from an agent that is alive and works"],
            Mutant::LostEvent => &["an end is told once, and as it is"],
            Mutant::LocalRetention => &["the newest good snapshot is never forgotten"],
            Mutant::ForgottenEvent => &["an event that is taken in becomes its alert"],
            Mutant::LostMessage | Mutant::DoubledMessage => &one_message,
            Mutant::SentFirst => &["what is marked as sent was taken by its channel"],
            Mutant::DigestBeside => &["one digest a channel, tenant and window"],
            Mutant::LateWatch => &["an item past its RPO has an open alert"],
            Mutant::NoSilence => &["what is silenced is not told"],
            Mutant::LostAtChange => &["what is decided is told", "what is passed over is counted, and told"],
            Mutant::NoCaps => &["a lease is given within the caps in force"],
            Mutant::NoQuota => &["no backup starts over its quota"],
            Mutant::NoMarks => &["what is pinned or held is never forgotten"],
            Mutant::LostFollowUp => &["what follows a good backup is queued or told once"],
        };
        assert!(promise.is_some_and(|promise| expected.contains(&promise)), "{mutant:?}: {promise:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_year() {
    let options = YearOptions { days: 30, ..YearOptions::new(3) };
    assert_eq!(live(options).map_err(|year| year.to_string()), live(options).map_err(|year| year.to_string()));
}
