//! Rules about manifests: who may depend on what.

use crate::Violation;

/// What each heavy dependency is for, and the rooms that alone may have it.
const HOMES: &[(&str, &[&str])] = &[
    // The simulation's oracle reads rows past the product; it never ships (decision 0021).
    ("sea-orm", &["backstay-db", "backstay-simulation"]),
    ("sea-orm-migration", &["backstay-db"]),
    ("sqlx", &["backstay-db"]),
    ("rusqlite", &["backstay-db"]),
    ("axum", &["backstay-server"]),
    ("kube", &["backstay-server"]),
    ("k8s-openapi", &["backstay-server"]),
    // Channels: `server/channels/`, and nobody else in that crate.
    ("lettre", &["backstay-server"]),
    ("rustls", &["backstay-server"]),
    ("tokio-rustls", &["backstay-server"]),
    ("askama", &["backstay-server"]),
    ("reqwest", &["backstay-api", "backstay-storage", "backstay-server"]),
    ("opendal", &["backstay-storage"]),
    ("reqsign-aws-v4", &["backstay-storage"]),
    ("rustic_core", &["backstay-engine"]),
    ("zstd-safe", &["backstay-engine"]),
    ("scrypt", &["backstay-engine"]),
    ("aes256ctr_poly1305aes", &["backstay-engine"]),
    ("saphyr-parser", &["backstay-declare"]),
    ("strsim", &["backstay-declare"]),
    ("toml_edit", &["backstay-declare"]),
    ("clap", &["backstay"]),
    ("clap_complete", &["backstay"]),
    ("clap_mangen", &["backstay"]),
    ("indicatif", &["backstay"]),
    ("comfy-table", &["backstay"]),
    ("tracing-subscriber", &["backstay", "backstay-trace"]),
    ("opentelemetry", &["backstay-trace"]),
    ("opentelemetry_sdk", &["backstay-trace"]),
    ("opentelemetry-otlp", &["backstay-trace"]),
    ("tracing-opentelemetry", &["backstay-trace"]),
];

/// What the core may use: values, time, hashes, errors. Nothing that waits, listens, writes or knows a wire format.
const CORE_DIET: &[&str] = &[
    "async-trait",
    "croner",
    "data-encoding",
    "ed25519-dalek", // judges signatures of evidence; the key that signs is behind a port
    "futures",       // waits for several ports at once
    "jiff",
    "secrecy",
    "serde_json", // settings of a kind pass through as they came
    "sha2",
    "thiserror",
    "uuid",
];

/// Each crate and those of ours that it may name. The drawing is in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("backstay-core", &[]),
    ("backstay-api", &["backstay-core"]),
    ("backstay-failpoint", &[]),
    ("backstay-db", &["backstay-core", "backstay-failpoint"]),
    ("backstay-storage", &["backstay-core"]),
    ("backstay-declare", &["backstay-core", "backstay-api"]),
    ("backstay-engine", &["backstay-core", "backstay-storage", "backstay-failpoint"]),
    ("backstay-trace", &["backstay-core"]),
    (
        "backstay-agent",
        &["backstay-core", "backstay-storage", "backstay-engine", "backstay-trace", "backstay-failpoint"],
    ),
    ("backstay-server", &["backstay-core", "backstay-api", "backstay-trace"]),
    // Chooses the adapters, so it sees them all.
    (
        "backstay",
        &[
            "backstay-core",
            "backstay-api",
            "backstay-declare",
            "backstay-db",
            "backstay-storage",
            "backstay-engine",
            "backstay-agent",
            "backstay-server",
            "backstay-trace",
            "backstay-failpoint",
        ],
    ),
    ("backstay-testkit", &["backstay-core", "backstay-storage"]),
    // Drives the control plane and the engine from outside, as a role does.
    (
        "backstay-simulation",
        &[
            "backstay-core",
            "backstay-db",
            "backstay-storage",
            "backstay-engine",
            "backstay-agent",
            "backstay-failpoint",
            "backstay-testkit",
        ],
    ),
];

/// Crates that nobody depends on: what a person runs, and what only tests.
const ENDS: &[&str] = &["backstay", "backstay-simulation"];

/// When a dependency is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Always,
    Build,
    Tests,
}

/// A line of a manifest that names another crate.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) section: Section,
    pub(crate) line: usize,
}

