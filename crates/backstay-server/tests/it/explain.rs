//! Why: the words, the values beside them, and that what is said is what happens.

use backstay_api::ClientError;
use backstay_api::endpoint::Operation;
use backstay_api::types::explain::{ExplainQuery, ExplainView, SnapshotExplainQuery};
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::plan::{PlanFit, PlanWished};
use backstay_api::types::tenant::TenantCreate;
use backstay_core::domain::access::Role;
use backstay_core::domain::job::JobKind;
use backstay_testkit::conformance::world::{TTL, World, key_of};
use serde_json::json;

use crate::served::{Served, fakes};

fn query(zone: Option<&str>) -> ExplainQuery {
    ExplainQuery { zone: zone.map(str::to_owned) }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Problem { problem }) => (problem.status, problem.detail),
        other => panic!("{other:?}"),
    }
}

fn said(view: &ExplainView, words: &str) -> bool {
    view.lines.iter().any(|line| line.contains(words))
}

/// Red when `plan_explain` does not read the calendar or the state, or the zone is not handed on.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_it_does_in_the_zone_that_is_asked_for() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let (client, plan) = (&served.client, world.plan.id.to_string());
    let explain = async |zone| client.plan_explain(&plan, &query(zone)).await;
    assert!(said(&explain(None).await.unwrap(), "it starts on request only"));
    let body = json!({ "schedule": { "cron": "30 2 * * *", "time_zone": "Europe/Berlin" } });
    client.raw(Operation::PlanUpdate, &plan, &[], Some(&body)).await.unwrap();
    let view = explain(None).await.unwrap();
    assert!(said(&view, " 01:30 to "), "{view:?}");
    assert_eq!((view.zone.as_str(), view.starts.len()), ("UTC", 5));
    let there = explain(Some("Europe/Berlin")).await.unwrap();
    assert!(said(&there, " 02:30 to ") && there.zone == "Europe/Berlin", "{there:?}");
    assert_eq!(there.starts, view.starts, "values are instants, whatever the words say");
    let (status, detail) = code(explain(Some("Europe/Atlantis")).await);
    assert!(status == 422 && detail.starts_with("zone:"), "{status} {detail}");
    client.plan_pause(&plan).await.unwrap();
    assert!(said(&explain(None).await.unwrap(), "it is paused"));
    let window = json!({ "name": "switch", "from": world.now().to_string() });
    client.raw(Operation::MaintenanceCreate, "", &[], Some(&window)).await.unwrap();
    let view = explain(None).await.unwrap();
    assert!(view.held.is_some() && said(&view, "nothing starts now"), "{view:?}");
    client.plan_retire(&plan).await.unwrap();
    let view = explain(None).await.unwrap();
    assert!(said(&view, "it was retired at") && view.starts.is_empty(), "{view:?}");
    let view = client.item_explain(&world.items[0].id.to_string(), &query(None)).await.unwrap();
    assert!(said(&view, "no plan backs it up"), "{view:?}");
}

