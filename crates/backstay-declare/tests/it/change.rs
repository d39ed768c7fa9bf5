//! What would change: steps in their order, key by key, and what is refused or left alone.

use backstay_declare::change::{Act, Changes, changes};
use backstay_declare::file::{Declared, Missing};
use backstay_declare::refer;
use backstay_declare::row::Found;

use crate::kinds::{good, now, sources_judged};

const FILE: &str = "\
storages: {nas: {kind: local, settings: {path: /nas}}}
repositories: {home: {storage: nas, password: 'sealed:home'}}
sources: {home: {settings: {path: /home}}}
templates: {often: {above: firm, schedule: {every: 6h}}, firm: {rpo: 26h}}
plans: {home: {source: home, repository: home, template: often, retention: {keep_daily: 7, keep_last: 0}}}
channels: {mail: {kind: webhook, settings: {url: 'https://a.example/', secret: 'sealed:channel-x'}}}
maintenance: {Christmas time: {until: 2026-12-27T00:00:00Z}}
tenants: {acme: {quota: {bytes: 5GiB}}}
caps: {global: 8, weights: {acme: 3}}
";

/// What a server has after a file was applied.
pub(crate) fn applied(declared: &Declared) -> Vec<Found> {
    let row = |row: &backstay_declare::row::Wanted| Found {
        key: row.key.clone(),
        id: format!("id of {}", row.key),
        record: row.record.clone(),
    };
    declared.rows.iter().map(row).collect()
}

fn steps(all: &Changes) -> Vec<String> {
    all.steps.iter().map(|step| format!("{} {}", step.sign(), step.key)).collect()
}

fn said(all: &Changes) -> Vec<String> {
    let of = all.steps.iter().flat_map(|step| &step.changes);
    of.map(|one| format!("{}: {:?} -> {:?}", one.field, one.was.as_deref(), one.now.as_deref())).collect()
}

#[test]
fn what_is_named_is_made_before_what_names_it() {
    let all = changes(&good(FILE), &[], Missing::Keep, now());
    let expected = [
        "+ tenant default",
        "+ tenant acme",
        "+ quota of tenant acme",
        "+ storage nas",
        "+ repository home",
        "+ source home",
        "+ template firm",
        "+ template often",
        "+ plan home",
        "+ channel mail",
        "+ maintenance Christmas time",
        "+ caps",
    ];
    assert_eq!(steps(&all), expected);
}

/// Red when plans are declared in the order of the file or of their names.
#[test]
fn a_plan_is_made_after_those_that_follow_it() {
    let plan = |name: &str, more: &str| format!("  {name}: {{source: s, repository: r{more}}}\n");
    let file = [
        "repositories: {r: {storage: {kind: local, settings: {path: /r}}, password: 'sealed:r'}}\n".to_owned(),
        "sources: {s: {settings: {path: /s}}}\n".to_owned(),
        "templates: {firm: {backup: {follow_ups: [d]}}, team: {above: firm}}\n".to_owned(),
        "plans:\n".to_owned(),
        plan("a", ", backup: {follow_ups: [c, b]}"),
        plan("b", ", template: team"),
        plan("c", ", backup: {follow_ups: [b]}"),
        plan("d", ", template: team, backup: {follow_ups: []}"),
    ]
    .concat();
    let declared = good(&file);
    assert_eq!(refer::check(&declared, &[], Missing::Keep), []);
    let all = changes(&declared, &[], Missing::Keep, now());
    let plans: Vec<String> = steps(&all).into_iter().filter(|step| step.contains("plan")).collect();
    assert_eq!(plans, ["+ plan d", "+ plan b", "+ plan c", "+ plan a"]);
    assert_eq!(changes(&declared, &applied(&declared), Missing::Retire, now()), Changes::default());
}

#[test]
fn a_second_time_there_is_nothing_to_change() {
    let declared = good(FILE);
    let all = changes(&declared, &applied(&declared), Missing::Retire, now());
    assert_eq!(all, Changes::default());
    // A window that began when it was declared is the same, though the server knows its beginning.
    let mut found = applied(&declared);
    let window = found.iter_mut().find(|row| row.key.name == "Christmas time").unwrap();
    window.record.insert("from".to_owned(), "2026-11-01T00:00:00Z".into());
    assert_eq!(changes(&declared, &found, Missing::Retire, now()), Changes::default());
}