/// A member of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// Reads a manifest as it is written in this house: a table a section, a dependency a line or a table of its own.
pub(crate) fn parse(path: &str, text: &str) -> Member {
    let mut member = Member { name: String::new(), path: path.to_owned(), dependencies: Vec::new() };
    let mut table = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = header.trim();
            if let Some((section, name)) = section_of(table).filter(|(_, name)| !name.is_empty()) {
                member.dependencies.push(Dependency { name: name.to_owned(), section, line: index + 1 });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let key = key.trim();
        if table == "package" && key == "name" {
            member.name = value.trim().trim_matches('"').to_owned();
        }
        if let Some((section, "")) = section_of(table) {
            let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            let name = renamed.unwrap_or_else(|| key.split('.').next().unwrap_or(key).trim_matches('"'));
            member.dependencies.push(Dependency { name: name.to_owned(), section, line: index + 1 });
        }
    }
    member
}

/// Returns the section that a table is, and the dependency that it alone describes, if it does.
fn section_of(table: &str) -> Option<(Section, &str)> {
    // A table of one platform, `target.'cfg(unix)'.dependencies`, counts like the plain one.
    let table = if table.starts_with("target.") {
        let start = table.find("dev-dependencies").or_else(|| table.find("build-dependencies"));
        &table[start.or_else(|| table.find("dependencies"))?..]
    } else {
        table
    };
    let (kind, name) = table.split_once('.').unwrap_or((table, ""));
    match kind {
        "dependencies" => Some((Section::Always, name)),
        "build-dependencies" => Some((Section::Build, name)),
        "dev-dependencies" => Some((Section::Tests, name)),
        _ => None,
    }
}

/// Finds heavy dependencies outside their home; those of tests count too.
pub(crate) fn homes(crates: &[Member]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (member, dependency) in crates.iter().flat_map(|member| member.dependencies.iter().map(move |d| (member, d))) {
        let Some((name, homes)) = HOMES.iter().find(|(name, _)| same_name(name, &dependency.name)) else { continue };
        if !homes.contains(&member.name.as_str()) {
            let advice = format!(
                "`{name}` lives in {} alone: ask that room through a port, or give it a second home in HOMES with a \
                 decision record",
                homes.join(" and ")
            );
            found.push(Violation::new(&member.path, dependency.line, advice));
        }
    }
    found
}

/// Finds what the core may not depend on.
pub(crate) fn core_diet(crates: &[Member]) -> Vec<Violation> {
    let core = crates.iter().filter(|member| member.name == "backstay-core");
    let outside = core.flat_map(|member| {
        let eaten = member.dependencies.iter().filter(|dependency| dependency.section != Section::Tests);
        eaten.map(|dependency| (member.path.as_str(), dependency))
    });
    outside
        .filter(|(_, dependency)| !CORE_DIET.iter().any(|name| same_name(name, &dependency.name)))
        .filter(|(_, dependency)| !dependency.name.starts_with("backstay")) // `edges` tells those
        .map(|(path, dependency)| {
            let advice = format!(
                "the core may not use `{}`: do it behind a port, or, if it handles values alone, add it to CORE_DIET",
                dependency.name
            );
            Violation::new(path, dependency.line, advice)
        })
        .collect()
}

/// Finds crates of ours that know one they should not.
pub(crate) fn edges(crates: &[Member]) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in crates {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == member.name) else {
            let advice = "this crate has no row in EDGES: say there what it may know, and draw it in ARCHITECTURE.md";
            found.push(Violation::new(&member.path, 1, advice));
            continue;
        };
        for dependency in member.dependencies.iter().filter(|dependency| dependency.name.starts_with("backstay")) {
            // The testkit is there for tests of every crate that it does not stand on itself.
            let for_tests = dependency.section == Section::Tests
                && dependency.name == "backstay-testkit"
                && member.name != "backstay-core";
            if !for_tests && !allowed.contains(&dependency.name.as_str()) {
                let advice = format!(
                    "{} may not know {}: move the code to where both can see it, or change EDGES with a decision record",
                    member.name, dependency.name
                );
                found.push(Violation::new(&member.path, dependency.line, advice));
            }
        }
    }
    found
}

