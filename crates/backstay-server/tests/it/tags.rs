//! Tags of rows, walked through the endpoint table: what shows one is changed only by who saw it as it is, and an answer that
//! is given again has the headers of the first one.

use backstay_api::call::method;
use backstay_api::endpoint::{ENDPOINTS, Endpoint, Method};
use backstay_core::domain::access::Action;

use crate::authorization::{Case, House, case};
use crate::served::{Answer, TOKEN};

/// What takes the place of a row, changes it or ends it, and shows a tag of it.
const TAGGED: [&str; 16] = [
    "caps_put",
    "channel_remove",
    "channel_update",
    "monitor_retire",
    "monitor_update",
    "plan_retire",
    "plan_update",
    "quota_put",
    "repository_retire",
    "repository_update",
    "source_retire",
    "source_update",
    "storage_retire",
    "storage_update",
    "template_remove",
    "template_update",
];

/// Those of them that answer with the new tag in this house; it knows no kinds of sources.
const ANSWERED: [&str; 8] = [
    "caps_put",
    "channel_update",
    "monitor_update",
    "plan_update",
    "quota_put",
    "repository_update",
    "storage_update",
    "template_update",
];

async fn ask(house: &House, way: Method, row: &Endpoint, case: &Case, headers: &[&str]) -> Answer {
    let bearer = format!("authorization: Bearer {TOKEN}");
    let headers: Vec<&str> = headers.iter().copied().chain([bearer.as_str()]).collect();
    let body = case.body.as_ref().filter(|_| way != Method::Get).map(ToString::to_string).unwrap_or_default();
    let head = format!("{} {}", method(way), row.path.replace("{id}", &case.id));
    house.served.http(&head, &headers, &body, "").await
}

/// Red when a handler of what has a tag does not look at the condition, or takes another tag for it than it shows.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_tag_is_changed_only_as_it_was_seen() {
    let house = House::build().await;
    let mut rows: Vec<&Endpoint> = ENDPOINTS.iter().filter(|row| row.method != Method::Post).collect();
    rows.retain(|row| row.method != Method::Get);
    // What takes a row away comes last.
    rows.sort_by_key(|row| row.method == Method::Delete);
    let mut walked = Vec::new();
    for row in rows {
        if !ENDPOINTS.iter().any(|other| other.method == Method::Get && other.path == row.path) {
            continue;
        }
        let case = case(&house, row.operation);
        let shown = async || ask(&house, Method::Get, row, &case, &[]).await;
        let seen = shown().await;
        let Some(tag) = seen.header("etag") else { continue };
        let stale = ask(&house, row.method, row, &case, &["if-match: \"00\""]).await;
        assert_eq!((stale.status, stale.json()["code"].as_str()), (412, Some("changed")), "{}", row.name);
        assert_eq!(shown().await.header("etag"), Some(tag), "{}: nothing was changed", row.name);
        let own = ask(&house, row.method, row, &case, &[&format!("if-match: \"00\", {tag}")]).await;
        assert_ne!(own.status, 412, "{}: {own:?}", row.name);
        if let Some(new) = own.header("etag") {
            assert_eq!(shown().await.header("etag"), Some(new), "{}: the answer has the new tag", row.name);
        }
        for headers in [["if-match: *"].as_slice(), &[]] {
            let any = ask(&house, row.method, row, &case, headers).await;
            assert_ne!(any.status, 412, "{} with {headers:?}: {any:?}", row.name);
        }
        walked.push(row.name);
    }
    walked.sort_unstable();
    assert_eq!(walked, TAGGED);
}

/// Red when what is remembered of an answer is its status and body alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_given_again_has_the_headers_of_the_first_one() {
    let house = House::build().await;
    let (mut again_count, mut tagged) = (0, Vec::new());
    for row in ENDPOINTS.iter().filter(|row| !row.only_looks() && row.action != Action::Work) {
        if row.shows_a_secret() || row.takes_a_secret() {
            continue;
        }
        let (case, key) = (case(&house, row.operation), format!("idempotency-key: {}", row.name));
        let first = ask(&house, row.method, row, &case, &[&key]).await;
        let again = ask(&house, row.method, row, &case, &[&key]).await;
        if again.header("idempotency-replayed").is_none() {
            let says_when = first.status >= 500 || first.header("retry-after").is_some();
            assert!(says_when, "{} is not remembered: {first:?}", row.name);
            continue;
        }
        again_count += 1;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{}", row.name);
        for name in ["etag", "location", "content-type"] {
            assert_eq!(again.header(name), first.header(name), "{name} of {}", row.name);
        }
        if again.header("etag").is_some() {
            tagged.push(row.name);
        }
    }
    tagged.sort_unstable();
    assert_eq!(tagged, ANSWERED);
    assert!(again_count > 30, "{again_count}");
}
