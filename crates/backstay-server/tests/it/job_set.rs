//! Job sets over HTTP.

use backstay_api::types::job::JobQuery;
use backstay_api::types::list::PageQuery;
use backstay_testkit::conformance::world::{World, key_of};

use crate::served::{Served, fakes};

/// Red when a set says that it is complete while a member is missing, or when its answer does not name it.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_says_what_is_missing() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 3).await;
    let client = &served.client;
    // One item is backed up already: it is not begun with the others.
    let before = world.leased(2, world.agent()).await;
    let asked = client.plan_request(&world.plan.id.to_string()).await.unwrap();
    assert_eq!(asked.items.iter().map(|item| item.answer.as_str()).collect::<Vec<_>>(), ["new", "new", "overlaps"]);
    let id = asked.set_id.unwrap();
    let list = client.job_set_list(&PageQuery::default()).await.unwrap().rows;
    assert_eq!((list.len(), list[0].id.as_str(), list[0].name.as_str(), list[0].wanted), (1, id.as_str(), "daily", 3));
    let query = JobQuery { set: Some(id.clone()), ..JobQuery::default() };
    let jobs = client.job_list(&query).await.unwrap().rows;
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job.set_id.as_ref() == Some(&id)));
    let wrong = JobQuery { set: Some("moon".to_owned()), ..JobQuery::default() };
    assert!(client.job_list(&wrong).await.unwrap_err().to_string().starts_with("set: "));

    world.jobs.job_settle(before, &world.success()).await.unwrap();
    let agent = world.agent();
    let one = world.claim(agent, 1).await;
    world.jobs.job_settle(key_of(&one[0]), &world.success()).await.unwrap();
    let shown = client.job_set_show(&id).await.unwrap();
    assert!(!shown.complete && shown.members.len() == 2);
    let ended = shown.members.iter().find(|member| member.outcome.is_some()).unwrap();
    assert!(ended.began_at.is_some() && ended.finished_at.is_some() && ended.state == "succeeded");
    let waits = shown.members.iter().find(|member| member.outcome.is_none()).unwrap();
    assert!(waits.began_at.is_none() && waits.finished_at.is_none());
    let [first, second] = &shown.missing[..] else { panic!("{:?}", shown.missing) };
    assert!(first.ends_with("is queued") && second.starts_with("one item was not begun"), "{first} {second}");
}
