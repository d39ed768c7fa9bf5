//! Ownership as a state machine: one backup job, prunes of its repository, and processes that pause at the worst moment.
//!
//! What `docs/explanation/ownership.md` argues in words is here checked in every order of steps within small bounds.
//! Time is a small number of ticks. A process may act up to [`Bounds::pause`] ticks after its last look at its lease:
//! the longest pause that the product is made for. [`Mutant`] leaves one protection out; each must break a promise.
//!
//! What it taught: that a prune holds its repository alone does not protect data, because a prune that paused marks packs
//! after its lease is gone. What does: a backup looks again for marks after its last renewal, marked packs are not taken
//! from, a mark is older than the grace *when snapshots are looked at*, and the second look. Exclusion saves work only.

mod world;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use world::{Backup, Pack, World};

/// How large the model is, in ticks and tries.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// A lease's time.
    ttl: u8,
    /// The longest pause between a look at the lease and the write that it allowed.
    pause: u8,
    /// How long a pack is only marked before it may be deleted.
    grace: u8,
    /// Attempts of the backup job.
    backups: usize,
    /// Prunes that run at once: one that holds the lease, and those that do not know yet that they lost it. One after
    /// another there may be any number.
    prunes: usize,
}

/// A protection that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// None: the product.
    None,
    /// A snapshot is published without a look at the lease.
    NoFence,
    /// A finish is taken from whoever brings it.
    NoToken,
    /// A pack is deleted in the same prune that marks it.
    NoGrace,
    /// A backup takes marked packs for as good as others.
    MarkedPacksAreTaken,
    /// A backup does not look again for marks, after its lease was renewed and before it publishes.
    NoLookAgain,
    /// A marked pack's age is judged when it is deleted, not when snapshots were looked at.
    AgeAtDeletion,
    /// Marked packs that a snapshot refers to are deleted all the same.
    NoSecondLook,
}

/// One step of one process, or a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    BackupLease,
    Backup(usize, BackupStep),
    PruneLease,
    Prune(usize, PruneStep),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackupStep {
    Renew,
    Load,
    Write,
    Check,
    LookAgain,
    Publish,
    Finish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PruneStep {
    Renew,
    Forget,
    Look,
    Check,
    Mark,
    Delete,
}

#[derive(Debug, Clone)]
struct Ownership {
    bounds: Bounds,
    mutant: Mutant,
}

const BOUNDS: Bounds = Bounds { ttl: 2, pause: 2, grace: 5, backups: 2, prunes: 2 };

impl Model for Ownership {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend([Step::Tick, Step::BackupLease, Step::PruneLease]);
        use {BackupStep as B, PruneStep as P};
        for at in 0..world.backups.len() {
            let all = [B::Renew, B::Load, B::Write, B::Check, B::LookAgain, B::Publish, B::Finish];
            steps.extend(all.map(|does| Step::Backup(at, does)));
        }
        for at in 0..world.prunes.len() {
            steps
                .extend([P::Renew, P::Forget, P::Look, P::Check, P::Mark, P::Delete].map(|does| Step::Prune(at, does)));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.step(&self.bounds, self.mutant, step).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a good snapshot has all its packs", |_, world: &World| {
                world.snapshots.iter().filter(|snapshot| snapshot.good).all(|snapshot| world.has(snapshot.pack))
            }),
            Property::always("a snapshot that restic sees has all its packs", |_, world: &World| {
                world.snapshots.iter().all(|snapshot| world.has(snapshot.pack))
            }),
            Property::always("who publishes held the lease when it looked", |_, world: &World| !world.unfenced),
            Property::always("a job is finished once", |_, world: &World| world.finished <= 1),
            Property::always("who finishes has published", |_, world: &World| {
                world.finished == 0 || world.snapshots.iter().any(|snapshot| snapshot.good && snapshot.token > 0)
            }),
            Property::sometimes("a backup is finished", |_, world: &World| world.finished == 1),
            Property::sometimes("a second attempt finishes", |_, world: &World| {
                world.backups.get(1) == Some(&Backup::Ended)
                    && world.snapshots.iter().any(|one| one.good && one.token == 2)
            }),
            Property::sometimes("a dead attempt publishes", |_, world: &World| {
                world.backups.len() == 2 && world.snapshots.iter().any(|snapshot| snapshot.token == 1)
            }),
            Property::sometimes("a pack is deleted", |_, world: &World| world.packs.contains(&Pack::Deleted)),
            Property::sometimes("a marked pack is taken back", |_, world: &World| world.taken_back),
        ]
    }
}

/// Checks all orders, of a mutant until `promise` is broken; returns the names of the promises that were broken and the states that were seen.
fn broken(mutant: Mutant, promise: &'static str) -> (Vec<&'static str>, Vec<&'static str>, usize) {
    let checker = Ownership { bounds: BOUNDS, mutant }.checker().threads(2);
    let checker = match mutant {
        Mutant::None => checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join(),
        _ => checker.finish_when(HasDiscoveries::AllOf(BTreeSet::from([promise]))).spawn_bfs().join(),
    };
    let found = checker.discoveries();
    let model = checker.model();
    let (mut broken, mut missing) = (Vec::new(), Vec::new());
    for property in model.properties() {
        let seen = found.contains_key(property.name);
        if let (Mutant::None, stateright::Expectation::Always, Some(path)) =
            (mutant, &property.expectation, found.get(property.name))
        {
            let steps: Vec<String> =
                path.clone().into_vec().iter().map(|(world, step)| format!("  {world:?}\n  {step:?}")).collect();
            panic!("{} is broken by:\n{}", property.name, steps.join("\n"));
        }
        match property.expectation {
            stateright::Expectation::Sometimes if !seen => missing.push(property.name),
            stateright::Expectation::Always if seen => broken.push(property.name),
            _ => {}
        }
    }
    (broken, missing, checker.unique_state_count())
}

#[test]
fn no_order_of_steps_breaks_a_promise() {
    let (broken, missing, states) = broken(Mutant::None, "");
    assert_eq!(broken, Vec::<&str>::new());
    assert_eq!(missing, Vec::<&str>::new(), "the model does not reach what it is about");
    assert!(states > 10_000, "{states} states are too few to mean anything");
}

#[track_caller]
fn check(mutant: Mutant, promise: &'static str) {
    let (broken, _, _) = broken(mutant, promise);
    assert!(broken.contains(&promise), "{mutant:?} broke {broken:?}");
}

#[test]
fn each_protection_is_needed() {
    let data = "a good snapshot has all its packs";
    let seen = "a snapshot that restic sees has all its packs";
    check(Mutant::NoFence, "who publishes held the lease when it looked");
    check(Mutant::NoToken, "a job is finished once");
    check(Mutant::NoGrace, seen);
    check(Mutant::MarkedPacksAreTaken, data);
    check(Mutant::NoLookAgain, seen);
    check(Mutant::AgeAtDeletion, seen);
    check(Mutant::NoSecondLook, seen);
}