/// Finds crates that no other crate needs.
pub(crate) fn dependants(crates: &[Member]) -> Vec<Violation> {
    let needed = |name: &str| {
        crates.iter().filter(|member| member.name != name).any(|member| {
            let mut needs = member.dependencies.iter();
            needs.any(|d| d.name == name && (d.section == Section::Always || name == "backstay-testkit"))
        })
    };
    crates
        .iter()
        .filter(|member| !ENDS.contains(&member.name.as_str()) && !needed(&member.name))
        .map(|member| {
            Violation::new(&member.path, 1, format!("nobody depends on {}: use it or remove it", member.name))
        })
        .collect()
}

/// Says whether two names are one crate: the registry takes `-` and `_` for the same.
fn same_name(one: &str, other: &str) -> bool {
    one.replace('_', "-") == other.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::{Member, core_diet, dependants, edges, homes, parse};
    use crate::check;

    fn member(name: &str, rest: &str) -> Member {
        parse(&format!("{name}.toml"), &format!("[package]\nname = \"{name}\"\n{rest}\n"))
    }

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let member = member(
            "x",
            "[dependencies]\na = \"1\"\nb.workspace = true\n\"c\" = { version = \"1\" }\nd = { package = \"e\" }\n\
             # f = \"1\"\n[dependencies.g]\nversion = \"1\"\n[dev-dependencies]\nh = \"1\"\n\
             [target.'cfg(unix)'.dependencies]\ni = \"1\"\n[target.'cfg(unix)'.build-dependencies]\nj = \"1\"\n\
             [lints]\nworkspace = true",
        );
        let found: Vec<String> = member.dependencies.iter().map(|d| format!("{} {:?}", d.name, d.section)).collect();
        let expected = ["a Always", "b Always", "c Always", "e Always", "g Always", "h Tests", "i Always", "j Build"];
        assert_eq!((member.name.as_str(), found), ("x", expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_heavy_dependency_away_from_home_is_found() {
        check(&homes(&[member("backstay-db", "[dependencies]\nsea-orm.workspace = true")]), &[]);
        check(&homes(&[member("x", "[dependencies]\nsea-orm.workspace = true")]), &["x.toml:4: `sea-orm` lives"]);
        check(&homes(&[member("x", "[dev-dependencies]\nrustic-core = \"1\"")]), &["x.toml:4: `rustic_core` lives"]);
        check(&homes(&[member("x", "[dependencies]\nweb = { package = \"axum\" }")]), &["`axum` lives"]);
    }

    #[test]
    fn a_core_that_eats_too_much_is_found() {
        check(&core_diet(&[member("backstay-core", "[dependencies]\njiff = \"1\"")]), &[]);
        check(&core_diet(&[member("backstay-core", "[dev-dependencies]\nproptest = \"1\"")]), &[]);
        let hungry = member("backstay-core", "[dependencies]\nserde = \"1\"\n[build-dependencies]\ntokio = \"1\"");
        check(
            &core_diet(&[hungry]),
            &["core.toml:4: the core may not use `serde`", "core.toml:6: the core may not use"],
        );
    }

    #[test]
    fn a_crate_that_looks_up_or_sideways_is_found() {
        check(&edges(&[member("backstay-db", "[dev-dependencies]\nbackstay-testkit.workspace = true")]), &[]);
        let server = member("backstay-server", "[dependencies]\nbackstay-core.workspace = true\nbackstay-db = \"1\"");
        check(&edges(&[server]), &["server.toml:5: backstay-server may not know backstay-db"]);
        let core = member("backstay-core", "[dev-dependencies]\nbackstay-testkit.workspace = true");
        check(&edges(&[core]), &["backstay-core may not know backstay-testkit"]);
        let engine = member("backstay-engine", "[dependencies]\nbackstay-testkit.workspace = true");
        check(&edges(&[engine]), &["backstay-engine may not know backstay-testkit"]);
        check(&edges(&[member("backstay-new", "")]), &["backstay-new.toml:1: this crate has no row"]);
    }

    #[test]
    fn a_crate_that_nobody_needs_is_found() {
        let alone = || vec![member("backstay", "[dev-dependencies]\nbackstay-db = \"1\""), member("backstay-db", "")];
        check(&dependants(&alone()), &["backstay-db.toml:1: nobody depends"]);
        let mut used = alone();
        used[0] = member("backstay", "[dependencies]\nbackstay-db.workspace = true");
        check(&dependants(&used), &[]);
    }
}
