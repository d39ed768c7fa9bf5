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
//! good snapshot is never dropped; one dated in the future stays, and keeps nothing else alive; parents of kept ones
//! are kept. Absent on purpose: grouping (one call is one group: an item in a repository) and deleting.

mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, Zoned};

pub use within::{Within, WithinError};

/// How many snapshots a rule keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Count {
    /// The rule is not there.
    #[default]
    None,
    /// At most so many; zero is as good as no rule.
    AtMost(u32),
    /// One of each period for ever.
    All,
}

/// A stretch of the calendar of which a rule keeps the newest snapshot. A week is ISO 8601's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Each hour of a day.
    Hour,
    /// Each day.
    Day,
    /// Each week, from Monday.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
}

/// Which snapshots of a group are kept. The default has no rule and keeps everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The newest ones.
    pub keep_last: Count,
    /// The newest of each hour.
    pub keep_hourly: Count,
    /// The newest of each day.
    pub keep_daily: Count,
    /// The newest of each week.
    pub keep_weekly: Count,
    /// The newest of each month.
    pub keep_monthly: Count,
    /// The newest of each year.
    pub keep_yearly: Count,
    /// All that are younger than this, counted from the newest.
    pub keep_within: Within,
    /// The newest of each hour of that time; and so on.
    pub keep_within_hourly: Within,
    /// The newest of each day of that time.
    pub keep_within_daily: Within,
    /// The newest of each week of that time.
    pub keep_within_weekly: Within,
    /// The newest of each month of that time.
    pub keep_within_monthly: Within,
    /// The newest of each year of that time.
    pub keep_within_yearly: Within,
    /// All that have each tag of one of these lists; the empty tag means "has no tags".
    pub keep_tags: Vec<Vec<String>>,
    /// Never fewer than these stay, whatever the rules say: good ones first, newest first.
    pub minimum: u32,
}

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
}

