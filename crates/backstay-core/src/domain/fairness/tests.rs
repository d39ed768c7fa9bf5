//! Tests of fairness: cases in text, and what holds for every queue.

use proptest::prelude::*;

use super::*;

fn number<T>(make: fn(Timestamp, [u8; 10]) -> T, number: u8) -> T {
    make(Timestamp::UNIX_EPOCH, [number; 10])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// `7:t1 prune r2 b30 c5 p1 hhost o1`: job 7 of tenant 1, breach at 30, created at 5, priority 1, overlap key 1. A repository is its
/// tenant's.
pub(in crate::domain) fn candidate(text: &str) -> Candidate {
    let (job, rest) = text.trim().split_once(':').unwrap();
    let job: u8 = job.parse().unwrap();
    let mut found = Candidate {
        job_id: number(JobId::new, job),
        tenant_id: number(TenantId::new, 1),
        kind: JobKind::Backup,
        access: RepositoryAccess::Shared,
        repository_id: number(RepositoryId::new, 1),
        host: None,
        endpoint: "s3".to_owned(),
        overlap: None,
        breach_at: at(i64::from(job)),
        priority: 0,
        created_at: at(i64::from(job)),
    };
    for word in rest.split_whitespace() {
        if let Some(kind) = JobKind::from_word(word) {
            (found.kind, found.access) = (kind, kind.repository_access());
            continue;
        }
        let (letter, value) = word.split_at(1);
        match letter {
            "t" => found.tenant_id = number(TenantId::new, value.parse().unwrap()),
            "r" => found.repository_id = number(RepositoryId::new, value.parse().unwrap()),
            "b" => found.breach_at = at(value.parse().unwrap()),
            "c" => found.created_at = at(value.parse().unwrap()),
            "p" => found.priority = value.parse().unwrap(),
            "h" => found.host = Some(value.to_owned()),
            "o" => found.overlap = Some(number(TenantId::new, value.parse().unwrap())),
            _ => panic!("{word}"),
        }
    }
    found
}

pub(in crate::domain) fn candidates(text: &str) -> Vec<Candidate> {
    text.split(',').filter(|text| !text.trim().is_empty()).map(candidate).collect()
}

pub(in crate::domain) fn caps(text: &str) -> (Caps, HashMap<TenantId, u32>) {
    let (mut caps, mut weights) = (Caps::default(), HashMap::new());
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let value: u32 = value.parse().unwrap();
        match name {
            "global" => caps.global = Some(value),
            "tenant" => caps.tenant = Some(value),
            "host" => caps.host = Some(value),
            "repository" => caps.repository = Some(value),
            "endpoint" => caps.endpoint = Some(value),
            "kind" => caps.kind = Some(value),
            "prune" => drop(caps.exceptions.insert(Slot::Kind(JobKind::Prune), value)),
            _ => drop(weights.insert(number(TenantId::new, name[1..].parse().unwrap()), value)),
        }
    }
    (caps, weights)
}

/// Returns who goes, and who waits for what.
pub(in crate::domain) fn words(answer: &Admission) -> String {
    let name = |id: &JobId| (0..=255).find(|job| number(JobId::new, *job) == *id).unwrap();
    let mut words: Vec<String> = answer.admitted.iter().map(|id| name(id).to_string()).collect();
    words.extend(answer.waiting.iter().map(|(id, wait)| match wait {
        Wait::Cap { slot, .. } => {
            format!("{}:{}", name(id), format!("{slot:?}").split('(').next().unwrap().to_lowercase())
        }
        Wait::Repository { job_id } => format!("{}:r{}", name(id), name(job_id)),
        Wait::Behind { job_id } => format!("{}:behind {}", name(id), name(job_id)),
        Wait::Overlap { job_id } => format!("{}:o{}", name(id), name(job_id)),
        Wait::Agent { .. } => format!("{}:agent", name(id)),
    }));
    words.join(" ")
}

fn check(limits: &str, running: &str, queued: &str, expected: &str) {
    let (caps, weights) = caps(limits);
    let answer = admit(&candidates(queued), &candidates(running), &caps, &weights);
    assert_eq!(words(&answer), expected, "{limits} | {running} | {queued}");
}

#[test]
fn caps_hold_on_every_side() {
    check("", "", "1:,2:,3:", "1 2 3");
    check("global=2", "", "1:,2:,3:", "1 2 3:global");
    check("global=2", "9:t2 r2,8:t2 r2,7:t2 r2", "1:", "1:global");
    check("tenant=1", "", "1:t1,2:t1,3:t2 r2", "1 3 2:tenant");
    check("host=1", "", "1:ha,2:ha,3:hb", "1 3 2:host");
    check("repository=1", "", "1:r1,2:r1,3:r2", "1 3 2:repository");
    check("kind=1", "", "1:,2:,3:verify", "1 3 2:kind");
    check("endpoint=1", "", "1:t1,2:t2 r2", "1 2:endpoint");
}