/// Red when the expected start forgets what runs, or the history of durations.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_says_what_is_to_be_expected() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let item = world.items[0].id.to_string();
    let explain = async || served.client.item_explain(&item, &query(None)).await.unwrap();
    let view = explain().await;
    assert!(said(&view, "it has no good snapshot") && said(&view, "no backup of it is planned"), "{view:?}");
    assert_eq!((view.forecasts.len(), view.forecasts[0].forecast.as_str()), (1, "threatened"));
    // A backup of two hours, and a good snapshot from its end.
    let key = world.leased(0, world.agent()).await;
    for _ in 0..240 {
        world.clock.advance(std::time::Duration::from_secs(30));
        world.jobs.job_renew(world.agent(), &[], TTL).await.unwrap();
    }
    let job = world.job(key.job_id).await;
    // Its agent was not heard of: it is renewed by another claim below.
    let state = backstay_core::domain::job::JobState::Queued { not_before: world.now() };
    let event = world.event(backstay_core::domain::event::EventKind::Rescued, &job);
    let rows = world.rescue_rows(key, state, event).await;
    let limit = backstay_testkit::conformance::world::STALL_LIMIT;
    assert!(world.jobs.job_rescue(key, limit, &rows).await.unwrap());
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    world.clock.advance(TTL / 2);
    let snapshot = world.snapshot(&job, "ab", backstay_core::domain::job::Outcome::Complete);
    let rows = backstay_core::ports::store::Settlement { snapshot: Some(snapshot), ..world.success() };
    world.jobs.job_settle(key, &rows).await.unwrap();
    let view = explain().await;
    assert!(said(&view, "its newest good snapshot is of") && view.forecasts[0].newest_at.is_some(), "{view:?}");
    // Of a day, and nobody planned another one: it must begin by the breach less what the last one took.
    let breach: jiff::Timestamp = view.forecasts[0].breach_at.parse().unwrap();
    let start_by: jiff::Timestamp = view.forecasts[0].start_by.as_ref().unwrap().parse().unwrap();
    assert_eq!(breach.duration_since(start_by).as_secs(), (TTL / 2).as_secs() as i64);
    assert!(said(&view, "will breach at") && said(&view, "unless an agent is free by"), "{view:?}");
    world.queued(0).await;
    world.jobs.job_renew(world.agent(), &[], TTL).await.unwrap();
    assert!(said(&explain().await, "waits in the queue"));
    world.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    assert_eq!(explain().await.forecasts[0].forecast, "overdue");
}

/// Two plans that may not overlap and need more than there is say so; nothing is said before anything is known.
///
/// Red without `fit::warnings` in `plan_explain`, or when it takes what never ran for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn plans_that_cannot_keep_their_windows_say_so() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let client = &served.client;
    let plan = world.plan.id.to_string();
    let schedule = json!({ "every_ms": 3_600_000, "overlap": "tenant", "start_window_ms": 600_000 });
    client.raw(Operation::PlanUpdate, &plan, &[], Some(&json!({ "schedule": schedule }))).await.unwrap();
    let other = json!({
        "name": "photos", "tenant": "ada", "source_id": world.source.id.to_string(), "repository_id": world.repository.id.to_string(),
        "schedule": schedule, "rpo_ms": 86_400_000u64,
    });
    let other = client.raw(Operation::PlanCreate, "", &[], Some(&other)).await.unwrap();
    let explain = async || client.plan_explain(other["id"].as_str().unwrap(), &query(None)).await.unwrap();
    assert_eq!(explain().await.warnings, Vec::<String>::new(), "nothing ran yet");
    let key = key_of(&{
        world.queued(0).await;
        world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, TTL * 1_000).await.unwrap().remove(0)
    });
    world.clock.advance(std::time::Duration::from_secs(75 * 60));
    world.jobs.job_settle(key, &world.success()).await.unwrap();
    let view = explain().await;
    let expected = [
        "photos, daily together need 60.0 hours of work in each 24 and may not overlap",
        "photos may wait 75 min for plans that it may not overlap; its start window is 10 min",
    ];
    assert_eq!(view.warnings, expected);
    assert!(said(&view, "its window is too short: photos may wait 75 min"), "{view:?}");
    client.plan_retire(&plan).await.unwrap();
    assert_eq!(explain().await.warnings, Vec::<String>::new(), "alone it has all the time");
    // What is not declared yet is warned of in the same words: a new plan, and one by a template that is not there either.
    let source_id = Some(world.source.id.to_string());
    let of_template = PlanWished {
        name: "daily".to_owned(),
        source_id,
        template: Some("hourly".to_owned()),
        schedule: Default::default(),
    };
    let hourly = serde_json::from_value(json!({ "name": "hourly", "schedule": schedule })).unwrap();
    let wish = PlanFit {
        tenant: "ada".to_owned(),
        plans: vec![of_template.clone()],
        templates: vec![hourly],
        ending: Vec::new(),
    };
    let words = |place: [&str; 2]| {
        [
            format!("{}, {} together need 60.0 hours of work in each 24 and may not overlap", place[0], place[1]),
            format!("{} may wait 75 min for plans that it may not overlap; its start window is 10 min", place[0]),
        ]
    };
    assert_eq!(client.plan_fit(&wish).await.unwrap().warnings, words(["daily", "photos"]));
    assert!(client.plan_list(&RetiredQuery::default()).await.unwrap().rows.iter().all(|row| row.name != "daily"));
    let ending = PlanFit { ending: vec!["photos".to_owned()], ..wish.clone() };
    assert_eq!(client.plan_fit(&ending).await.unwrap().warnings, Vec::<String>::new());
    // How long others take to back up what is theirs is nobody else's business.
    let eve = client.tenant_create(&TenantCreate { name: "eve".to_owned() }).await.unwrap();
    let foreign = PlanFit { tenant: "eve".to_owned(), ..wish.clone() };
    let refused = client.plan_fit(&foreign).await.unwrap_err();
    assert!(refused.to_string().contains("is another tenant's"), "{refused}");
    let theirs = served.client_of(Role::TenantAdmin, Some(eve.id.parse().unwrap())).await;
    let refused = theirs.plan_fit(&foreign).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Problem { problem } if problem.status == 404), "{refused}");
    let many = PlanFit { plans: vec![of_template.clone(); 51], ..wish.clone() };
    assert!(client.plan_fit(&many).await.unwrap_err().to_string().contains("at most 50"));
    let unknown = PlanFit { plans: vec![PlanWished { source_id: None, ..of_template }], ..wish };
    let said = client.plan_fit(&unknown).await.unwrap().warnings;
    let expected = [
        "daily, photos together need 30.0 hours of work in each 24 and may not overlap",
        "daily may wait 75 min for plans that it may not overlap; its start window is 10 min",
    ];
    assert_eq!(said, expected);
}

