//! Promises about which result leads to which state and which rows.

use std::time::Duration;

use backstay_core::domain::adoption::{FOREIGN_KIND, FoundSnapshot};
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::evidence::{self, Findings, Verdict};
use backstay_core::domain::id::SnapshotId;
use backstay_core::domain::job::{
    Failure, FailureClass, Instruction, Job, JobCounts, JobState, Outcome, Reconciliation, StateName, Target, Work,
};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retry::{FAILURES_BEFORE_PARKED, Streak};
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::snapshot::{Mark, PublishedSnapshot};
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Jobs};
use backstay_core::ports::store::{Enqueued, Page, SnapshotFilter};

use super::{JobsHarness, backed_up, lease, leased};
use crate::conformance::world::{World, distinct_counts};

/// A backup with unread entries succeeds as partial: its snapshot has a row, its unread entries are named, and it is
/// not the newest good one.
pub async fn a_partial_backup_is_never_the_newest_good_one(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let mut unread = Unread::default();
    unread.push("/home/ada/secret".to_owned(), "permission denied".to_owned());
    let result = backed_up(&world, Outcome::Partial, "cd", unread.clone());
    let state = jobs.job_finish(key, &result).await.unwrap();
    assert_eq!(state, JobState::Succeeded { outcome: Outcome::Partial, finished_at: world.now() });
    assert_eq!(world.jobs.job_unread_get(key.job_id).await.unwrap(), unread);
    let list = world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap();
    assert_eq!(list.iter().map(|row| (row.job_id, row.outcome)).collect::<Vec<_>>(), [(key.job_id, Outcome::Partial)]);
    let good = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
    assert_eq!(good, None);
}

/// Says of the plan how its backups go about their work.
async fn plan_says(world: &World, backup: BackupTerms) {
    let changed = Plan { backup, ..world.plan.clone() };
    assert!(world.stores.declarations.plan_replace(&world.plan, &changed).await.unwrap());
    assert_eq!(world.stores.declarations.plan_get(world.plan.id).await.unwrap(), changed);
}

/// A backup is partial and good when its plan accepts each path that it could not read.
///
/// Red when `saved::is_good` does not ask the plan.
pub async fn a_partial_backup_that_its_plan_accepts_is_good(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let accept_unread = vec!["/home/ada/.cache/**".to_owned()];
    plan_says(&world, BackupTerms { accept_unread, ..BackupTerms::default() }).await;
    let mut newest = Vec::new();
    for (foreign_id, path) in [("ab", "/home/ada/.cache/lock"), ("cd", "/home/ada/letter")] {
        world.clock.advance(Duration::from_secs(1));
        let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
        let mut unread = Unread::default();
        unread.push(path.to_owned(), "permission denied".to_owned());
        let state = jobs.job_finish(key, &backed_up(&world, Outcome::Partial, foreign_id, unread)).await.unwrap();
        assert!(matches!(state, JobState::Succeeded { outcome: Outcome::Partial, .. }), "never shown green: {state:?}");
        let good = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
        newest.push(good.unwrap().foreign_id);
    }
    assert_eq!(newest, ["ab", "ab"], "a letter is not accepted");
    let messages: Vec<String> = world.events().await.into_iter().map(|row| row.event.message).collect();
    assert!(messages.iter().any(|words| words.contains("1 entries could not be read, which its plan accepts")));
}

/// What looks like the work of a program that encrypts is seen also where something can never be read.
///
/// Red when `managers::anomaly` takes only whole runs for a history.
pub async fn a_mass_change_is_seen_among_partial_runs(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let run = async |number: u64, unmodified: u64, new_mib: u64| {
        world.clock.advance(Duration::from_secs(3_600));
        let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
        let mut unread = Unread::default();
        unread.push("/home/ada/secret".to_owned(), "permission denied".to_owned());
        let new = new_mib << 20;
        let found = JobCounts {
            files: 100,
            files_unmodified: unmodified,
            bytes: 100 << 20,
            bytes_added: new,
            bytes_stored: new,
            unread: 1,
            ..JobCounts::default()
        };
        let mut result = backed_up(&world, Outcome::Partial, &format!("{number:02}"), unread);
        let JobResult::BackedUp { counts, .. } = &mut result else { panic!("{result:?}") };
        *counts = found;
        jobs.job_finish(key, &result).await.unwrap();
        world.stores.retention.suspicion_list().await.unwrap().len()
    };
    for number in 0..7 {
        assert_eq!(run(number, 99, 1).await, 0);
    }
    assert_eq!(run(7, 0, 100).await, 1);
}