#[test]
fn a_change_is_told_key_by_key() {
    let found = applied(&good(FILE));
    let other = FILE
        .replace("keep_daily: 7", "keep_daily: 14, keep_monthly: all")
        .replace("rpo: 26h", "schedule: {jitter: 90m}");
    let all = changes(&good(&other), &found, Missing::Keep, now());
    assert_eq!(steps(&all), ["~ template firm", "~ plan home"]);
    assert_eq!(
        said(&all),
        [
            r#"schedule.jitter: None -> Some("1h30m")"#,
            r#"rpo: Some("26h") -> None"#,
            r#"retention.keep_daily: Some("7") -> Some("14")"#,
            r#"retention.keep_monthly: None -> Some("all")"#,
        ]
    );
    assert!(all.steps[1].touches("retention") && !all.steps[1].touches("schedule"));
    // All is kept from now on: that is said, and not the same as saying nothing.
    let other = FILE.replace("{keep_daily: 7, keep_last: 0}", "{}");
    let all = changes(&good(&other), &found, Missing::Keep, now());
    assert_eq!(said(&all), [r#"retention: None -> Some("{}")"#, r#"retention.keep_daily: Some("7") -> None"#]);
}

/// Red when what the file does not have is retired without a word, or what is not its business with one.
#[test]
fn what_is_missing_stays_unless_the_file_says_otherwise() {
    let mut found = applied(&good(FILE));
    let foreign = "tenants: {other: {templates: {x: }, quota: {snapshots: 5}}}\n";
    found.extend(applied(&good(foreign)));
    let less = "templates: {firm: {rpo: 26h}}\n";
    let all = changes(&good(less), &found, Missing::Keep, now());
    assert_eq!(all.steps, []);
    assert_eq!(all.kept.len(), 5, "{:?}", all.kept);
    let all = changes(&good(less), &found, Missing::Retire, now());
    // Who names it goes first. Channels and windows have no section in this file, the other tenant is not in it.
    assert_eq!(steps(&all), ["- plan home", "- template often", "- source home", "- repository home", "- storage nas"]);
    assert_eq!(all.steps[0].word(), "retire");
    let all = changes(&good("channels:\nmaintenance:\n"), &found, Missing::Retire, now());
    assert_eq!(steps(&all), ["- maintenance Christmas time", "- channel mail"]);
    assert_eq!(good("missing: retire\n").missing, Missing::Retire);
    // Two templates go: the lower one first, for above it stands the other.
    let all = changes(&good("plans:\n"), &found, Missing::Retire, now());
    assert_eq!(steps(&all)[1..3], ["- template often", "- template firm"]);
}

#[test]
fn what_a_server_never_changes_is_refused_at_its_place() {
    let found = applied(&good(FILE));
    let other = FILE.replace("path: /home", "path: /srv").replace("{storage: nas,", "{storage: nas, path: x,");
    let other = good(&other);
    let mut all = changes(&other, &found, Missing::Keep, now());
    sources_judged(&mut all, &other);
    let told: Vec<String> =
        all.refused.iter().map(|one| format!("{}:{} {}", one.at.line, one.at.column, one.message)).collect();
    assert_eq!(
        told,
        [
            "2:43 `path` of the repository home cannot be changed: the server has `home`, the file `x`",
            "3:18 the source home would lose `/home`, and snapshots of it are of this source",
        ]
    );
}

/// What a source leaves out is no part of what it is.
#[test]
fn other_settings_of_a_source_that_keep_its_items_are_a_change() {
    let found = applied(&good(FILE));
    let other = good(&FILE.replace("{path: /home}", "{path: /home, exclude: ['*.tmp']}"));
    let mut all = changes(&other, &found, Missing::Keep, now());
    sources_judged(&mut all, &other);
    assert_eq!((steps(&all), all.refused), (vec!["~ source home".to_owned()], vec![]));
}

#[test]
fn windows_are_declared_anew_and_are_over_one_day() {
    let found = applied(&good(FILE));
    let longer = FILE.replace("2026-12-27", "2026-12-30");
    let all = changes(&good(&longer), &found, Missing::Keep, now());
    assert!(matches!(all.steps[..], [ref step] if matches!(step.act, Act::Replace { .. })), "{all:?}");
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    let all = changes(&good(FILE), &[], Missing::Keep, later);
    assert_eq!(all.over.len(), 1);
    assert!(steps(&all).iter().all(|step| !step.contains("maintenance")));
}

/// Red when a plan is made whose source goes in the same breath.
#[test]
fn what_goes_cannot_be_named() {
    let found = applied(&good(FILE));
    let declared = good("missing: retire\nplans: {home: {source: home, repository: home, template: often}}\n");
    let told = |missing| {
        let told: Vec<String> = refer::check(&declared, &found, missing).into_iter().map(|one| one.message).collect();
        told
    };
    assert_eq!(told(Missing::Keep), Vec::<String>::new());
    let goes = |key: &str| format!("{key} is on the server and not in this file, which retires what it does not have");
    assert_eq!(told(Missing::Retire), ["source home", "repository home", "template often"].map(goes));
}
