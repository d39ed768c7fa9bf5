//! Mistakes of files: all at once, each at its place, with the word that was meant.

use backstay_declare::file::Missing;
use backstay_declare::refer;

use crate::kinds::{file, good};

/// Each mistake of `text` as `LINE:COLUMN message [hint]`.
fn check(text: &str, expected: &[&str]) {
    let (declared, mut mistakes) = file(text);
    mistakes.extend(refer::check(&declared, &[], Missing::Keep));
    mistakes.sort();
    let told: Vec<String> = mistakes
        .iter()
        .map(|one| {
            let hint = if one.hint.starts_with("Did you mean") { format!(" [{}]", one.hint) } else { String::new() };
            format!("{}:{} {}{hint}", one.at.line, one.at.column, one.message)
        })
        .collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn words_that_nobody_knows() {
    check("planz: {}\n", &["1:1 a file has no section `planz` [Did you mean `plans`?]"]);
    check("tenants: {acme: {caps: {}}}\n", &["1:18 a tenant has no section `caps`"]);
    check(
        "templates:\n  t:\n    retention: {keep-daily: 7}\n    rp: 3h\n",
        &[
            "3:17 `retention` has no key `keep-daily` [Did you mean `keep_daily`?]",
            "4:5 the template t has no key `rp` [Did you mean `rpo`?]",
        ],
    );
    check(
        "sources: {a: {kind: filesistem, settings: {path: /a}}}\n",
        &["1:21 there is no source kind `filesistem` [Did you mean `filesystem`?]"],
    );
    check(
        "templates: {t: {schedule: {time_zone: Europe/Zürich, catch_up: nevr}}}\n",
        &[
            "1:39 `Europe/Zürich` is not in the tz database [Did you mean `Europe/Zurich`?]",
            "1:64 `nevr` is none of `once` and `never` [Did you mean `never`?]",
        ],
    );
}

#[test]
fn plans_that_cannot_follow() {
    let file = |first: &str, second: &str| {
        format!(
            "repositories: {{r: {{storage: {{kind: local, settings: {{path: /r}}}}, password: 'sealed:r'}}}}\n\
             sources: {{s: {{settings: {{path: /s}}}}}}\n\
             plans:\n  home: {{source: s, repository: r, backup: {{follow_ups: [{first}]}}}}\n  \
             away: {{source: s, repository: r, backup: {{follow_ups: [{second}]}}}}\n"
        )
    };
    check(&file("away", ""), &[]);
    check(
        &file("awai", ""),
        &["4:58 there is no plan awai, neither in this file nor on the server [Did you mean `away`?]"],
    );
    check(&file("home", ""), &["4:45 the plan home would follow itself, or one that does"]);
    check(
        &file("away", "home"),
        &[
            "4:45 the plan home would follow itself, or one that does",
            "5:45 the plan away would follow itself, or one that does",
        ],
    );
}

#[test]
fn what_is_said_must_hold_together() {
    check("templates: {t: {schedule: {cron: '@daily', every: 6h}}}\n", &["1:51 `every` stands beside `cron`"]);
    check(
        "templates: {t: {schedule: {every: 3s}, rpo: 5s}}\n",
        &["1:35 `3s` is shorter than 1m", "1:45 `5s` is shorter than 1m"],
    );
    check(
        "templates: {t: {backup: {priority: 101, accept_unread: ['/tmp/**', '*.sock']}}}\n",
        &[
            "1:36 `101` is not a number from -100 to 100",
            "1:68 `*.sock` can match no path; begin it with `/` or `**`, in at most 256 bytes",
        ],
    );
    check("sources: {a: {settings: {path: home}}}\n", &["1:26 `path`: `home` is not an absolute path"]);
    check("storages: {a: }\n", &["1:12 the storage a needs `kind`", "1:12 the storage a needs `settings`"]);
    check(
        "repositories: {a: {storage: {kind: local, settings: {path: /a}}, path: b, password: 'sealed:a'}}\n",
        &["1:72 `path` goes with the name of a storage"],
    );
    check(
        "maintenance: {x: {from: 2026-12-02T00:00:00Z, until: 2026-12-01T00:00:00Z}}\n",
        &["1:54 the window ends before it begins"],
    );
    check(
        "channels: {m: {kind: smtp, settings: {host: a, form: b@c, from: b@c, to: b@c}}}\n",
        &["1:48 `form`: is not a setting of this kind"],
    );
}

/// Red when one name could hide another: a plan that is declared twice is never the last one that was written.
#[test]
fn nothing_is_declared_twice() {
    check("plans:\nplans:\n", &["2:1 `plans` stands here a second time; line 1 has it too"]);
    check(
        "templates: {a: }\ntenants: {default: {templates: {a: }}}\n",
        &["2:33 the template a is declared a second time; line 1 has it too"],
    );
}

#[test]
fn what_is_named_must_be_there() {
    check(
        "sources: {home: {settings: {path: /home}}}\nplans: {a: {source: hoem, repository: r, template: t}}\n",
        &[
            "2:21 there is no source hoem, neither in this file nor on the server [Did you mean `home`?]",
            "2:39 there is no repository r, neither in this file nor on the server",
            "2:52 there is no template t, neither in this file nor on the server",
        ],
    );
    // Names are a tenant's own.
    check(
        "templates: {a: }\ntenants: {acme: {templates: {b: {above: a}}}}\n",
        &["2:41 there is no template acme/a, neither in this file nor on the server"],
    );
    check(
        "templates: {a: {above: b}, b: {above: a}}\n",
        &["1:24 the template a stands above itself", "1:39 the template b stands above itself"],
    );
    check("caps: {weights: {acme: 3}}\n", &["1:18 there is no tenant acme, neither in this file nor on the server"]);
}

/// Red when a secret in clear is taken, or repeated in a message.
#[test]
fn a_secret_is_never_in_the_file() {
    let text = "storages: {a: {kind: local, settings: {path: /a, s3_secret: hunter2}, credentials: hunter2}}\n\
                repositories: {r: {storage: a, password: hunter2}}\n";
    let (_, mistakes) = file(text);
    assert_eq!(mistakes.len(), 3);
    for mistake in &mistakes {
        assert!(mistake.is_secret && !mistake.message.contains("hunter2") && !mistake.hint.contains("hunter2"));
    }
    good("storages: {a: {kind: local, settings: {path: /a}}}\nrepositories: {r: {storage: a, password: 'sealed:r'}}\n");
}

#[test]
fn sections_of_others_are_not_read() {
    good("server: {listen: x}\nplans:\n");
    check("- a\n", &["1:1 a file has sections, not a list"]);
    check("plans: 3\n", &["1:8 below `plans` stand names with their values, not one value"]);
}

/// Red when what is counted to stop hostile files stops honest ones.
#[test]
fn thousands_of_plans_are_no_mistake() {
    let mut text = "sources: {s: {settings: {path: /s}}}\n\
                    repositories: {r: {storage: {kind: local, settings: {path: /r}}, password: 'sealed:r'}}\nplans:\n"
        .to_owned();
    for plan in 0..5_000 {
        text.push_str(&format!(
            "  p{plan}: {{source: s, repository: r, schedule: {{every: 6h}}, retention: {{keep_daily: 7}}}}\n"
        ));
    }
    assert_eq!(good(&text).rows.len(), 5_003);
}
