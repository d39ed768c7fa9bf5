//! The API's document is true: schemathesis sends what it allows and what it does not, and holds each answer against it.

use std::path::PathBuf;
use std::process::Command;

use backstay_testkit::peers::database::Engine;

use crate::fleet_support::Fleet;
use crate::support::Ran;

/// Operations that are not asked, each with why.
const LEFT_OUT: [&str; 2] = [
    // It would revoke the token that the others are asked with.
    "token_revoke",
    // It never ends.
    "event_stream",
];

/// Checks that are not made, each with why.
const UNCHECKED: &str = "positive_data_acceptance,ignored_auth";

/// What a document cannot say (a plan whose source is of another tenant) is refused with 422, hence no
/// `positive_data_acceptance`. Wrong tokens have tests of their own (`authorization`), and many of them are answered with
/// 429, hence no `ignored_auth`.
///
/// Red when an answer has a status, a media type or a field that its operation does not name, or is a 500.
#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_have() {
    let Some(peer) = backstay_testkit::peers::start("schemathesis") else { return };
    let Some(server) = Engine::Postgresql.up() else { return };
    let mut fleet = Fleet::new(server.create());
    let mut replica = fleet.replica("127.0.0.1:0");
    let url = replica.heard("answers at ");
    fleet.urls = vec![url.clone()];
    fleet.first_token();
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    for role in ["admin", "agent"] {
        let token = match role {
            "admin" => fleet.admin.clone(),
            role => fleet.json(&["token", "create", "hands", "--role", role])["secret"].as_str().unwrap().to_owned(),
        };
        let mut command = Command::new(&peer["PROGRAM"]);
        command.current_dir(fleet.place.path(".")).args(["run", "--no-color", "--suppress-health-check", "all"]);
        command.arg(&document).args(["--url", &url, "--exclude-checks", UNCHECKED, "-n", "20", "--seed", "20261121"]);
        for operation in LEFT_OUT {
            command.args(["--exclude-operation-id", operation]);
        }
        if role == "agent" {
            // The rest refuses an agent, which `authorization` holds for each row.
            command.args(["--include-path-regex", "/agents/|/(checkpoint|finish|progress|wait)$"]);
        }
        // Its own configuration takes the token from the environment: arguments are seen by everybody.
        let configuration = fleet.place.path("schemathesis.toml");
        std::fs::write(&configuration, "headers = { Authorization = \"Bearer ${BACKSTAY_TOKEN}\" }\n").unwrap();
        let ran = Ran::of(command.env("BACKSTAY_TOKEN", &token));
        assert_eq!(ran.code, Some(0), "{role}: {}{}", ran.out, ran.err);
        let passed = ran.out.lines().find(|line| line.contains(" generated, "));
        assert!(passed.is_some_and(|line| line.contains(" passed")), "{}", ran.out);
        assert!(!ran.out.contains("mostly returned 429"), "{}", ran.out);
    }
    replica.end();
    let said = replica.said.lock().unwrap().join("\n");
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
}