/// Why a snapshot is kept. It prints as a clause after "kept: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<Id> {
    /// The policy names no rule.
    NoRule,
    /// Among the newest so many.
    Last,
    /// The newest of its period, and the rule had one left.
    Newest(Period),
    /// The oldest of all, kept because the rule of the period had one left; none for the rule of the last ones.
    Oldest(Option<Period>),
    /// Young enough.
    Within(Within),
    /// Young enough, and the newest of its period.
    WithinNewest(Period, Within),
    /// Young enough for the rule of this period, and the oldest of all.
    WithinOldest(Period, Within),
    /// Has all of these tags.
    Tags(Vec<String>),
    /// Somebody pinned it.
    Pinned,
    /// Under a legal hold.
    Held,
    /// Protected until this moment.
    Protected(Timestamp),
    /// Dated in the future: a wrong clock, or somebody who wants the others forgotten.
    Future,
    /// The newest good one.
    NewestGood,
    /// The newest one, while none is good.
    NewestOfNoneGood,
    /// The minimum count needs it.
    Minimum(u32),
    /// A kept one cannot be restored without it.
    ParentOf(Id),
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
    let mut rows: Vec<Row<'_, Id>> = group.iter().map(|candidate| Row { candidate, reasons: Vec::new() }).collect();
    rows.sort_by(|a, b| b.at().cmp(&a.at()).then_with(|| a.candidate.id.cmp(&b.candidate.id)));
    // The sort put those of the future first: they stay, and take no part in what follows.
    let future = rows.iter().take_while(|row| row.at() > now).count();
    let (from_future, dated) = rows.split_at_mut(future);
    from_future.iter_mut().for_each(|row| row.reasons.push(Reason::Future));
    apply_rules(policy, dated);
    for row in &mut rows {
        hold(row, now);
    }
    let (_, dated) = rows.split_at_mut(future);
    keep_floor(policy.minimum, dated);
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
fn apply_rules<Id: Clone>(policy: &RetentionPolicy, rows: &mut [Row<'_, Id>]) {
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

impl Period {
    /// Returns a number that is the same for two moments exactly when they are of one period, in their own zones.
    fn number(self, at: &Zoned) -> i64 {
        let (year, month, day) = (i64::from(at.year()), i64::from(at.month()), i64::from(at.day()));
        match self {
            Self::Hour => ((year * 100 + month) * 100 + day) * 100 + i64::from(at.hour()),
            Self::Day => (year * 100 + month) * 100 + day,
            Self::Week => {
                let week = at.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Self::Month => year * 100 + month,
            Self::Year => year,
        }
    }

    /// Returns the adjective: `hourly`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

impl RetentionPolicy {
    /// Says whether no rule is there; such a policy keeps everything.
    pub fn has_no_rule(&self) -> bool {
        let counts = self.counts();
        counts.iter().all(|(_, count)| matches!(count, Count::None | Count::AtMost(0)))
            && self.withins().iter().all(|(_, within)| within.is_zero())
            && self.keep_within.is_zero()
            && self.keep_tags.is_empty()
    }

    /// Returns the policy in words: `last 3, daily 7, within 2d`, or `keeps everything`.
    pub fn words(&self) -> String {
        let counts = self.counts().into_iter().filter(|(_, count)| !matches!(count, Count::None | Count::AtMost(0)));
        let counts = counts.map(|(period, count)| format!("{} {count}", period.map_or("last", Period::word)));
        let within = (!self.keep_within.is_zero()).then(|| format!("within {}", self.keep_within));
        let withins = self.withins().into_iter().filter(|(_, within)| !within.is_zero());
        let withins = withins.map(|(period, within)| format!("{} within {within}", period.word()));
        let tags = self.keep_tags.iter().map(|tags| format!("tags {}", tags.join(",")));
        let minimum = (self.minimum > 0).then(|| format!("minimum of {}", self.minimum));
        let none = self.has_no_rule().then(|| "keeps everything".to_owned());
        let all: Vec<String> =
            none.into_iter().chain(counts).chain(within).chain(withins).chain(tags).chain(minimum).collect();
        all.join(", ")
    }

    fn counts(&self) -> [(Option<Period>, Count); 6] {
        [
            (None, self.keep_last),
            (Some(Period::Hour), self.keep_hourly),
            (Some(Period::Day), self.keep_daily),
            (Some(Period::Week), self.keep_weekly),
            (Some(Period::Month), self.keep_monthly),
            (Some(Period::Year), self.keep_yearly),
        ]
    }

    fn withins(&self) -> [(Period, Within); 5] {
        [
            (Period::Hour, self.keep_within_hourly),
            (Period::Day, self.keep_within_daily),
            (Period::Week, self.keep_within_weekly),
            (Period::Month, self.keep_within_monthly),
            (Period::Year, self.keep_within_yearly),
        ]
    }

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

/// Keeps the newest good one, and fills up to the minimum count. `rows` are sorted newest first, none of the future.
fn keep_floor<Id: Clone>(minimum: u32, rows: &mut [Row<'_, Id>]) {
    if let Some(row) = rows.iter_mut().find(|row| row.candidate.is_good) {
        row.reasons.push(Reason::NewestGood);
    } else if let Some(row) = rows.first_mut() {
        row.reasons.push(Reason::NewestOfNoneGood);
    }
    let wanted = minimum as usize;
    let mut good = rows.iter().filter(|row| row.is_kept() && row.candidate.is_good).count();
    for row in rows.iter_mut().filter(|row| row.candidate.is_good && !row.is_kept()) {
        if good >= wanted {
            return;
        }
        row.reasons.push(Reason::Minimum(minimum));
        good += 1;
    }
    let mut kept = rows.iter().filter(|row| row.is_kept()).count();
    for row in rows.iter_mut().filter(|row| !row.is_kept()) {
        if kept >= wanted {
            return;
        }
        row.reasons.push(Reason::Minimum(minimum));
        kept += 1;
    }
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

impl<Id: fmt::Display> fmt::Display for Reason<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => write!(f, "the policy names no rule"),
            Self::Last => write!(f, "last"),
            Self::Newest(period) => write!(f, "{}", period.word()),
            Self::Oldest(period) => write!(f, "oldest {}", period.map_or("last", Period::word)),
            Self::Within(within) => write!(f, "within {within}"),
            Self::WithinNewest(period, within) => write!(f, "{} within {within}", period.word()),
            Self::WithinOldest(period, within) => write!(f, "oldest {} within {within}", period.word()),
            Self::Tags(tags) => write!(f, "tags {}", tags.join(",")),
            Self::Pinned => write!(f, "pinned"),
            Self::Held => write!(f, "legal hold"),
            Self::Protected(until) => write!(f, "protected until {until:.0}"),
            Self::Future => write!(f, "dated in the future, so it keeps no other alive"),
            Self::NewestGood => write!(f, "newest good one"),
            Self::NewestOfNoneGood => write!(f, "newest one, as none is good"),
            Self::Minimum(count) => write!(f, "minimum of {count}"),
            Self::ParentOf(child) => write!(f, "{child} needs it"),
        }
    }
}

/// A text that says no count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a count: write a number, or `unlimited`")]
pub struct CountError {
    /// What was given.
    pub text: String,
}

impl FromStr for Count {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        match text {
            // restic's two ways of writing it.
            "unlimited" | "-1" => Ok(Self::All),
            "0" => Ok(Self::None),
            _ => text.parse().map(Self::AtMost).map_err(|_| CountError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "0"),
            Self::AtMost(count) => write!(f, "{count}"),
            Self::All => write!(f, "unlimited"),
        }
    }
}

#[cfg(test)]
mod tests;