#[test]
fn the_item_that_breaches_first_goes_first() {
    check("global=1", "", "1:b50,2:b20,3:b30", "2 3:global 1:global");
    check("global=1", "", "1:b20,2:b20 p5", "2 1:global");
}

#[test]
fn tenants_take_turns_by_weight_and_lend_what_they_do_not_use() {
    check("global=4", "", "1:t1,2:t1,3:t1,4:t1,11:t2 r2,12:t2 r2", "1 11 2 12 3:global 4:global");
    check("global=4 t1=3", "", "1:t1,2:t1,3:t1,4:t1,11:t2 r2,12:t2 r2", "1 11 2 3 4:global 12:global");
    check("global=4", "8:t1,9:t1", "1:t1,11:t2 r2,12:t2 r2", "11 12 1:global");
    check("global=4", "", "1:t1,2:t1,3:t1,4:t1", "1 2 3 4");
}

#[test]
fn nothing_overtakes_what_it_overlaps() {
    // A prune waits for a running backup; younger backups of its repository wait behind it, however urgent.
    check("", "9:r1", "5:prune r1 c5,6:r1 c6 b0,7:r2 c7 t2", "7 5:r9 6:behind 5");
    check("", "9:r1", "5:prune r1 c5,4:r1 c4", "4 5:r9");
    check("", "9:r1", "5:prune r1 c5,6:restore r1 c6 b0", "6 5:r9");
    check("", "", "5:prune r1 c5,6:r1 c6 b0", "5 6:r5");
    check("", "", "5:prune r1 c5 b0,4:r1 c4", "4 5:r4");
    check("", "9:prune r1", "5:r1,6:restore r1", "5:r9 6:r9");
    // A prune that could not start anyway holds nobody back.
    check("prune=1", "8:prune r2 t2,9:r1", "5:prune r1 c5,6:r1 c6 b0", "6 5:kind");
    // Once its turn came, the slot of its kind is kept for it.
    check("prune=1", "9:r1 t1", "5:prune r1 c5 b1,7:prune r2 c7 b90", "5:r9 7:kind");
}

#[test]
fn one_of_an_overlap_key_goes_at_a_time() {
    check("", "", "1:o1,2:o1 r2,3:r1", "1 3 2:o1");
    check("", "9:o1 r3", "1:o1,2:o2 r2", "2 1:o9");
}

prop_compose! {
    fn any_job()(tenant in 1u8..4, repository in 0u8..2, kind in 0usize..8, host in 0u8..4, breach in 0i64..50, priority in 0i32..3, created in 0i64..50) -> Candidate {
        let kind = *[JobKind::Backup, JobKind::Backup, JobKind::Backup, JobKind::Prune, JobKind::Prune, JobKind::Restore, JobKind::Verify, JobKind::Copy].get(kind).unwrap();
        Candidate {
            job_id: number(JobId::new, 0), tenant_id: number(TenantId::new, tenant), kind, access: kind.repository_access(),
            repository_id: number(RepositoryId::new, tenant * 10 + repository),
            host: (kind == JobKind::Backup).then(|| format!("host{host}")), endpoint: format!("s3-{}", tenant % 2), overlap: None,
            breach_at: at(breach), priority, created_at: at(created),
        }
    }
}

fn any_queue(most: usize) -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(any_job(), 0..most)
}

prop_compose! {
    fn any_caps()(caps in prop::array::uniform6(prop::option::weighted(0.5, 0u32..6)), prune in prop::option::of(0u32..3)) -> Caps {
        let [global, tenant, host, repository, endpoint, kind] = caps;
        let exceptions = prune.map(|prune| (Slot::Kind(JobKind::Prune), prune)).into_iter().collect();
        Caps { global, tenant, host, repository, endpoint, kind, exceptions }
    }
}

fn numbered(jobs: Vec<Candidate>, from: u8) -> Vec<Candidate> {
    let numbers = from..;
    jobs.into_iter().zip(numbers).map(|(job, id)| Candidate { job_id: number(JobId::new, id), ..job }).collect()
}

