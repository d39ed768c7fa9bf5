//! Promises about who holds what, and until when.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::attempt::{AttemptEnd, AttemptToken, LeaseKey};
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{AgentId, JobId, SnapshotId};
use backstay_core::domain::job::{
    FailureClass, Instruction, Job, JobState, Outcome, Phase, Progress, StateName, Target,
};
use backstay_core::domain::repository::RepositoryEpoch;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retry::Streak;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{Settlement, StoreError};

use crate::conformance::world::{STALL_LIMIT, Stores, TTL, World, key_of, settlement};

/// Jobs and claimers of the race: enough that each claimer meets each other one many times.
const RACE_JOBS: usize = 200;
const RACE_CLAIMERS: usize = 8;

fn assert_lost<T: std::fmt::Debug>(answer: Result<T, LeaseError>, key: LeaseKey) {
    let lost =
        matches!(&answer, Err(LeaseError::Lost { job_id, token }) if *job_id == key.job_id && *token == key.token);
    assert!(lost, "{answer:?}");
}

/// Every write that a holder could make is refused.
async fn assert_all_writes_lost(world: &World, key: LeaseKey) {
    assert_lost(world.jobs.job_progress_put(key, &Progress::begun()).await, key);
    assert_lost(world.jobs.job_checkpoint_put(key, &Checkpoint::new(vec![66]).unwrap()).await, key);
    let job = world.job(key.job_id).await;
    let rows = Settlement {
        snapshot: Some(world.snapshot(&job, "66", Outcome::Complete)),
        event: Some(world.event(EventKind::Succeeded, &job)),
        ..world.success()
    };
    assert_lost(world.jobs.job_settle(key, &rows).await, key);
}

/// Puts a lost job back in the queue, as the rescuer does.
async fn rescue(world: &World, key: LeaseKey) -> bool {
    let state = JobState::Queued { not_before: world.now() };
    let event = world.event(EventKind::Rescued, &world.job(key.job_id).await);
    let rows = world.rescue_rows(key, state, event).await;
    world.jobs.job_rescue(key, STALL_LIMIT, &rows).await.unwrap()
}

/// Returns the jobs that a look for lost leases finds, with the reasons.
async fn lost(world: &World) -> Vec<(JobId, String)> {
    let found = world.jobs.job_list_lost(STALL_LIMIT, 100).await.unwrap();
    found.into_iter().map(|lost| (lost.job.id, lost.reason)).collect()
}

/// Returns the agents whose heartbeat has not ended.
async fn alive(world: &World) -> Vec<AgentId> {
    world.jobs.agent_list_alive().await.unwrap().into_iter().map(|agent| agent.id).collect()
}

/// Eight claimers at once: each job goes to one of them, and none is left.
///
/// On SQLite the write lock keeps it: red in `two_processes_share_one_file` with deferred transactions. Where databases
/// lock rows instead, the row count in `claim::claim_one` does; SQLite alone does not notice its absence.
pub async fn claimers_never_share_a_job(stores: Stores) {
    let world = Arc::new(World::new(stores, RACE_JOBS).await);
    for item in 0..RACE_JOBS {
        world.queued(item).await;
    }
    let claimer = |number: usize| {
        let world = world.clone();
        tokio::spawn(async move {
            let (agent, mut taken) = (world.agent(), Vec::new());
            loop {
                let claimed = world.claim(agent, 1 + u32::try_from(number % 4).unwrap()).await;
                if claimed.is_empty() {
                    return taken;
                }
                taken.extend(claimed.iter().map(key_of));
            }
        })
    };
    let claimers: Vec<_> = (0..RACE_CLAIMERS).map(claimer).collect();
    let mut taken = Vec::new();
    for claimer in claimers {
        taken.extend(claimer.await.unwrap());
    }
    assert_eq!(taken.len(), RACE_JOBS);
    assert_eq!(taken.iter().map(|key| key.job_id).collect::<HashSet<_>>().len(), RACE_JOBS);
    assert!(taken.iter().all(|key| key.token == AttemptToken(1)));
}