/// A backup that found nothing changed confirms the newest snapshot and publishes none, when its plan says so and that
/// snapshot is good.
///
/// Red when a lease does not look at the plan or at the parent, and when the confirmation is not written.
pub async fn what_did_not_change_is_confirmed(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    plan_says(&world, BackupTerms { skip_if_unchanged: true, ..BackupTerms::default() }).await;
    let skips = |work: &Work| matches!(work, Work::Backup { skip_if_unchanged: true, .. });
    let agent = world.agent();
    let first = leased(&*jobs, &world, 0, agent).await;
    assert!(!skips(&first.state.work), "there is nothing to confirm yet");
    let mut unread = Unread::default();
    unread.push("/home/ada/letter".to_owned(), "permission denied".to_owned());
    jobs.job_finish(first.lease_key(), &backed_up(&world, Outcome::Partial, "ab", unread)).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let second = leased(&*jobs, &world, 0, agent).await;
    assert!(!skips(&second.state.work), "a snapshot that misses something is not confirmed");
    let made = backed_up(&world, Outcome::Complete, "cd", Unread::default());
    jobs.job_finish(second.lease_key(), &made).await.unwrap();
    let taken_at = world.now();

    world.clock.advance(Duration::from_secs(3_600));
    let third = leased(&*jobs, &world, 0, agent).await;
    assert!(skips(&third.state.work));
    let confirmed = |foreign_id: &str| JobResult::Confirmed {
        snapshot: PublishedSnapshot { foreign_id: foreign_id.to_owned(), taken_at: world.now() },
        counts: JobCounts { files: 3, files_unmodified: 3, ..JobCounts::default() },
        warning: Some("the hook after failed".to_owned()),
    };
    let wrong = jobs.job_finish(third.lease_key(), &confirmed("ab")).await;
    assert!(wrong.is_err(), "only the newest good one is confirmed: {wrong:?}");
    // Its answer may be lost on the way: it is told twice.
    for _ in 0..2 {
        let state = jobs.job_finish(third.lease_key(), &confirmed("cd")).await.unwrap();
        assert_eq!(state, JobState::Succeeded { outcome: Outcome::Unchanged, finished_at: world.now() });
    }
    let rows = world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.foreign_id.as_str()).collect::<Vec<_>>(), ["cd", "ab"]);
    assert_eq!((rows[0].taken_at, rows[0].confirmed_at), (taken_at, Some(world.now())));
    assert_eq!((rows[0].proved_at(world.now()), rows[0].proved_at(taken_at)), (world.now(), taken_at));
    let listed = world.stores.schedules.schedule_list_items(&[world.plan.id], world.now()).await.unwrap();
    assert_eq!(listed[0].newest_at, Some(world.now()));
    assert_eq!(jobs.job_finish(second.lease_key(), &confirmed("cd")).await.ok(), None, "it ended otherwise");
}

