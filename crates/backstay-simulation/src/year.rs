//! A year from a seed: the world is made, lived through and healed, and its promises are looked at all the way.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::fate::{self, FATE};
use crate::ledger::{Broken, Counts, Ledger};
use crate::mutant::Mutant;
use crate::world::{AGENTS, REPLICAS, World};
use crate::{agent, server};

/// Where a year begins: 2026-01-01 00:00 UTC.
const BEGIN_SECS: i64 = 1_767_225_600;

const DAY: Duration = Duration::from_secs(86_400);

/// How long the world is left alone after it was healed: each plan but the monthly one has its turn, twice if one of them
/// may be another plan's.
const CALM_DAYS: u32 = 10;

/// How long a job may take when all is well: a row of failures backs off for hours.
const DONE_WITHIN: Duration = Duration::from_secs(86_400);

/// How a year is lived.
#[derive(Debug, Clone, Copy)]
pub struct YearOptions {
    /// What everything follows from.
    pub seed: u64,
    /// How many days of harm.
    pub days: u32,
    /// What is left out.
    pub mutant: Option<Mutant>,
}

impl YearOptions {
    /// A whole year of the product as it is.
    pub const fn new(seed: u64) -> Self {
        Self { seed, days: 365, mutant: None }
    }
}

/// What a year was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Year {
    /// Steps that were made.
    pub steps: u64,
    /// What happened.
    pub counts: Counts,
}

/// A year that broke a promise.
#[derive(Debug, Clone)]
pub struct BrokenYear {
    /// Its seed.
    pub seed: u64,
    /// The promise.
    pub broken: Broken,
    /// After which step.
    pub step: u64,
    /// When.
    pub at: Timestamp,
    /// The last lines of its story.
    pub story: String,
}

impl std::fmt::Display for BrokenYear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, broken, step, at, story } = self;
        write!(
            f,
            "seed {seed} broke a promise after step {step}, at {at}: {}\n  {}\nthe last events:\n{story}\n\
             again: BACKSTAY_SEED={seed} cargo test -p backstay-simulation --test it -- year --nocapture",
            broken.promise, broken.seen
        )
    }
}

/// Lives a year.
///
/// # Errors
/// [`BrokenYear`], boxed because it holds its story.
///
/// # Panics
/// When the simulation itself is wrong.
pub fn live(options: YearOptions) -> Result<Year, Box<BrokenYear>> {
    let from = Timestamp::from_second(BEGIN_SECS).expect("the year lies within the range of instants");
    let world = World::new(from, options.seed, options.mutant).expect("the world can be declared");
    let mut ledger = Ledger::new(&world);
    if options.mutant == Some(Mutant::NoUniqueKey) {
        ledger.table().execute("DROP INDEX uq_job_live_key");
        ledger.table().execute("DROP INDEX uq_job_occurrence_key");
        ledger.table().execute("DROP INDEX uq_lease_overlap");
    }
    (0..REPLICAS).for_each(|at| server::start(&world, at));
    (0..AGENTS).for_each(|at| agent::start(&world, at));
    world.stage.spawn(FATE, fate::harm(Arc::clone(&world)));
    world.stage.spawn(FATE, fate::people(Arc::clone(&world)));
    world.stage.spawn(FATE, fate::change::changes(Arc::clone(&world)));
    let answer = days(&world, &mut ledger, options.days).and_then(|()| {
        fate::heal(&world);
        let calm = world.weather.well_since().max(world.stage.now());
        let rest = Duration::try_from(calm.duration_since(world.stage.now())).unwrap_or(Duration::ZERO);
        days(&world, &mut ledger, CALM_DAYS + u32::try_from(rest.as_secs() / DAY.as_secs()).unwrap_or(0) + 1)?;
        ledger.all_done(DONE_WITHIN)?;
        ledger.all_told()?;
        ledger.young_again(Duration::from_secs(86_400 * u64::from(CALM_DAYS)))
    });
    let (steps, at, story) = (world.stage.steps(), world.stage.now(), world.stage.story());
    // Actors hold the world, and the world holds them.
    world.stage.clear();
    answer
        .map(|()| Year { steps, counts: ledger.counts })
        .map_err(|broken| Box::new(BrokenYear { seed: options.seed, broken, step: steps, at, story }))
}

/// Lives so many days.
fn days(world: &World, ledger: &mut Ledger, days: u32) -> Result<(), Broken> {
    for day in 1..=days {
        let until = world.stage.now().saturating_add(DAY).unwrap_or(Timestamp::MAX);
        while world.stage.step(until) {
            if world.stage.was_touched() {
                ledger.look()?;
            }
        }
        ledger.look_at_time()?;
        if day % 30 == 0 || day == days {
            ledger.look_at_occurrences()?;
        }
    }
    Ok(())
}