/// After a rescue and a new lease, whoever held the job before writes nothing any more.
///
/// Red without the token in `held::lease_alive`.
pub async fn an_older_token_writes_nothing(stores: Stores) {
    let world = World::new(stores, 1).await;
    let (slow, quick) = (world.agent(), world.agent());
    let old = world.leased(0, slow).await;
    world.clock.advance(TTL);
    assert!(rescue(&world, old).await);
    assert_all_writes_lost(&world, old).await;
    let claimed = world.claim(quick, 1).await;
    let new = key_of(&claimed[0]);
    assert_eq!(new, LeaseKey { token: AttemptToken(old.token.0 + 1), ..old });
    let before = world.job(old.job_id).await;
    assert_all_writes_lost(&world, old).await;
    assert!(!rescue(&world, old).await, "an old lease is not rescued again");
    assert_eq!(world.job(old.job_id).await, before);
    assert_eq!(world.jobs.job_progress_get(old.job_id).await.unwrap(), None);
    assert_eq!(
        world.history.snapshot_list(Default::default(), backstay_core::ports::store::Page::first()).await.unwrap(),
        []
    );
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Rescued]);
    world.jobs.job_settle(new, &world.success()).await.unwrap();
}

/// A token that is yet to come, or a job that nobody holds or that does not exist, is refused as well.
///
/// Red when `held::lease_alive` compares tokens with anything but equality.
pub async fn a_token_that_was_never_given_writes_nothing(stores: Stores) {
    let world = World::new(stores, 2).await;
    let key = world.leased(0, world.agent()).await;
    assert_all_writes_lost(&world, LeaseKey { token: AttemptToken(key.token.0 + 1), ..key }).await;
    let queued = world.queued(1).await;
    assert_all_writes_lost(&world, LeaseKey { job_id: queued, token: AttemptToken(0) }).await;
    let missing = LeaseKey { job_id: JobId::new(world.now(), world.ten()), token: AttemptToken(1) };
    assert_lost(world.jobs.job_settle(missing, &world.success()).await, missing);
    assert_lost(world.jobs.job_progress_put(missing, &Progress::begun()).await, missing);
}

/// A heartbeat that ended stays ended while the agent has leases: neither a renewal nor a claim revives it.
///
/// Red without `is_alive` in `heartbeat::renew`, or without the condition of `heartbeat::begin`.
pub async fn an_ended_heartbeat_is_not_revived(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    world.queued(1).await;
    world.clock.advance(TTL - Duration::from_micros(1));
    assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Held]);
    assert_eq!(alive(&world).await, [agent]);
    world.clock.advance(TTL);
    assert_eq!(alive(&world).await, []);
    assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Lost]);
    assert!(world.claim(agent, 1).await.is_empty(), "an agent that lost its leases gets no work");
    assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Lost]);
    assert_eq!(lost(&world).await.len(), 1);
    assert!(rescue(&world, key).await);
    assert_eq!(world.claim(agent, 9).await.len(), 2, "without leases it may begin anew");
}

/// An agent whose heartbeat ended writes nothing, even if nobody has rescued its jobs yet.
///
/// Red without `alive_agents` in `held::lease_alive`.
pub async fn an_ended_heartbeat_writes_nothing(stores: Stores) {
    let world = World::new(stores, 1).await;
    let key = world.leased(0, world.agent()).await;
    world.clock.advance(TTL);
    let before = world.job(key.job_id).await;
    assert_all_writes_lost(&world, key).await;
    assert_eq!(world.job(key.job_id).await, before);
    assert_eq!(world.told().await, [EventKind::Enqueued]);
}

/// An agent whose process is known to be gone loses its leases at once.
///
/// Red when `heartbeat::retire` does not write.
pub async fn a_retired_agent_loses_its_leases(stores: Stores) {
    let world = World::new(stores, 2).await;
    let (gone, other) = (world.agent(), world.agent());
    let key = world.leased(0, gone).await;
    let kept = world.leased(1, other).await;
    world.jobs.agent_retire(gone).await.unwrap();
    assert_eq!(alive(&world).await, [other]);
    assert_eq!(world.jobs.job_renew(gone, &[key], TTL).await.unwrap(), [Standing::Lost]);
    assert_all_writes_lost(&world, key).await;
    let found = lost(&world).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, key.job_id);
    assert!(found[0].1.contains("heartbeat"), "{}", found[0].1);
    assert_eq!(world.jobs.job_renew(other, &[kept], TTL).await.unwrap(), [Standing::Held]);
    world.jobs.agent_retire(world.agent()).await.unwrap();
}

