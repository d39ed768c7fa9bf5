//! Configurations of other programs: what `import` writes is what `apply` takes, and backups go on where restic stood.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, Ran, make_tree, restics};

/// Red when the document holds the password, when `apply` does not take it, when the first backup does not find its parent, or
/// when plain restic does not see both snapshots.
#[test]
fn a_repository_of_backrest_goes_on_where_it_stood() {
    let place = Place::new();
    for folder in [place.source(), place.path("docs")] {
        make_tree(&folder, 1);
    }
    let Some(program) = restics().into_iter().next() else { return };
    std::fs::write(place.path("password"), "hunter2-password\n").unwrap();
    let (theirs, folder) = (place.path("theirs"), place.path("docs"));
    let restic = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--no-cache", "-r"]).arg(&theirs).arg("-p").arg(place.path("password"));
        let ran = Ran::of(command.args(arguments));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.out
    };
    restic(&["init"]);
    restic(&["backup", folder.to_str().unwrap(), "--tag", "plan:docs", "--tag", "created-by:nas"]);

    let config = json!({
        "repos": [{ "id": "Local Disk", "uri": theirs, "password": "hunter2-password" }],
        "plans": [{
            "id": "docs", "repo": "Local Disk", "paths": [folder], "excludes": ["*.never"],
            "schedule": { "cron": "30 2 * * *", "clock": "CLOCK_UTC" },
            "retention": { "policyTimeBucketed": { "daily": 7, "weekly": 5 } },
        }],
    });
    let (file, document) = (place.path("config.json"), place.path("backstay.yaml"));
    std::fs::write(&file, serde_json::to_string_pretty(&config).unwrap()).unwrap();
    let words = ["import", "backrest", file.to_str().unwrap(), "-o", document.to_str().unwrap()];
    let ran = place.run(&words);
    assert!(ran.code == Some(0) && ran.err.contains("backstay repository adopt local-disk"), "{ran:?}");
    let written = std::fs::read_to_string(&document).unwrap();
    assert!(!format!("{written}{ran:?}").contains("hunter2"), "{ran:?}");
    let again = place.run(&words);
    assert!(again.code == Some(20) && again.err.contains("kept as it is"), "{again:?}");

    assert_eq!(place.quickstart().code, Some(0));
    let password = place.path("password");
    let put = ["secret", "put", "repository-local-disk", "--from-file", password.to_str().unwrap()];
    assert_eq!(place.run(&put).code, Some(0));
    let apply = ["apply", "-f", document.to_str().unwrap(), "--yes"];
    let ran = place.run(&apply);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(place.run(&apply).out.contains("nothing to change"));
    let ran = place.run(&["repository", "adopt", "local-disk"]);
    assert!(ran.code == Some(0) && ran.out.contains("1 found, 1 of them new here"), "{ran:?}");

    let ran = place.run(&["plan", "run", "docs", "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let job = place.json(&["job", "list", "--kind", "backup"])["rows"][0].clone();
    assert_eq!(job["counts"]["files"], job["counts"]["files_unmodified"], "it goes on from restic's snapshot: {job}");
    let listed: Value = serde_json::from_str(&restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    restic(&["check", "--read-data"]);
    let plans = place.json(&["plan", "list"])["rows"].as_array().unwrap().clone();
    let plan = plans.iter().find(|row| row["name"] == "docs").unwrap();
    assert_eq!((&plan["retention"]["keep_daily"], &plan["retention"]["keep_weekly"]), (&json!(7), &json!(5)), "{plan}");
}

#[test]
fn what_cannot_be_read_leaves_nothing_behind() {
    let place = Place::new();
    let (file, document) = (place.path("config.json"), place.path("backstay.yaml"));
    let words = ["import", "backrest", file.to_str().unwrap(), "-o", document.to_str().unwrap()];
    assert_eq!(place.run(&words).code, Some(25), "there is no such file");
    std::fs::write(&file, "{\"repos\": [\"hunter2\"").unwrap();
    let ran = place.run(&words);
    assert!(ran.code == Some(20) && !ran.err.contains("hunter2") && !document.exists(), "{ran:?}");
}