/// A discover gives what it found a row: a plan's own under the plan's item, good as it says; what restic made elsewhere under
/// a foreign source; what is known already none. Told twice it is told once, and what could not be read makes it partial.
///
/// Red when `adoption` does not look at what is known, or `home_of` guesses.
pub async fn what_a_discover_finds_becomes_somebodys(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    snapshot_made(&*jobs, &world).await;
    world.clock.advance(Duration::from_secs(60));
    let found = |foreign_id: &str, hostname: &str, tags: &[&str]| FoundSnapshot {
        foreign_id: foreign_id.repeat(32),
        taken_at: world.now(),
        hostname: hostname.to_owned(),
        is_of_this_machine: hostname == "here",
        is_of_this_program: !tags.is_empty(),
        paths: vec![world.items[0].name.clone()],
        tags: tags.iter().map(ToString::to_string).collect(),
        counts: distinct_counts(),
    };
    let tag = format!("plan:{}", world.plan.name);
    let all = vec![found("ef", "here", &[]), found("01", "old", &[&tag]), found("02", "there", &[])];
    let job = Job {
        instruction: Instruction::Discover { hostname: Some("old".to_owned()) },
        plan_id: None,
        item_id: None,
        ..world.backup(0)
    };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let leased = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert!(matches!(leased.state.work, Work::Discover), "{:?}", leased.state.work);
    let mut unread = Unread::default();
    unread.push("snapshot 03".to_owned(), "it is damaged".to_owned());
    let result = JobResult::Discovered { found: all, unread };
    for _ in 0..2 {
        let state = jobs.job_finish(leased.lease_key(), &result).await.unwrap();
        assert!(matches!(state, JobState::Succeeded { outcome: Outcome::Partial, .. }), "{state:?}");
    }
    let rows = world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap();
    let row = |foreign_id: &str| rows.iter().find(|row| row.foreign_id == foreign_id.repeat(32)).unwrap();
    assert_eq!(rows.len(), 3);
    let ours = world.items[0].id;
    assert_eq!((row("01").item_id, row("01").is_good, row("01").counts), (ours, true, distinct_counts()));
    let foreign = world.stores.declarations.item_get(row("02").item_id).await.unwrap();
    let source = world.stores.declarations.source_get(foreign.source_id).await.unwrap();
    assert_eq!((source.kind.as_str(), row("02").is_good), (FOREIGN_KIND, false));
    assert_eq!(source.settings["hostname"], "there");
    assert_eq!(world.jobs.job_unread_get(leased.id).await.unwrap().count, 1);
}

/// A look through the repository may find a snapshot whose backup has not ended yet. The backup ends all the same, and the
/// snapshot is one: the backup's, with the mark that somebody gave it meanwhile.
///
/// Red when the row of the look is in the backup's way, or the snapshot is counted twice.
pub async fn a_backup_takes_over_what_a_look_found_of_it(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let backup = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let foreign_id = "ef".repeat(32);
    let discover =
        Job { instruction: Instruction::Discover { hostname: None }, plan_id: None, item_id: None, ..world.backup(0) };
    assert_eq!(world.enqueue(&discover).await, Enqueued::New(discover.id));
    let look = lease(&*jobs, world.agent(), 1).await.remove(0);
    let found = FoundSnapshot {
        foreign_id: foreign_id.clone(),
        taken_at: world.now(),
        hostname: "there".to_owned(),
        is_of_this_machine: false,
        is_of_this_program: false,
        paths: vec![world.items[0].name.clone()],
        tags: Vec::new(),
        counts: JobCounts::default(),
    };
    let result = JobResult::Discovered { found: vec![found], unread: Unread::default() };
    jobs.job_finish(look.lease_key(), &result).await.unwrap();
    let rows = || world.history.snapshot_list(SnapshotFilter::default(), Page::first());
    let [known] = rows().await.unwrap().try_into().unwrap();
    let pinned_at = world.stores.retention.snapshot_mark(known.id, Mark::Pin, true).await.unwrap().pinned_at;

    let result = backed_up(&world, Outcome::Complete, &foreign_id, Unread::default());
    for _ in 0..2 {
        let state = jobs.job_finish(backup, &result).await.unwrap();
        assert!(matches!(state, JobState::Succeeded { outcome: Outcome::Complete, .. }), "{state:?}");
    }
    let [row] = rows().await.unwrap().try_into().unwrap();
    assert_eq!((row.id, row.job_id, row.item_id), (known.id, backup.job_id, world.items[0].id));
    assert!(row.is_good && pinned_at.is_some());
    assert_eq!(row.pinned_at, pinned_at);
    let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
    assert_eq!(newest.map(|row| row.foreign_id), Some(foreign_id));
    assert_eq!(world.stores.notices.usage_get(world.tenant.id).await.unwrap().snapshots, 1);
}

/// Makes a snapshot of the first item and returns its row's id.
async fn snapshot_made(jobs: &dyn Jobs, world: &World) -> SnapshotId {
    let key = leased(jobs, world, 0, world.agent()).await.lease_key();
    let result = backed_up(world, Outcome::Complete, &"ef".repeat(32), Unread::default());
    jobs.job_finish(key, &result).await.unwrap();
    world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap()[0].id
}