/// A job that makes no progress within its limit is lost although its agent lives. Only progress that differs from what
/// was stored counts.
///
/// Red without the second line of `rescue::is_over`, or without the comparison in `held::progress_put`.
pub async fn only_progress_that_differs_keeps_the_stall_limit_away(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    assert_eq!(world.jobs.job_progress_get(key.job_id).await.unwrap(), None);
    let progress = |files_done| Progress {
        phase: Phase::Working,
        files_done,
        bytes_done: 7,
        files_total: Some(9),
        bytes_total: None,
        unread: 1,
        watched: 2,
    };
    let alive_for = async |seconds: u64| {
        for _ in 0..seconds / 20 {
            world.clock.advance(Duration::from_secs(20));
            assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Held]);
        }
    };
    alive_for(STALL_LIMIT.as_secs() / 2).await;
    assert_eq!(world.jobs.job_progress_put(key, &progress(1)).await.unwrap(), Standing::Held);
    assert_eq!(world.jobs.job_progress_get(key.job_id).await.unwrap(), Some(progress(1)));
    alive_for(STALL_LIMIT.as_secs()).await;
    assert_eq!(lost(&world).await, [], "exactly at the limit the lease still holds");
    assert_eq!(world.jobs.job_progress_put(key, &progress(1)).await.unwrap(), Standing::Held);
    world.clock.advance(Duration::from_micros(1));
    let found = lost(&world).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("progress"), "{}", found[0].1);
    // It is not too late while nobody has rescued it.
    world.jobs.job_progress_put(key, &progress(2)).await.unwrap();
    assert_eq!(lost(&world).await, []);
    assert!(!rescue(&world, key).await);
    alive_for(STALL_LIMIT.as_secs()).await;
    world.clock.advance(Duration::from_micros(1));
    assert!(rescue(&world, key).await);
    assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Lost]);
    assert_eq!(world.jobs.job_progress_get(key.job_id).await.unwrap(), None);
}

/// A rescuer that looked too early, or twice, changes and tells nothing.
///
/// Red without `is_over` in `rescue::rescue`.
pub async fn a_live_lease_is_not_rescued(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    assert_eq!(lost(&world).await, []);
    assert!(!rescue(&world, key).await);
    world.clock.advance(TTL);
    assert!(rescue(&world, key).await);
    assert!(!rescue(&world, key).await);
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Rescued]);
}

/// A rescue counts one more failure, ends the attempt as lost, and leads only where the table of moves does.
///
/// Red without `put_streak`, or without `state::judge`, in `rescue::rescue`.
pub async fn a_rescue_counts_and_leads_only_where_the_table_does(stores: Stores) {
    let world = World::new(stores, 1).await;
    let key = world.leased(0, world.agent()).await;
    world.clock.advance(TTL);
    let event = world.event(EventKind::Rescued, &world.job(key.job_id).await);
    let wrong = JobState::Cancelled { finished_at: world.now() };
    let rows = world.rescue_rows(key, wrong, event).await;
    let refused = world.jobs.job_rescue(key, STALL_LIMIT, &rows).await.unwrap_err();
    assert!(matches!(refused, StoreError::Move { from: StateName::Leased, to: StateName::Cancelled, .. }));
    assert!(rescue(&world, key).await);
    let job = world.job(key.job_id).await;
    let lost = |count| Some(Streak { class: FailureClass::AgentLost, count, attempts: count });
    assert_eq!((job.streak, job.state), (lost(1), JobState::Queued { not_before: world.now() }));
    let attempts = world.history.attempt_list(key.job_id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].ended, Some((world.now(), AttemptEnd::Lost)));

    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    world.clock.advance(TTL);
    let parked = JobState::Parked { class: FailureClass::AgentLost, message: "lost twice".to_owned() };
    let rows = world.rescue_rows(key, parked.clone(), event_again(&world, key).await).await;
    assert!(world.jobs.job_rescue(key, STALL_LIMIT, &rows).await.unwrap());
    let job = world.job(key.job_id).await;
    assert_eq!((job.streak, job.state), (lost(2), parked));
}

async fn event_again(world: &World, key: LeaseKey) -> backstay_core::domain::event::Event {
    world.event(EventKind::Parked, &world.job(key.job_id).await)
}

/// What an attempt stored, the next one gets, whether the first one died or waited; the newest store counts, and a job
/// that has ended leaves nothing.
///
/// Red when `settle::lease_end` drops the checkpoint always, or when `claim::claim_one` does not read it.
pub async fn a_checkpoint_outlives_its_attempt_and_not_its_job(stores: Stores) {
    let world = World::new(stores, 1).await;
    let checkpoint = |letter: u8| Checkpoint::new(vec![letter; 4_096]).unwrap();
    let key = world.leased(0, world.agent()).await;
    world.jobs.job_checkpoint_put(key, &checkpoint(0)).await.unwrap();
    world.jobs.job_checkpoint_put(key, &checkpoint(255)).await.unwrap();
    world.clock.advance(TTL);
    assert!(rescue(&world, key).await);
    let claimed = world.claim(world.agent(), 1).await;
    assert_eq!(claimed[0].checkpoint, Some(checkpoint(255)));
    let waiting = JobState::Waiting { wake_at: world.now(), reason: "cinder works".to_owned() };
    world.jobs.job_settle(key_of(&claimed[0]), &settlement(waiting)).await.unwrap();
    world.jobs.job_wake().await.unwrap();
    let claimed = world.claim(world.agent(), 1).await;
    assert_eq!(claimed[0].checkpoint, Some(checkpoint(255)));
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    let other = world.leased(0, world.agent()).await;
    assert_ne!(other.job_id, key.job_id);
    assert_eq!(world.history.attempt_list(key.job_id).await.unwrap().len(), 3);
}

