//! Pauses: an agent is held between any two of its writes, longer than its lease, while another does its job.
//!
//! Agents are the production ones, with their loop, runner, fence and notes, on the real engine; the managers are the real ones
//! on SQLite in memory. At each [`Place`] the first agent stands still, the clock moves past its lease, the job is rescued, a
//! second agent does it whole or hands in what the first one had noted and published, now and then a prune forgets what has no
//! row and deletes what nobody refers to, and then the first goes on with what it had. Afterwards: one finished attempt, one
//! snapshot row, that of the second agent, and all its data there.
//!
//! `BACKSTAY_PAUSES=10000 cargo test -p backstay-simulation --test it -- pause --nocapture` makes ten thousand;
//! `bench/soak.tsv` has what came of them.

mod hold;
mod agent;
mod house;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use house::{After, House, Injected};

/// Pauses of every check.
const PAUSES: usize = 220;

/// Pauses of one house: its repository grows with each.
const OF_ONE_HOUSE: usize = 100;

/// Where an agent is held: between which two of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    LeaseToWork,
    WorkToPack,
    PackToPack,
    PackToIndex,
    IndexToLastRenewal,
    LastRenewalToNote,
    NoteToSecondLook,
    SecondLookToSnapshot,
    SnapshotToFinish,
    FinishToRows,
    RowsToAnswer,
}

impl Place {
    const ALL: [Self; 11] = [
        Self::LeaseToWork,
        Self::WorkToPack,
        Self::PackToPack,
        Self::PackToIndex,
        Self::IndexToLastRenewal,
        Self::LastRenewalToNote,
        Self::NoteToSecondLook,
        Self::SecondLookToSnapshot,
        Self::SnapshotToFinish,
        Self::FinishToRows,
        Self::RowsToAnswer,
    ];
}

/// What happens during a pause, besides the rescue and the second agent.
const MEANWHILE: [After; 4] = [After::Nothing, After::Prune, After::Nothing, After::TwoPrunes];

#[test]
fn pauses_at_every_place_double_nothing() {
    let wanted = std::env::var("BACKSTAY_PAUSES").ok().and_then(|text| text.parse().ok()).unwrap_or(PAUSES);
    let began = Instant::now();
    let mut seen: BTreeMap<Place, Injected> = BTreeMap::new();
    let mut number = 0;
    while number < wanted {
        let house = House::new();
        for _ in 0..OF_ONE_HOUSE.min(wanted - number) {
            let place = Place::ALL[number % Place::ALL.len()];
            let meanwhile = MEANWHILE[number / Place::ALL.len() % MEANWHILE.len()];
            // From just past the lease up to twenty hours: the longest pause is shorter than the grace of a prune.
            let pause = Duration::from_secs(31 + (number as u64 * 7_919) % (20 * 3_600));
            let injected = house.pause_at(place, pause, meanwhile);
            let sum = seen.entry(place).or_default();
            *sum = sum.plus(injected);
            number += 1;
        }
        house.assert_whole();
    }
    println!(
        "place                      pauses  left by the dead  handed in by the next  stopped before  refused at the end"
    );
    for (place, sum) in &seen {
        let Injected { pauses, orphans, resumed, stopped, refused } = sum;
        let place = format!("{place:?}");
        println!("{place:<26} {pauses:>6}  {orphans:>16}  {resumed:>21}  {stopped:>14}  {refused:>18}");
    }
    println!("{number} pauses in {:.1} s: 0 double commits", began.elapsed().as_secs_f64());
    assert!(seen.len() == Place::ALL.len() || wanted < Place::ALL.len(), "each place was tried: {seen:?}");
}
