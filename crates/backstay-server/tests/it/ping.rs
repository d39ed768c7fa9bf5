//! Pings as they come in over HTTP: what opens the door, what does not, and what is kept of them.

use backstay_api::types::list::PageQuery;
use backstay_api::types::monitor::MonitorCreate;
use backstay_core::domain::access::Role;
use backstay_core::domain::token::token_hash;
use backstay_testkit::conformance::world::World;
use secrecy::ExposeSecret as _;

use crate::served::{Served, TOKEN, fakes};

/// Red when a key is compared in clear, when any token is a key, when a revoked one opens, or without the counts of
/// failures and of a monitor's pings.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_monitors_of_its_tenant_and_nothing_else() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let tenant = world.tenant.id;
    let (schedule, grace_ms) = ("every 1h".to_owned(), 600_000);
    let body =
        MonitorCreate { tenant: "ada".to_owned(), name: "nightly".to_owned(), schedule, time_zone: None, grace_ms };
    let monitor = served.client.monitor_create(&body).await.unwrap();
    assert_eq!(monitor.state, "new");
    let key = served.token(Role::Pinger, Some(tenant)).await;
    let key = key.expose_secret();
    let ping = async |method: &str, path: &str, body: &str| {
        // Ids of one millisecond have no order among them.
        world.clock.advance(std::time::Duration::from_millis(1));
        served.http(&format!("{method} /ping/{path}"), &[], body, "").await
    };
    let state = async || served.client.monitor_show(&monitor.id).await.unwrap().state;
    for (method, path, expected) in
        [("GET", "", "up"), ("POST", "/start", "started"), ("HEAD", "/fail", "down"), ("GET", "/0", "up")]
    {
        let answer = ping(method, &format!("{key}/nightly{path}"), "").await;
        assert_eq!((answer.status, state().await.as_str()), (200, expected), "{method} {path}");
    }
    let said = format!("{}<script>alert(1)</script>\n", "x".repeat(2 << 20));
    let answer = ping("POST", &format!("{key}/nightly/7"), &said).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"), "however long it is, it counts");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{}", answer.head);
    let pings = served.client.ping_list(&monitor.id, &PageQuery::default()).await.unwrap().rows;
    assert_eq!((pings.len(), pings[0].exit_code, pings[0].kind.as_str()), (5, Some(7), "fail"));
    assert!(pings[0].text.len() <= 10_000, "{}", pings[0].text.len());
    // A job that went wild is kept out, and its failure is not.
    let mut last = ping("GET", &format!("{key}/nightly/log"), "").await;
    for _ in 0..30 {
        assert_eq!(last.status, 200);
        last = ping("GET", &format!("{key}/nightly/log"), "").await;
    }
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!(last.status == 429 && (1..=60).contains(&wait), "{}", last.head);
    assert_eq!(last.body, format!("too many pings of monitor nightly that say log: try again in {wait} s\n"));
    assert_eq!(ping("GET", &format!("{key}/nightly/fail"), "").await.status, 200, "other kinds are counted apart");
    let kept = served.client.ping_list(&monitor.id, &PageQuery::default()).await.unwrap().rows.len();
    assert_eq!(kept, 36, "what was refused is not there");
    // What the holder of a key may do beside it.
    let bearer = format!("authorization: Bearer {key}");
    assert_eq!(served.http("GET /api/v1/monitors", &[&bearer], "", "").await.status, 403);
    let reader = served.token(Role::TenantAdmin, Some(tenant)).await;
    let hash = token_hash(key);
    for path in [
        format!("{hash}/nightly"),
        format!("{TOKEN}/nightly"),
        format!("{}/nightly", reader.expose_secret()),
        format!("{key}/other"),
        format!("{key}/nightly/done"),
        "x/nightly".to_owned(),
    ] {
        assert_eq!(ping("GET", &path, "").await.status, 404, "{path}");
    }
    let shown = served.client.token_list(&Default::default()).await.unwrap().rows;
    assert!(!serde_json::to_string(&shown).unwrap().contains(key));
    let id = &shown.iter().find(|row| row.role == "pinger").unwrap().id;
    served.client.token_revoke(id).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(ping("GET", &format!("{key}/nightly"), "").await.status);
    }
    assert_eq!(statuses[0], 404, "it was revoked");
    assert_eq!(statuses[29], 429, "who guesses has to wait");
    assert_eq!(served.client.ping_list(&monitor.id, &PageQuery::default()).await.unwrap().rows.len(), kept);
}
