//! What becomes of snapshots that are in a repository and have no row: made by plain restic, or by an installation whose
//! database is gone.
//!
//! A snapshot becomes one of an item of ours only where it surely is of that item: made on the machine that looked (or on one
//! that a person named in its place), and of a plan by its own tag, or of the very folder of one. All others belong to a
//! source of kind [`FOREIGN_KIND`], one for each machine and its paths (and the plan that made them), which no plan backs up:
//! no rule lets them go. A tag alone is not sure: two installations may share a repository and the names of plans.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::id::{ItemId, PlanId, SnapshotId};
use super::item::Item;
use super::job::{JobCounts, Outcome};
use super::name::Name;
use super::snapshot::Snapshot;
use super::source::Source;

/// The kind of a source that stands for what was made elsewhere.
pub const FOREIGN_KIND: &str = "foreign";

/// The tag of a snapshot with entries missing.
pub const PARTIAL_TAG: &str = "partial";

/// What stands before a plan's name in the tag that a backup gives its snapshot.
pub const PLAN_TAG: &str = "plan:";

/// What the program's name begins with in snapshots that we made: others write tags like ours (Backrest names its plans so).
pub const PROGRAM: &str = "backstay";

/// Most snapshots of a repository that are told at once: some ten megabytes.
pub const FOUND_MAX: usize = 50_000;

/// A snapshot as its own file in the repository tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSnapshot {
    /// How the repository calls it.
    pub foreign_id: String,
    /// When its data was read.
    pub taken_at: Timestamp,
    /// The machine that read it.
    pub hostname: String,
    /// Whether that is the machine that found it.
    pub is_of_this_machine: bool,
    /// Whether our engine made it.
    pub is_of_this_program: bool,
    /// What was read, absolute paths, in the order of the file.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it holds, as far as it says so.
    pub counts: JobCounts,
}

impl FoundSnapshot {
    /// Returns the name of the plan that made it; none when it was not made by one.
    pub fn plan_name(&self) -> Option<&str> {
        let name = || self.tags.iter().find_map(|tag| tag.strip_prefix(PLAN_TAG));
        self.is_of_this_program.then(name).flatten()
    }

    /// Returns whether some entries are missing from it. Plain restic does not write that down.
    pub fn outcome(&self) -> Outcome {
        if self.tags.iter().any(|tag| tag == PARTIAL_TAG) { Outcome::Partial } else { Outcome::Complete }
    }

    /// Says whether it counts for the RPO: only of a plan's own backup it is known whether something is missing.
    pub fn is_good(&self) -> bool {
        self.plan_name().is_some() && self.outcome() == Outcome::Complete
    }

    /// Returns the name of its item in a source of what was made elsewhere.
    pub fn item_name(&self) -> String {
        self.paths.join(", ")
    }

    /// Returns the settings of a source that stands for its machine, its paths, and the plan that made it.
    pub fn foreign_settings(&self) -> Value {
        let mut settings = json!({ "hostname": self.hostname, "paths": self.paths });
        if let Some(plan) = self.plan_name() {
            settings["plan"] = json!(plan);
        }
        settings
    }

    /// Returns a name for that source which none of these has.
    pub fn foreign_name(&self, is_taken: impl Fn(&Name) -> bool) -> Name {
        let fallback: Name = FOREIGN_KIND.parse().expect("a word is a name");
        let words = format!("{} {}", self.hostname, self.paths.join(" "));
        let short: String = words.chars().take(48).collect();
        let plain = Name::coerce(&short, &fallback);
        let numbered = (2..).map(|number: u32| Name::coerce(&format!("{plain}-{number}"), &fallback));
        std::iter::once(plain.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(fallback)
    }
}

/// A place that snapshots may belong to: an item, and who backs it up into the repository.
#[derive(Debug, Clone)]
pub struct Home {
    /// The item.
    pub item: Item,
    /// Kind of its source.
    pub source_kind: String,
    /// How many items that source has.
    pub items: usize,
    /// Plans that back it up into this repository, by their names.
    pub plans: BTreeMap<String, PlanId>,
}

/// Returns the item of ours that a found snapshot surely is of; none when that is not sure. `hostname` is a machine whose
/// snapshots a person takes for those of this one.
pub fn home_of(found: &FoundSnapshot, hostname: Option<&str>, homes: &[Home]) -> Option<ItemId> {
    if !found.is_of_this_machine && hostname != Some(found.hostname.as_str()) {
        return None;
    }
    let [path] = found.paths.as_slice() else { return None };
    let is_named = |home: &&Home| home.item.name == *path;
    if let Some(plan) = found.plan_name() {
        let mut of_plan = homes.iter().filter(|home| home.plans.contains_key(plan));
        // A stream has another path in its snapshot than its item's name.
        let fits = |home: &&Home| is_named(home) || (home.items == 1 && home.source_kind != "filesystem");
        if let Some(home) = of_plan.find(fits) {
            return Some(home.item.id);
        }
    }
    let is_folder = |home: &&Home| home.source_kind == "filesystem" && !home.plans.is_empty();
    let mut folders = homes.iter().filter(|home| is_folder(home) && is_named(home));
    match (folders.next(), folders.next()) {
        (Some(home), None) => Some(home.item.id),
        _ => None,
    }
}

/// Rows that the looking through of a repository writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Sources of what was made elsewhere, each with its item, that are new.
    pub sources: Vec<(Source, Item)>,
    /// Snapshots that had no row.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots that had a foreign source, and the items of ours that they are of.
    pub moved: Vec<(SnapshotId, ItemId)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SourceId;