/// The first in the line is the first that is leased, with caps as without.
///
/// Red when `managers::explain::QueueRead` does not hand the rules on.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_where_it_stands_and_that_is_what_happens() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 4).await;
    let mut jobs = Vec::new();
    for item in 0..4 {
        jobs.push(world.queued(item).await);
    }
    jobs.sort();
    let explain = async |place: usize| served.client.job_explain(&jobs[place].to_string(), &query(None)).await.unwrap();
    let view = explain(2).await;
    assert_eq!((view.position, view.of, &view.starts_at), (Some(3), Some(4), &None));
    assert!(said(&view, "it is number 3 of 4 in the queue") && said(&view, "no agent is alive"), "{view:?}");
    assert!(said(&view, "a person or a program asked for it"));

    let caps = json!({ "global": 1 });
    served.client.raw(Operation::CapsPut, "", &[], Some(&caps)).await.unwrap();
    let agent = world.agent();
    let claimed = world.jobs.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), jobs[..1]);
    let running = explain(0).await;
    assert!(running.position.is_none() && said(&running, "works at it"), "{running:?}");
    let (next, last) = (explain(1).await, explain(3).await);
    assert!(said(&next, "1 jobs may run at a time in the installation"), "{next:?}");
    // An hour each, while nothing is known.
    let start = |view: &ExplainView| view.starts_at.as_ref().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(start(&next).duration_since(world.now()).as_secs(), 3_600);
    assert_eq!(start(&last).duration_since(world.now()).as_secs(), 3 * 3_600);
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    let claimed = world.jobs.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), jobs[1..2], "as it was said");
}

