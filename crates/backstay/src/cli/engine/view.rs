//! How a snapshot is shown.

use backstay_engine::select::{SHORT_DIGITS, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::human;

/// A snapshot in restic's shape and order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SnapshotView {
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    pub(super) tree: String,
    paths: Vec<String>,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    excludes: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<Value>,
    #[serde(default, skip_deserializing)]
    id: String,
    #[serde(default, skip_deserializing)]
    short_id: String,
}

impl SnapshotView {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut view: Self = serde_json::from_slice(&snapshot.plain).expect("it was read before");
        view.id = snapshot.id.to_hex();
        view.short_id = short(&snapshot.id);
        view
    }
}

/// Returns the digits of an id that are shown to people.
pub(super) fn short(id: &backstay_engine::format::id::Id) -> String {
    id.to_hex()[..SHORT_DIGITS].to_owned()
}

/// Headings of a table of snapshots.
pub(super) const HEADING: [&str; 6] = ["id", "time", "host", "tags", "paths", "size"];

/// Returns a snapshot's row.
pub(super) fn row(snapshot: &Snapshot) -> Vec<String> {
    let file = &snapshot.file;
    let size = file.summary.as_ref().map(|summary| human::bytes(summary.total_bytes_processed));
    vec![
        short(&snapshot.id),
        human::instant(&file.time),
        file.hostname.clone(),
        file.tags.join(","),
        file.paths.join(", "),
        size.unwrap_or_default(),
    ]
}

/// Returns one sentence that says which snapshot it is.
pub(super) fn sentence(snapshot: &Snapshot) -> String {
    let file = &snapshot.file;
    let (id, time) = (short(&snapshot.id), human::instant(&file.time));
    format!("snapshot {id} of {} at {time} by {}@{}", file.paths.join(", "), file.username, file.hostname)
}

/// How snapshots are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grouping {
    pub(super) host: bool,
    pub(super) paths: bool,
    pub(super) tags: bool,
}

impl Grouping {
    /// Reads restic's list of words.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut grouping = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "host" | "hosts" => grouping.host = true,
                "path" | "paths" => grouping.paths = true,
                "tag" | "tags" => grouping.tags = true,
                other => return Err(format!("`{other}` is none of host, paths, tags")),
            }
        }
        Ok(grouping)
    }
}

/// What the snapshots of a group have in common; none of what they are not grouped by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct GroupKey {
    pub(super) hostname: String,
    pub(super) paths: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
}

impl GroupKey {
    /// Says what they have in common.
    pub(super) fn sentence(&self) -> String {
        let mut parts = Vec::new();
        if !self.hostname.is_empty() {
            parts.push(format!("host {}", self.hostname));
        }
        if let Some(tags) = &self.tags {
            parts.push(if tags.is_empty() { "no tags".to_owned() } else { format!("tags {}", tags.join(",")) });
        }
        parts.extend(self.paths.as_ref().map(|paths| format!("paths {}", paths.join(", "))));
        human::shown(&parts.join("; "))
    }
}

/// Puts snapshots together, groups in the order of their keys.
pub(super) fn group(snapshots: Vec<Snapshot>, by: Grouping) -> Vec<(GroupKey, Vec<Snapshot>)> {
    let mut groups: std::collections::BTreeMap<GroupKey, Vec<Snapshot>> = std::collections::BTreeMap::new();
    let sorted = |words: &[String]| {
        let mut words = words.to_vec();
        words.sort();
        words
    };
    for snapshot in snapshots {
        let file = &snapshot.file;
        let key = GroupKey {
            hostname: if by.host { file.hostname.clone() } else { String::new() },
            paths: by.paths.then(|| sorted(&file.paths)),
            tags: (by.tags && !file.tags.is_empty()).then(|| sorted(&file.tags)),
        };
        groups.entry(key).or_default().push(snapshot);
    }
    groups.into_iter().collect()
}
