//! Which snapshots are kept, and by which rule.
//!
//! ```text
//!  policy ─┐                ┌ kept: every rule that keeps it
//!  now ────┼─> keep() ──> Preview
//!  group ──┘                └ dropped: children before parents
//! ```
//!
//! The rules and their meaning are restic's (its manual, "Removing backup snapshots", and what restic 0.19 answers:
//! `retention/restic.txt` is a record of it). Ours on top: pins, legal holds, protection, a minimum count; the newest
//! good snapshot is never dropped; one dated in the future stays unless a person wants it gone and it is not the only
//! good one, and keeps nothing else alive; parents of kept ones are kept. Absent on purpose: grouping (one call is one
//! group: an item in a repository) and deleting.

mod policy;
mod reason;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{Timestamp, Zoned};

pub use policy::{Count, CountError, Period, RetentionPolicy};
pub use reason::Reason;
pub use within::{Within, WithinError};

/// A snapshot as retention sees it: a row of the control plane or an object of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<Id> {
    /// Its name, unique in the group.
    pub id: Id,
    /// The one that it cannot be restored without; none when it stands alone.
    pub parent: Option<Id>,
    /// When its data was read, in the zone whose calendar counts: restic's is the offset that the snapshot carries.
    pub taken_at: Zoned,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it counts for the RPO: complete, unchanged, or partial with nothing unread but what the plan accepts.
    pub is_good: bool,
    /// Whether somebody pinned it.
    pub is_pinned: bool,
    /// Whether it is under a legal hold.
    pub is_held: bool,
    /// Nobody may delete it before this moment; none when it is not protected.
    pub protected_until: Option<Timestamp>,
    /// Whether a person wants it forgotten: no rule and no minimum count keeps it then.
    pub is_unwanted: bool,
}

/// What retention says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<Id> {
    /// The snapshot.
    pub id: Id,
    /// When its data was read.
    pub taken_at: Zoned,
    /// Every rule that keeps it; none when it is dropped.
    pub reasons: Vec<Reason<Id>>,
}

/// What forgetting would do: the whole group, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview<Id> {
    /// One a snapshot.
    pub verdicts: Vec<Verdict<Id>>,
    /// What may be deleted, children before the parents that they need.
    pub dropped: Vec<Id>,
}

/// Says for each snapshot of a group whether it is kept, and by every rule that keeps it.
pub fn keep<Id: Ord + Clone>(policy: &RetentionPolicy, group: &[Candidate<Id>], now: Timestamp) -> Preview<Id> {
    let mut rows = newest_first(group);
    // The sort put those of the future first: they stay, and take no part in what follows.
    let future = rows.iter().take_while(|row| row.at() > now).count();
    let (from_future, dated) = rows.split_at_mut(future);
    wanted(from_future).into_iter().for_each(|row| row.reasons.push(Reason::Future));
    apply_rules(policy, &mut wanted(dated));
    for row in &mut rows {
        hold(row, now);
    }
    let (from_future, dated) = rows.split_at_mut(future);
    keep_floor(policy.minimum, dated);
    if !dated.iter().any(|row| row.candidate.is_good) {
        keep_good_one(from_future);
    }
    preview(rows)
}

/// Says for each snapshot of a group that no plan keeps up any more whether it is kept: all are but those that a person
/// wants forgotten. The newest good one may be among them: nothing will come after it.
pub fn keep_unplanned<Id: Ord + Clone>(group: &[Candidate<Id>], now: Timestamp) -> Preview<Id> {
    let mut rows = newest_first(group);
    for row in &mut rows {
        if !row.candidate.is_unwanted {
            row.reasons.push(Reason::NoPlan);
        }
        hold(row, now);
    }
    preview(rows)
}

fn newest_first<Id: Ord + Clone>(group: &[Candidate<Id>]) -> Vec<Row<'_, Id>> {
    let mut rows: Vec<Row<'_, Id>> = group.iter().map(|candidate| Row { candidate, reasons: Vec::new() }).collect();
    rows.sort_by(|a, b| b.at().cmp(&a.at()).then_with(|| a.candidate.id.cmp(&b.candidate.id)));
    rows
}

/// Keeps what kept ones need, and says what may be deleted in which order. `rows` are sorted newest first.
fn preview<Id: Ord + Clone>(mut rows: Vec<Row<'_, Id>>) -> Preview<Id> {
    keep_parents(&mut rows);
    let dropped = order_of_deletion(&mut rows);
    Preview { verdicts: rows.into_iter().map(Row::verdict).collect(), dropped }
}