/// Standings come in the order asked; a lease of somebody else is lost to the asker.
///
/// Red when `heartbeat::renew` does not look at agent or token.
pub async fn standings_are_told_in_the_order_asked(stores: Stores) {
    let world = World::new(stores, 4).await;
    let (agent, other) = (world.agent(), world.agent());
    let held = world.leased(0, agent).await;
    let cancelling = world.leased(1, agent).await;
    let ended = world.leased(2, agent).await;
    let foreign = world.leased(3, other).await;
    let event = world.event(EventKind::Cancelled, &world.job(cancelling.job_id).await);
    world.jobs.job_cancel(cancelling.job_id, world.now(), &event).await.unwrap();
    world.jobs.job_settle(ended, &world.success()).await.unwrap();
    let old = LeaseKey { token: AttemptToken(held.token.0 - 1), ..held };
    let asked = [foreign, cancelling, held, ended, old, held];
    use Standing::{Cancelling, Held, Lost};
    let standings = world.jobs.job_renew(agent, &asked, TTL).await.unwrap();
    assert_eq!(standings, [Lost, Cancelling, Held, Lost, Lost, Held]);
    assert_eq!(world.jobs.job_renew(agent, &[], TTL).await.unwrap(), []);
    assert_eq!(world.jobs.job_renew(world.agent(), &[held], TTL).await.unwrap(), [Lost]);
}

/// A job that holds its repository alone waits until nobody else does, and keeps all others out while it runs. The
/// epoch grows with its lease, and with no other one.
///
/// Red without the update in `claim::epoch_of_lease`, or without both `claim::repository_free` and the condition on
/// leases in `claim::candidates`; the next promise needs the former by itself.
pub async fn a_repository_held_alone_is_shared_with_nobody(stores: Stores) {
    let world = World::new(stores, 3).await;
    let agent = world.agent();
    let prune = world.queued(0).await;
    (world.stores.hold_alone)(prune).await;
    let first = world.claim(agent, 1).await;
    assert_eq!((first[0].job.id, first[0].epoch), (prune, RepositoryEpoch(1)));
    world.queued(1).await;
    assert!(world.claim(agent, 9).await.is_empty(), "shared beside alone");
    world.jobs.job_settle(key_of(&first[0]), &world.success()).await.unwrap();

    let shared = world.claim(agent, 9).await;
    assert_eq!((shared.len(), shared[0].epoch), (1, RepositoryEpoch(1)));
    let prune = world.queued(0).await;
    (world.stores.hold_alone)(prune).await;
    assert!(world.claim(agent, 9).await.is_empty(), "alone beside shared");
    world.queued(2).await;
    assert_eq!(world.claim(agent, 9).await.len(), 1, "shared beside shared, past the one that waits");
    assert_eq!(world.stores.declarations.repository_get(world.repository.id).await.unwrap().epoch, RepositoryEpoch(1));

    world.clock.advance(TTL);
    let late = world.agent();
    assert!(world.claim(late, 9).await.is_empty(), "a lost lease excludes until it is rescued");
    for (id, _) in lost(&world).await {
        let token = world.job(id).await.attempt_token;
        assert!(rescue(&world, LeaseKey { job_id: id, token }).await);
    }
    let claimed = world.claim(late, 1).await;
    assert_eq!(claimed[0].job.breach_at, world.job(claimed[0].job.id).await.breach_at);
    assert_eq!(world.stores.declarations.repository_get(world.repository.id).await.unwrap().epoch, claimed[0].epoch);
}

/// A single claim does not give out an exclusive lease and another one on the same repository.
///
/// Red without `claim::repository_free`: the condition of the candidates sees only leases from before.
pub async fn one_claim_does_not_mix_alone_and_shared(stores: Stores) {
    let world = World::new(stores, 4).await;
    for item in 0..4 {
        world.clock.advance(Duration::from_millis(1));
        let id = world.queued(item).await;
        if item % 2 == 0 {
            (world.stores.hold_alone)(id).await;
        }
    }
    let agent = world.agent();
    let first = world.claim(agent, 9).await;
    assert_eq!((first.len(), first[0].epoch), (1, RepositoryEpoch(1)));
    world.jobs.job_settle(key_of(&first[0]), &world.success()).await.unwrap();
    let second = world.claim(agent, 9).await;
    assert_eq!(second.len(), 2, "the two that share");
    assert!(second.iter().all(|row| row.epoch == RepositoryEpoch(1)));
}