proptest! {
    #[test]
    fn no_cap_is_exceeded_and_nothing_waits_without_a_reason(queued in any_queue(40), ran in any_queue(10), caps in any_caps()) {
        let (queued, running) = (numbered(queued, 0), numbered(ran, 100));
        // What runs was admitted once: a repository held alone is held by one.
        let mut inside: Vec<Candidate> = Vec::new();
        for job in running {
            if inside.iter().all(|other| !other.overlaps(&job)) {
                inside.push(job);
            }
        }
        let ran = inside.len();
        let answer = admit(&queued, &inside, &caps, &HashMap::new());
        let of = |id: &JobId| queued.iter().find(|job| job.job_id == *id).unwrap();
        for id in &answer.admitted {
            let job = of(id);
            prop_assert!(inside.iter().all(|other| !other.overlaps(job)), "{} shares what is held alone", id);
            inside.push(job.clone());
        }
        let used = |slot: &Slot| inside.iter().filter(|job| job.slots().any(|one| one == *slot)).count() as u32;
        for job in &inside[ran..] {
            for slot in job.slots() {
                prop_assert!(caps.of(&slot).is_none_or(|cap| used(&slot) <= cap), "{:?}", slot);
            }
        }
        prop_assert_eq!(answer.admitted.len() + answer.waiting.len(), queued.len());
        let draining = |kind: JobKind| answer.waiting.iter().filter(|(id, wait)| matches!(wait, Wait::Repository { .. }) && of(id).access == RepositoryAccess::Alone && of(id).kind == kind).count() as u32;
        for (id, wait) in &answer.waiting {
            match wait {
                Wait::Cap { slot: Slot::Kind(kind), cap } => prop_assert!(used(&Slot::Kind(*kind)) + draining(*kind) >= *cap),
                Wait::Cap { slot, cap } => prop_assert!(used(slot) >= *cap),
                Wait::Repository { job_id } => prop_assert!(inside.iter().any(|job| job.job_id == *job_id && job.overlaps(of(id)))),
                Wait::Overlap { .. } | Wait::Agent { .. } => prop_assert!(false, "no job has a key, and kinds are not asked"),
                Wait::Behind { job_id } => {
                    let ahead = of(job_id);
                    prop_assert!(ahead.arrival() < of(id).arrival() && ahead.overlaps(of(id)) && of(id).kind != JobKind::Restore);
                    let drains = |wait: &Wait| matches!(wait, Wait::Repository { .. });
 prop_assert!(answer.waiting.iter().any(|(other, wait)| other == job_id && drains(wait)));
                }
            }
        }
        prop_assert_eq!(admit(&queued, &inside[..ran], &caps, &HashMap::new()), answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Work comes for a while, urgent backups of the same repositories among it; jobs run for some steps. Each job starts
    /// within as many steps as all the work before and after it can take one by one.
    #[test]
    fn nobody_starves(jobs in any_queue(60), lengths in prop::collection::vec(1usize..6, 60), global in 1u32..4, prunes in 1u32..3) {
        let caps = Caps { global: Some(global), exceptions: [(Slot::Kind(JobKind::Prune), prunes)].into(), ..Caps::default() };
        let jobs = numbered(jobs, 0);
        let (mut queued, mut running): (Vec<Candidate>, Vec<(Candidate, usize)>) = (Vec::new(), Vec::new());
        let mut coming = jobs.iter().enumerate();
        let bound: usize = lengths.iter().sum::<usize>() + jobs.len();
        let mut started = 0;
        for step in 0..bound {
            running.retain(|(_, until)| *until > step);
            if step % 2 == 0 && let Some((place, job)) = coming.next() {
                queued.push(Candidate { created_at: at(place as i64), ..job.clone() });
            }
            let inside: Vec<Candidate> = running.iter().map(|(job, _)| job.clone()).collect();
            for id in admit(&queued, &inside, &caps, &HashMap::new()).admitted {
                let place = queued.iter().position(|job| job.job_id == id).unwrap();
                let length = lengths[started % lengths.len()];
                running.push((queued.remove(place), step + length));
                started += 1;
            }
            prop_assert!(queued.is_empty() || !running.is_empty(), "all wait and nothing runs");
        }
        prop_assert_eq!(started, jobs.len());
    }

    /// A stream of urgent backups does not keep a prune from its repository.
    #[test]
    fn a_prune_is_not_starved_by_a_stream(length in 1i64..20, every in 1i64..4, global in 1u32..5) {
        let caps = Caps { global: Some(global), ..Caps::default() };
        let prune = Candidate { breach_at: at(1_000_000), created_at: at(50), ..candidate("0:prune r1") };
        let mut queued: Vec<Candidate> = Vec::new();
        let mut running: Vec<(Candidate, i64)> = Vec::new();
        let mut pruned_at = None;
        for step in 0..800 {
            running.retain(|(_, until)| *until > step);
            if step == 50 {
                queued.push(prune.clone());
            }
            // The queue is bounded: one live backup an item.
            if step % every == 0 && queued.len() < 20 {
                let job_id = JobId::new(at(step), [1; 10]);
                queued.push(Candidate { job_id, breach_at: at(0), created_at: at(step), ..candidate("1:r1") });
            }
            let inside: Vec<Candidate> = running.iter().map(|(job, _)| job.clone()).collect();
            for id in admit(&queued, &inside, &caps, &HashMap::new()).admitted {
                let place = queued.iter().position(|job| job.job_id == id).unwrap();
                let job = queued.remove(place);
                pruned_at = pruned_at.or((job.kind == JobKind::Prune).then_some(step));
                running.push((job, step + length));
            }
            if pruned_at.is_some() {
                break;
            }
        }
        prop_assert!(pruned_at.is_some());
    }
}