struct Row<'a, Id> {
    candidate: &'a Candidate<Id>,
    reasons: Vec<Reason<Id>>,
}

impl<Id: Clone> Row<'_, Id> {
    fn at(&self) -> Timestamp {
        self.candidate.taken_at.timestamp()
    }

    fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }

    fn verdict(self) -> Verdict<Id> {
        let Self { candidate, reasons } = self;
        Verdict { id: candidate.id.clone(), taken_at: candidate.taken_at.clone(), reasons }
    }
}

/// One of restic's rules that keep the newest of each period, with what it has left and where it was last.
struct Bucket {
    period: Option<Period>,
    left: Count,
    within: Option<(Within, Timestamp)>,
    seen: Option<i64>,
}

/// Adds the reasons of restic's rules; `rows` are sorted newest first and none is dated in the future.
fn apply_rules<Id: Clone>(policy: &RetentionPolicy, rows: &mut [&mut Row<'_, Id>]) {
    let Some(newest) = rows.first().map(|row| row.candidate.taken_at.clone()) else { return };
    if policy.has_no_rule() {
        rows.iter_mut().for_each(|row| row.reasons.push(Reason::NoRule));
        return;
    }
    let mut buckets = policy.buckets(&newest);
    let oldest = rows.len() - 1;
    for (place, row) in rows.iter_mut().enumerate() {
        let tags = &row.candidate.tags;
        let matching = policy.keep_tags.iter().filter(|wanted| wanted.iter().all(|tag| has_tag(tags, tag)));
        row.reasons.extend(matching.map(|wanted| Reason::Tags(wanted.clone())));
        if !policy.keep_within.is_zero() && row.at() > policy.keep_within.before(&newest) {
            row.reasons.push(Reason::Within(policy.keep_within));
        }
        for bucket in &mut buckets {
            row.reasons.extend(bucket.take(&row.candidate.taken_at, place, place == oldest));
        }
    }
}

fn has_tag(tags: &[String], wanted: &str) -> bool {
    tags.iter().any(|tag| tag == wanted) || (wanted.is_empty() && tags.is_empty())
}

impl Bucket {
    /// Returns why the rule keeps the next snapshot, if it does. The oldest of all is kept by each rule that has one
    /// left: a young history stays as long as it can be.
    fn take<Id>(&mut self, at: &Zoned, place: usize, is_oldest: bool) -> Option<Reason<Id>> {
        let has_left = !matches!(self.left, Count::None | Count::AtMost(0));
        let is_young = self.within.is_none_or(|(_, after)| at.timestamp() > after);
        if !has_left || !is_young {
            return None;
        }
        let number = self.period.map_or(place as i64, |period| period.number(at));
        let is_new = self.seen != Some(number);
        if !is_new && !is_oldest {
            return None;
        }
        self.seen = Some(number);
        if let Count::AtMost(left) = &mut self.left {
            *left -= 1;
        }
        Some(match (self.period, self.within, is_new) {
            (None, _, true) => Reason::Last,
            (Some(period), None, true) => Reason::Newest(period),
            (period, None, false) => Reason::Oldest(period),
            (Some(period), Some((within, _)), true) => Reason::WithinNewest(period, within),
            (Some(period), Some((within, _)), false) => Reason::WithinOldest(period, within),
            (None, Some(_), false) => Reason::Oldest(None),
        })
    }
}

impl RetentionPolicy {
    fn buckets(&self, newest: &Zoned) -> Vec<Bucket> {
        let counted = self.counts().map(|(period, left)| Bucket { period, left, within: None, seen: None });
        let timed = self.withins().into_iter().filter(|(_, within)| !within.is_zero()).map(|(period, within)| Bucket {
            period: Some(period),
            left: Count::All,
            within: Some((within, within.before(newest))),
            seen: None,
        });
        counted.into_iter().chain(timed).collect()
    }
}

/// Adds the reasons that no policy can overrule.
fn hold<Id>(row: &mut Row<'_, Id>, now: Timestamp) {
    let candidate = row.candidate;
    if candidate.is_pinned {
        row.reasons.push(Reason::Pinned);
    }
    if candidate.is_held {
        row.reasons.push(Reason::Held);
    }
    if let Some(until) = candidate.protected_until.filter(|until| *until > now) {
        row.reasons.push(Reason::Protected(until));
    }
}

/// Keeps the newest good one, wanted or not, and fills up to the minimum count. `rows` are sorted newest first, none of the
/// future.
fn keep_floor<Id: Clone>(minimum: u32, rows: &mut [Row<'_, Id>]) {
    if let Some(row) = rows.iter_mut().find(|row| row.candidate.is_good) {
        row.reasons.push(Reason::NewestGood);
    } else if let Some(row) = rows.first_mut() {
        row.reasons.push(Reason::NewestOfNoneGood);
    }
    let least = minimum as usize;
    let mut rows = wanted(rows);
    let good = rows.iter().filter(|row| row.is_kept() && row.candidate.is_good).count();
    let more = rows.iter_mut().filter(|row| row.candidate.is_good && !row.is_kept()).take(least.saturating_sub(good));
    more.for_each(|row| row.reasons.push(Reason::Minimum(minimum)));
    let kept = rows.iter().filter(|row| row.is_kept()).count();
    let more = rows.iter_mut().filter(|row| !row.is_kept()).take(least.saturating_sub(kept));
    more.for_each(|row| row.reasons.push(Reason::Minimum(minimum)));
}

/// Keeps the newest good one of the future unless one of them stays anyway: the clock may be what is wrong, and the
/// item has no other. `rows` are sorted newest first, all of the future.
fn keep_good_one<Id: Clone>(rows: &mut [Row<'_, Id>]) {
    if rows.iter().any(|row| row.candidate.is_good && row.is_kept()) {
        return;
    }
    if let Some(row) = rows.iter_mut().find(|row| row.candidate.is_good) {
        row.reasons.push(Reason::NewestGood);
    }
}

/// Returns those that nobody wants forgotten: rules and counts are about these.
fn wanted<'rows, 'group, Id>(rows: &'rows mut [Row<'group, Id>]) -> Vec<&'rows mut Row<'group, Id>> {
    rows.iter_mut().filter(|row| !row.candidate.is_unwanted).collect()
}

/// Keeps what kept ones cannot be restored without, and what those cannot, to the end of each line.
fn keep_parents<Id: Ord + Clone>(rows: &mut [Row<'_, Id>]) {
    let places: BTreeMap<&Id, usize> = rows.iter().enumerate().map(|(place, row)| (&row.candidate.id, place)).collect();
    let mut open: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_kept()).collect();
    while let Some(place) = open.pop() {
        let child = rows[place].candidate;
        let Some(parent) = child.parent.as_ref().and_then(|parent| places.get(parent)) else { continue };
        let was_kept = rows[*parent].is_kept();
        rows[*parent].reasons.push(Reason::ParentOf(child.id.clone()));
        if !was_kept {
            open.push(*parent);
        }
    }
}

/// Returns what no rule keeps, children before parents: a cut in the middle leaves nothing that cannot be restored.
/// What needs itself, through whatever others, is no sound chain, and stays.
fn order_of_deletion<Id: Ord + Clone>(rows: &mut [Row<'_, Id>]) -> Vec<Id> {
    let mut open: Vec<&Candidate<Id>> = rows.iter().filter(|row| !row.is_kept()).map(|row| row.candidate).collect();
    let mut order = Vec::with_capacity(open.len());
    loop {
        let needed: BTreeSet<&Id> = open.iter().filter_map(|candidate| candidate.parent.as_ref()).collect();
        let (later, free): (Vec<_>, Vec<_>) = open.iter().partition(|candidate| needed.contains(&candidate.id));
        open = later;
        if free.is_empty() {
            break;
        }
        order.extend(free.into_iter().map(|candidate: &Candidate<Id>| candidate.id.clone()));
    }
    for row in rows.iter_mut() {
        let children = open.iter().filter(|child| child.parent.as_ref() == Some(&row.candidate.id));
        row.reasons.extend(children.map(|child| Reason::ParentOf(child.id.clone())));
    }
    order
}

impl<Id> Verdict<Id> {
    /// Says whether a rule keeps it.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl<Id: fmt::Display> Verdict<Id> {
    /// Returns the verdict in words: `kept: daily; pinned`, or `dropped: no rule keeps it`.
    pub fn words(&self) -> String {
        if self.reasons.is_empty() {
            return "dropped: no rule keeps it".to_owned();
        }
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        format!("kept: {}", reasons.join("; "))
    }
}

#[cfg(test)]
mod tests;