/// Red when `verdict_of` judges by no plan, or the holds are not told.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_says_what_keeps_it() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let mut ids = Vec::new();
    for name in ["01", "02", "03"] {
        let key = world.leased(0, world.agent()).await;
        let snapshot =
            world.snapshot(&world.job(key.job_id).await, name, backstay_core::domain::job::Outcome::Complete);
        ids.push(snapshot.id.to_string());
        let rows = backstay_core::ports::store::Settlement { snapshot: Some(snapshot), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(60));
    }
    let explain = async |place: usize| served.client.snapshot_explain(&ids[place], &Default::default()).await.unwrap();
    assert!(said(&explain(0).await, "kept: the policy names no rule"));
    let body = json!({ "retention": { "keep_last": 1 } });
    let plan = world.plan.id.to_string();
    served.client.raw(Operation::PlanUpdate, &plan, &[], Some(&body)).await.unwrap();
    let (newest, oldest) = (explain(2).await, explain(0).await);
    assert!(newest.is_kept == Some(true) && newest.reasons.iter().any(|reason| reason == "last"), "{newest:?}");
    assert!(said(&oldest, "it goes with the next prune") && oldest.is_kept == Some(false), "{oldest:?}");
    // As if more were unwanted: nothing is written, the newest good one stays, and what is no id is refused.
    let wished = async |place: usize, wish: String| {
        let query = SnapshotExplainQuery { zone: None, if_forgotten: Some(wish) };
        served.client.snapshot_explain(&ids[place], &query).await
    };
    let body = json!({ "retention": {} });
    served.client.raw(Operation::PlanUpdate, &plan, &[], Some(&body)).await.unwrap();
    assert_eq!(wished(0, ids[1].clone()).await.unwrap().is_kept, Some(true));
    assert_eq!(wished(1, format!("{},{}", ids[0], ids[1])).await.unwrap().is_kept, Some(false));
    assert_eq!(wished(0, "all".to_owned()).await.unwrap().is_kept, Some(false));
    assert_eq!(wished(2, "all".to_owned()).await.unwrap().is_kept, Some(true));
    assert_eq!(code(wished(0, "some".to_owned()).await).0, 422);
    assert_eq!(explain(0).await.is_kept, Some(true), "nothing was written");
    let body = json!({ "retention": { "keep_last": 1 } });
    served.client.raw(Operation::PlanUpdate, &plan, &[], Some(&body)).await.unwrap();
    served.client.snapshot_pin(&ids[0]).await.unwrap();
    let pinned = explain(0).await;
    assert!(said(&pinned, "kept: pinned") && said(&pinned, "it is pinned since"), "{pinned:?}");
}

/// Red when a value is not judged, or a revision not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn caps_are_judged_and_read_back() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let put = async |body: serde_json::Value| served.client.raw(Operation::CapsPut, "", &[], Some(&body)).await;
    assert_eq!(served.client.caps_show().await.unwrap().revision, 0);
    for (body, field) in [
        (json!({ "global": 0 }), "global:"),
        (json!({ "exceptions": [{ "of": "kind", "name": "x", "cap": 1 }] }), "exceptions.name:"),
        (json!({ "exceptions": [{ "of": "x", "name": "x", "cap": 1 }] }), "exceptions.of:"),
        (json!({ "exceptions": [{ "of": "kind", "name": "prune", "cap": 0 }] }), "exceptions.cap:"),
        (json!({ "weights": [{ "tenant": "nobody", "weight": 2 }] }), "weights.tenant:"),
        (json!({ "weights": [{ "tenant": "ada", "weight": 0 }] }), "weights.weight:"),
    ] {
        let (status, detail) = code(put(body).await);
        assert!(status == 422 && detail.starts_with(field), "{status} {detail}");
    }
    let repository = world.repository.id.to_string();
    let exceptions = json!([
        { "of": "endpoint", "name": "https://S3.example/", "cap": 4 },
        { "of": "kind", "name": "prune", "cap": 1 },
        { "of": "repository", "name": repository, "cap": 2 },
        { "of": "tenant", "name": "ada", "cap": 3 },
    ]);
    let body =
        json!({ "kind": 5, "exceptions": exceptions, "weights": [{ "tenant": "ada", "weight": 3 }], "revision": 0 });
    put(body.clone()).await.unwrap();
    let view = served.client.caps_show().await.unwrap();
    assert_eq!((view.kind, view.revision, view.exceptions.len(), view.weights[0].weight), (Some(5), 1, 4, 3));
    assert_eq!((view.exceptions[0].name.as_str(), view.exceptions[3].name.as_str()), ("https://s3.example", "ada"));
    assert_eq!(code(put(body).await).0, 412, "somebody else changed it");
    put(json!({})).await.unwrap();
    assert_eq!(served.client.caps_show().await.unwrap().kind, None);
}