    fn found(hostname: &str, paths: &[&str], tags: &[&str]) -> FoundSnapshot {
        FoundSnapshot {
            foreign_id: "aa".repeat(32),
            taken_at: Timestamp::UNIX_EPOCH,
            hostname: hostname.to_owned(),
            is_of_this_machine: hostname == "here",
            is_of_this_program: true,
            paths: paths.iter().map(ToString::to_string).collect(),
            tags: tags.iter().map(ToString::to_string).collect(),
            counts: JobCounts::default(),
        }
    }

    fn home(number: u8, name: &str, kind: &str, plans: &[&str]) -> Home {
        let at = Timestamp::UNIX_EPOCH;
        let (id, source_id) = (ItemId::new(at, [number; 10]), SourceId::new(at, [number; 10]));
        let plans = plans.iter().map(|name| (name.to_string(), PlanId::new(at, [number; 10]))).collect();
        Home {
            item: Item { id, source_id, name: name.to_owned(), vanished_at: None },
            source_kind: kind.to_owned(),
            items: 1,
            plans,
        }
    }

    fn check(found: &FoundSnapshot, homes: &[Home], expected: Option<usize>) {
        assert_eq!(home_of(found, None, homes), expected.map(|place| homes[place].item.id), "{found:?}");
    }

    #[test]
    fn only_what_is_surely_of_an_item_becomes_its_snapshot() {
        let homes = [
            home(1, "/etc", "filesystem", &["etc"]),
            home(2, "/home", "filesystem", &["home"]),
            home(3, "/srv", "filesystem", &[]),
            home(4, "shop", "postgresql", &["shop"]),
        ];
        check(&found("here", &["/etc"], &[]), &homes, Some(0));
        // Another machine's folder of the same name is another folder.
        check(&found("there", &["/etc"], &[]), &homes, None);
        check(&found("here", &["/etc", "/home"], &[]), &homes, None);
        check(&found("here", &["/var"], &[]), &homes, None);
        // Nobody backs it up into this repository: no rules would hold for it.
        check(&found("here", &["/srv"], &[]), &homes, None);
        // Another installation may have a plan of this name: only a person can say that its machine is this one.
        let theirs = found("there", &["/etc"], &["plan:etc"]);
        check(&theirs, &homes, None);
        assert_eq!(home_of(&theirs, Some("there"), &homes), Some(homes[0].item.id));
        assert_eq!(home_of(&theirs, Some("elsewhere"), &homes), None);
        check(&found("here", &["/var"], &["plan:etc"]), &homes, None);
        check(&found("here", &["/shop.sql"], &["plan:shop"]), &homes, Some(3));
        // Others write such tags too.
        let not_ours = FoundSnapshot { is_of_this_program: false, ..found("here", &["/shop.sql"], &["plan:shop"]) };
        check(&not_ours, &homes, None);
        // Two items of one name: nobody knows which one.
        let twice = [home(1, "/etc", "filesystem", &["a"]), home(2, "/etc", "filesystem", &["b"])];
        check(&found("here", &["/etc"], &[]), &twice, None);
        check(&found("here", &["/etc"], &["plan:b"]), &twice, Some(1));
    }

    #[test]
    fn what_restic_made_is_never_taken_for_good() {
        let good = |tags: &[&str]| (found("h", &["/a"], tags).outcome(), found("h", &["/a"], tags).is_good());
        assert_eq!(good(&[]), (Outcome::Complete, false));
        assert_eq!(good(&["plan:a"]), (Outcome::Complete, true));
        assert_eq!(good(&["plan:a", "partial"]), (Outcome::Partial, false));
        let theirs = FoundSnapshot { is_of_this_program: false, ..found("h", &["/a"], &["plan:a"]) };
        assert!(!theirs.is_good() && theirs.foreign_settings()["plan"].is_null());
    }

    #[test]
    fn a_foreign_source_is_named_after_its_machine_and_paths() {
        let name = |found: FoundSnapshot, taken: &[&str]| {
            found.foreign_name(|name| taken.contains(&name.as_str())).to_string()
        };
        assert_eq!(name(found("web01", &["/etc", "/srv"], &[]), &[]), "web01-etc-srv");
        assert_eq!(name(found("web01", &["/etc"], &[]), &["web01-etc", "web01-etc-2"]), "web01-etc-3");
        assert_eq!(name(found("é", &["/"], &[]), &[]), "foreign");
        assert!(name(found(&"x".repeat(200), &["/"], &[]), &[]).len() <= 63);
    }
}