/// Asks for a job on a snapshot and leases it.
async fn leased_on(jobs: &dyn Jobs, world: &World, instruction: Instruction) -> (LeaseKey, Work) {
    let job = Job { instruction, plan_id: None, ..world.backup(0) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let leased = lease(jobs, world.agent(), 1).await.remove(0);
    assert_eq!(leased.id, job.id);
    (leased.lease_key(), leased.state.work)
}

fn findings(world: &World) -> Findings {
    Findings {
        files_total: 3,
        bytes_total: 30,
        files_read: 3,
        files_read_in_part: 0,
        bytes_read: 30,
        files_compared: 3,
        files_changed_since: 0,
        classes: Vec::new(),
        packs_named: 1,
        bytes_fetched: 60,
        difference_count: 0,
        differences: Vec::new(),
        started_at: world.now(),
        took: Duration::from_millis(12),
        slice: None,
    }
}

/// A verify leaves a record that proves itself and names the one before it; with differences the job is damaged, and
/// no repetition turns that into a success of the same job.
pub async fn a_verify_leaves_signed_and_chained_evidence(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let snapshot_id = snapshot_made(&*jobs, &world).await;
    let sample = SampleRule { files_min: 200, bytes_percent: 1, seed: 5 };
    let mut harmed = findings(&world);
    harmed.differs("/home/ada/x".to_owned(), "blob 12 is missing".to_owned());
    for (found, verdict, state) in [
        (findings(&world), Verdict::Proved, StateName::Succeeded),
        (harmed, Verdict::Damaged, StateName::Damaged),
        (findings(&world), Verdict::Proved, StateName::Succeeded),
    ] {
        world.clock.advance(Duration::from_millis(1));
        let (key, work) = leased_on(&*jobs, &world, Instruction::Verify { snapshot_id, sample, slice: None }).await;
        let Work::Verify { snapshot, sample: leased_sample, item, .. } = work else { panic!("{work:?}") };
        assert_eq!((snapshot.id, leased_sample, &item), (snapshot_id, sample, &world.items[0]));
        let result = JobResult::Verified { findings: Box::new(found), counts: JobCounts::default() };
        assert_eq!(jobs.job_finish(key, &result).await.unwrap().name(), state);
        assert_eq!(world.job(key.job_id).await.state.name(), state);
        let record = world.history.evidence_newest(world.items[0].id).await.unwrap().unwrap();
        assert_eq!((record.verdict, record.place.job_id, record.place.snapshot_id), (verdict, key.job_id, snapshot_id));
        evidence::verify_file(&evidence::file(&record)).unwrap();
    }
    let mut records = world.history.evidence_list(Some(world.items[0].id), 9).await.unwrap();
    records.reverse();
    for (place, record) in (1..).zip(&records) {
        let before = usize::try_from(place - 2).ok().map(|place: usize| records[place].hash.clone());
        assert_eq!((record.place.sequence, &record.place.previous_hash), (place, &before));
    }
    let told = world.told().await;
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Damaged).count(), 1);
}

/// A restore ends as it went, and makes no snapshot.
pub async fn a_restore_succeeds_as_it_went(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let snapshot_id = snapshot_made(&*jobs, &world).await;
    let targets = [Target::Directory("/srv/restored".into()), Target::Source { name: Some("wiki ü".to_owned()) }];
    for (outcome, target) in [Outcome::Complete, Outcome::Partial].into_iter().zip(targets) {
        let terms = RestoreTerms {
            path: "/etc/ä".to_owned(),
            include: vec!["*.conf".to_owned()],
            exclude: vec!["/etc/x".to_owned(), "y".to_owned()],
            reconciliation: Reconciliation::Rename,
            special: true,
            read_back: true,
        };
        let instruction = Instruction::Restore { snapshot_id, target: target.clone(), terms: terms.clone() };
        let (key, work) = leased_on(&*jobs, &world, instruction).await;
        let Work::Restore { snapshot, target: goes_to, terms: how, home } = work else { panic!("{work:?}") };
        // Whoever takes it back comes with it.
        let expected = match &target {
            Target::Directory(_) => None,
            Target::Source { .. } => Some((world.source.clone(), world.items[0].clone())),
        };
        assert_eq!(home.map(|home| *home), expected);
        assert_eq!((snapshot.id, goes_to, how), (snapshot_id, target, terms));
        let counts = JobCounts { files: 9, ..JobCounts::default() };
        let result = JobResult::Restored { outcome, counts, unread: Unread::default() };
        let state = jobs.job_finish(key, &result).await.unwrap();
        assert_eq!(state, JobState::Succeeded { outcome, finished_at: world.now() });
        assert_eq!(world.job(key.job_id).await.counts, counts);
    }
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().len(), 1);
}