fn restore(world: &World) -> Instruction {
    let snapshot_id = SnapshotId::new(world.now(), world.ten());
    Instruction::Restore { snapshot_id, target: Target::Directory("/srv/out".into()), terms: RestoreTerms::default() }
}

/// Who wants a repository alone is overtaken for ten minutes; then later jobs of its repository wait until it has run,
/// more urgent ones and restores do not, and after a day nobody waits for it any more.
///
/// Red without `claim::waiting_alone` in `claim::question`, or without any one of its bounds.
pub async fn who_waits_to_be_alone_gets_its_turn(stores: Stores) {
    let world = World::new(stores, 6).await;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let agent = world.agent();
    let first = world.leased(0, agent).await;
    let prune = world.queued(1).await;
    (world.stores.hold_alone)(prune).await;
    let keep = async |count: u64, keys: &[LeaseKey]| {
        for _ in 0..count * 3 {
            world.clock.advance(Duration::from_secs(20));
            world.jobs.job_renew(agent, keys, TTL).await.unwrap();
        }
    };
    keep(9, &[first]).await;
    let overtakes = world.leased(2, agent).await;
    keep(1, &[first, overtakes]).await;
    let late = world.queued(3).await;
    assert!(world.claim(agent, 9).await.is_empty(), "after ten minutes nothing overtakes it");
    let restore = Job { instruction: restore(&world), ..world.backup(5) };
    world.enqueue(&restore).await;
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [restore.id], "but who waits for a restore");
    let restoring = key_of(&claimed[0]);
    let urgent = Job { breach_at: world.now() - minutes(60), ..world.backup(4) };
    world.enqueue(&urgent).await;
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [urgent.id], "what comes before it goes on");
    for key in [first, overtakes, restoring, key_of(&claimed[0])] {
        world.jobs.job_settle(key, &world.success()).await.unwrap();
    }
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [prune], "it has its turn, alone");
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [late]);

    // One that nobody can run: backups of its repository go on after a day.
    let stuck = world.queued(1).await;
    (world.stores.hold_alone)(stuck).await;
    keep(11, &[key_of(&claimed[0])]).await;
    let waits = world.queued(5).await;
    assert!(world.claim(agent, 9).await.is_empty());
    keep(24 * 60 - 11, &[key_of(&claimed[0])]).await;
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [waits]);
}

/// An agent that asks for work names what it holds. What it has had for a while and does not name is lost, for the
/// answer that brought it may have been; what it was given just now may be on its way.
///
/// Red without `heartbeat::disown`, without any one of its conditions, or without its line in `rescue::is_over`.
pub async fn what_an_agent_does_not_name_is_lost(stores: Stores) {
    let world = World::new(stores, 3).await;
    let (agent, other) = (world.agent(), world.agent());
    let (named, unheard) = (world.leased(0, agent).await, world.leased(1, agent).await);
    let of_other = world.leased(2, other).await;
    let both = [named, unheard];
    world.clock.advance(TTL - Duration::from_micros(1));
    world.jobs.job_renew(agent, &both, TTL).await.unwrap();
    world.jobs.job_renew(other, &[of_other], TTL).await.unwrap();
    world.claim_naming(agent, &[named], 9).await;
    assert_eq!(lost(&world).await, [], "it may be on its way");
    world.clock.advance(Duration::from_micros(1));
    world.claim_naming(agent, &[named], 9).await;
    let found = lost(&world).await;
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [unheard.job_id]);
    assert!(found[0].1.contains("does not know"), "{}", found[0].1);
    // Who tells progress has it after all: the request was an old one.
    world.jobs.job_progress_put(unheard, &Progress::begun()).await.unwrap();
    assert_eq!(lost(&world).await, []);
    world.claim_naming(agent, &[named], 9).await;
    assert!(!rescue(&world, named).await);
    assert!(!rescue(&world, of_other).await);
    assert!(rescue(&world, unheard).await);
    assert_all_writes_lost(&world, unheard).await;
    let again = world.claim_naming(agent, &[named], 9).await;
    assert_eq!(again.iter().map(key_of).collect::<Vec<_>>(), [LeaseKey { token: AttemptToken(2), ..unheard }]);
    world.jobs.job_settle(named, &world.success()).await.unwrap();
}
