//! Templates over HTTP: what holds and who said it, and what is refused, by field.

use backstay_testkit::conformance::world::World;
use serde_json::{Value, json};

use crate::served::{Served, TOKEN, fakes};

/// Asks, and returns status and body.
struct Asks(Served);

impl Asks {
    async fn ask(&self, line: &str, header: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("authorization: Bearer {TOKEN}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.0.http(line, &[&bearer, header], &body, "").await;
        let text = if answer.body.is_empty() { Value::Null } else { answer.json() };
        (answer.status, text)
    }

    async fn ok(&self, line: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(line, "x-none: 1", body).await;
        assert!((200..300).contains(&status), "{line}: {status} {answer}");
        answer
    }

    async fn refused(&self, line: &str, body: &Value, status: u16, words: &str) {
        let (got, answer) = self.ask(line, "x-none: 1", body).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(got == status && detail.contains(words), "{line}: {got} {answer}");
    }
}

fn said_by<'a>(plan: &'a Value, value: &str) -> (&'a str, &'a str) {
    let origin = &plan["origins"][value];
    (origin["value"].as_str().unwrap(), origin["said_by"].as_str().unwrap())
}

/// Red when a field that is null stays, when a view leaves out who said a value, or when a template moves no plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_takes_what_it_does_not_say_from_its_template() {
    let stores = fakes();
    let asks = Asks(Served::over(&stores).await);
    let world = World::new(stores, 1).await;
    let firm = json!({ "tenant": "ada", "name": "firm", "rpo_ms": 7_200_000, "schedule": { "time_zone": "Europe/Zurich" },
        "retention": { "keep_daily": 7 } });
    let firm = asks.ok("POST /api/v1/templates", &firm).await;
    let team = json!({ "tenant": "ada", "name": "team", "above": "firm", "schedule": { "cron": "30 2 * * *" } });
    let team = asks.ok("POST /api/v1/templates", &team).await;
    let plan = json!({ "tenant": "ada", "name": "web", "template": "team", "rpo_ms": 3_600_000,
        "source_id": world.source.id.to_string(), "repository_id": world.repository.id.to_string() });
    let plan = asks.ok("POST /api/v1/plans", &plan).await;
    assert_eq!((plan["rpo_ms"].clone(), plan["schedule"]["cron"].clone()), (json!(3_600_000), json!("30 2 * * *")));
    assert_eq!((&plan["retention"], &plan["said"]), (&json!({ "keep_daily": 7 }), &json!({ "rpo_ms": 3_600_000 })));
    assert_eq!(said_by(&plan, "rpo"), ("1h 0m", "plan"));
    assert_eq!(said_by(&plan, "rhythm"), ("30 2 * * *", "template team"));
    assert_eq!(said_by(&plan, "time_zone"), ("Europe/Zurich", "template firm"));
    assert_eq!(said_by(&plan, "overlap"), ("plan", "default"));

    let path = format!("/api/v1/plans/{}", plan["id"].as_str().unwrap());
    let patch = format!("PATCH {path}");
    let changed = asks.ok(&patch, &json!({ "rpo_ms": null })).await;
    assert_eq!((changed["rpo_ms"].clone(), said_by(&changed, "rpo")), (json!(7_200_000), ("2h 0m", "template firm")));
    let own = asks.ok(&patch, &json!({ "schedule": { "on_request": true }, "retention": {} })).await;
    assert_eq!(
        (said_by(&own, "rhythm"), said_by(&own, "retention")),
        (("on request", "plan"), ("keeps everything", "plan"))
    );
    asks.ok(&patch, &json!({ "schedule": null, "retention": null })).await;

    let templates = format!("PATCH /api/v1/templates/{}", firm["id"].as_str().unwrap());
    let moved = asks.ok(&templates, &json!({ "rpo_ms": 10_800_000, "retention": null })).await;
    assert!(moved["retention"].is_null() && moved["schedule"]["time_zone"] == "Europe/Zurich", "{moved}");
    let now = asks.ok(&format!("GET {path}"), &Value::Null).await;
    assert_eq!((now["rpo_ms"].clone(), now["retention"].clone()), (json!(10_800_000), json!({})));
    let list = asks.ok("GET /api/v1/plans", &Value::Null).await;
    assert!(list["rows"].as_array().unwrap().contains(&now), "a list shows what one look shows");

    let stay = |noun: &str, row: &Value| format!("DELETE /api/v1/{noun}/{}", row["id"].as_str().unwrap());
    asks.refused(&stay("templates", &firm), &Value::Null, 409, "in use: template team").await;
    asks.refused(&stay("templates", &team), &Value::Null, 409, "in use: plan web").await;
    let alone = asks.ok(&patch, &json!({ "template": null })).await;
    assert!(alone["template"].is_null() && said_by(&alone, "rpo").1 == "default", "{alone}");
    asks.ok(&stay("templates", &team), &Value::Null).await;
    asks.ok(&stay("templates", &firm), &Value::Null).await;
}

/// Red without the judgement in `template_declare` and `template_change`, without `as_seen` in `template_update`.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_together_is_refused_by_field() {
    let stores = fakes();
    let asks = Asks(Served::over(&stores).await);
    let world = World::new(stores, 1).await;
    let declare = async |body: Value| asks.ok("POST /api/v1/templates", &body).await;
    let first = declare(json!({ "tenant": "ada", "name": "t1" })).await;
    for number in 2..=4 {
        declare(json!({ "tenant": "ada", "name": format!("t{number}"), "above": format!("t{}", number - 1) })).await;
    }
    let post = "POST /api/v1/templates";
    let body = |name: &str, more: Value| {
        let mut body = json!({ "tenant": "ada", "name": name });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    asks.refused(post, &body("t5", json!({ "above": "t4" })), 422, "above: template t5 has more than 4").await;
    asks.refused(post, &body("x", json!({ "above": "gone" })), 422, "above: there is no template gone").await;
    asks.refused(post, &body("t1", json!({})), 409, "there is already a template t1").await;
    asks.refused(post, &body("x", json!({ "rpo_ms": 59_999 })), 422, "rpo_ms").await;
    asks.refused(post, &body("x", json!({ "schedule": { "time_zone": "Mars/Base" } })), 422, "schedule.time_zone")
        .await;
    asks.refused(post, &body("x", json!({ "schedule": { "overlap": "moon" } })), 422, "schedule.overlap").await;
    let patch = format!("PATCH /api/v1/templates/{}", first["id"].as_str().unwrap());
    asks.refused(&patch, &json!({ "above": "t3" }), 422, "stands above itself").await;
    let plan = format!("PATCH /api/v1/plans/{}", world.plan.id);
    asks.refused(&plan, &json!({ "template": "gone" }), 422, "template: there is no template gone").await;
    asks.refused(&plan, &json!({ "template": "Gone!" }), 422, "template: ").await;

    let (status, answer) = asks.ask(&patch, "if-match: \"0\"", &json!({ "rpo_ms": 3_600_000 })).await;
    assert_eq!((status, answer["code"].as_str()), (412, Some("changed")));
    let bearer = format!("authorization: Bearer {TOKEN}");
    let seen = asks.0.http(&patch.replace("PATCH", "GET"), &[&bearer], "", "").await;
    let tag = format!("if-match: {}", seen.header("etag").unwrap());
    let (status, answer) = asks.ask(&patch, &tag, &json!({ "rpo_ms": 3_600_000 })).await;
    assert_eq!((status, answer["rpo_ms"].as_u64()), (200, Some(3_600_000)));
    assert_eq!(asks.ask(&patch, &tag, &json!({ "rpo_ms": 3_600_000 })).await.0, 412);
}