fn failed(disposition: Disposition) -> JobResult {
    JobResult::Failed(Failure { class: FailureClass::Storage, message: "no route to host".to_owned(), disposition })
}

/// What only a person can mend ends the job; what may pass by itself waits, and is told to nobody.
pub async fn a_failure_goes_where_its_disposition_says(harness: JobsHarness) {
    let (jobs, world) = harness.world(2).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let state = jobs.job_finish(key, &failed(Disposition::Operator)).await.unwrap();
    let (class, message) = (FailureClass::Storage, "no route to host".to_owned());
    assert_eq!(state, JobState::Failed { class, message: message.clone(), finished_at: world.now() });
    assert_eq!(world.job(key.job_id).await.streak, Some(Streak::after(None, class)));
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Failed]);

    let key = leased(&*jobs, &world, 1, world.agent()).await.lease_key();
    let after = Duration::from_secs(7_200);
    let state = jobs.job_finish(key, &failed(Disposition::Retry { after })).await.unwrap();
    // A little longer than asked for, so that many do not come back at once.
    let JobState::Waiting { wake_at, reason } = &state else { panic!("{state:?}") };
    let wait = Duration::try_from(wake_at.duration_since(world.now())).unwrap();
    assert!(*reason == message && wait >= after && wait < after.mul_f64(1.25), "{state:?}");
    let row = world.job(key.job_id).await;
    assert_eq!((row.state, row.streak), (state, Some(Streak::after(None, class))));
    assert_eq!(world.told().await.len(), 3);
    world.clock.advance(wait);
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1);
    let again = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert_eq!((again.id, again.streak), (key.job_id, Some(Streak::after(None, class))));
    let result = backed_up(&world, Outcome::Complete, "01", Unread::default());
    jobs.job_finish(again.lease_key(), &result).await.unwrap();
    assert_eq!(world.job(key.job_id).await.streak, None, "a success forgets the failures before it");
}

/// Each class has its own patience, and another class begins a new row: what was lost twice is not given up because the
/// storage fails once. Red when `settlement` does not count by class.
pub async fn failures_are_counted_by_their_class(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let id = world.queued(0).await;
    let of = |class| {
        let disposition = Disposition::Retry { after: Duration::ZERO };
        JobResult::Failed(Failure { class, message: class.word().to_owned(), disposition })
    };
    use FailureClass::{Internal, Storage};
    for (class, count, next) in [
        (Internal, 1, StateName::Waiting),
        (Internal, 2, StateName::Waiting),
        (Storage, 1, StateName::Waiting),
        (Internal, 1, StateName::Waiting),
        (Internal, 2, StateName::Waiting),
        (Internal, 3, StateName::Parked),
    ] {
        let key = lease(&*jobs, world.agent(), 1).await.remove(0).lease_key();
        assert_eq!(jobs.job_finish(key, &of(class)).await.unwrap().name(), next);
        let streak = world.job(id).await.streak.unwrap();
        assert_eq!((streak.class, streak.count), (class, count));
        world.clock.advance(Duration::from_secs(86_400));
        world.jobs.job_wake().await.unwrap();
    }
    assert_eq!(world.job(id).await.streak.map(|streak| streak.attempts), Some(6));
}

/// A job that failed too often is parked, told, and leased no more.
pub async fn the_last_of_many_failures_parks_the_job(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let id = world.queued(0).await;
    for number in 1..=FAILURES_BEFORE_PARKED {
        let key = lease(&*jobs, world.agent(), 1).await.remove(0).lease_key();
        let state = jobs.job_finish(key, &failed(Disposition::Retry { after: Duration::ZERO })).await.unwrap();
        let last = number == FAILURES_BEFORE_PARKED;
        assert_eq!(state.name(), if last { StateName::Parked } else { StateName::Waiting });
        world.clock.advance(Duration::from_secs(86_400));
        world.jobs.job_wake().await.unwrap();
    }
    assert!(lease(&*jobs, world.agent(), 1).await.is_empty());
    assert_eq!(world.job(id).await.state.name(), StateName::Parked);
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Parked]);
    assert_eq!(world.history.attempt_list(id).await.unwrap().len(), FAILURES_BEFORE_PARKED as usize);
}
