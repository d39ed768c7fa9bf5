//! Documents inside rows: twins of domain values that know serde, because domain types do not.
//!
//! A twin is written by us and read by every later version: fields are only ever added, with a default.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::str::FromStr;
use std::time::Duration;

use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::hook::{Hook, Hooks};
use backstay_core::domain::id::SnapshotId;
use backstay_core::domain::job::{Instruction, JobKind, Reconciliation, Target};
use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::name::Name;
use backstay_core::domain::proof::Slice;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retention::{Count, RetentionPolicy, Within};
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::schedule::{CatchUp, OverlapKey, Rhythm, START_WINDOW_DEFAULT, Schedule};
use backstay_core::domain::template::Said;
use backstay_core::domain::unread::UnreadEntry;
use backstay_core::ports::store::StoreError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::{Row, ms_cell};

/// Twin of [`Instruction`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum InstructionTwin {
    Backup,
    Restore {
        snapshot_id: Uuid,
        target: TargetTwin,
        reconciliation: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        path: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        include: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<String>,
        #[serde(default)]
        special: bool,
        #[serde(default)]
        read_back: bool,
    },
    Verify {
        snapshot_id: Uuid,
        files_min: u64,
        bytes_percent: u8,
        seed: u64,
        /// The slice and of how many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<(u32, u32)>,
    },
    Prune,
    Discover {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hostname: Option<String>,
    },
}

/// Twin of [`Target`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetTwin {
    Directory(String),
    /// A path that is not UTF-8, byte by byte.
    DirectoryBytes(Vec<u8>),
    Source {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

impl InstructionTwin {
    pub(crate) fn of(instruction: &Instruction) -> Self {
        match instruction {
            Instruction::Backup => Self::Backup,
            Instruction::Prune => Self::Prune,
            Instruction::Discover { hostname } => Self::Discover { hostname: hostname.clone() },
            Instruction::Restore { snapshot_id, target, terms } => Self::Restore {
                snapshot_id: snapshot_id.uuid(),
                target: TargetTwin::of(target),
                reconciliation: terms.reconciliation.word().to_owned(),
                path: terms.path.clone(),
                include: terms.include.clone(),
                exclude: terms.exclude.clone(),
                special: terms.special,
                read_back: terms.read_back,
            },
            Instruction::Verify { snapshot_id, sample, slice } => Self::Verify {
                snapshot_id: snapshot_id.uuid(),
                files_min: sample.files_min,
                bytes_percent: sample.bytes_percent,
                seed: sample.seed,
                slice: slice.map(|slice| (slice.number, slice.of)),
            },
        }
    }

    /// Returns the instruction, if it is one of the row's kind.
    pub(crate) fn read(self, row: Row<'_>, kind: JobKind) -> Result<Instruction, StoreError> {
        let instruction = match self {
            Self::Backup => Instruction::Backup,
            Self::Prune => Instruction::Prune,
            Self::Discover { hostname } => Instruction::Discover { hostname },
            Self::Restore { snapshot_id, target, reconciliation, path, include, exclude, special, read_back } => {
                Instruction::Restore {
                    snapshot_id: SnapshotId::from_uuid(snapshot_id),
                    target: target.read(),
                    terms: RestoreTerms {
                        path,
                        include,
                        exclude,
                        reconciliation: row.word("instruction_json", &reconciliation, Reconciliation::from_word)?,
                        special,
                        read_back,
                    },
                }
            }
            Self::Verify { snapshot_id, files_min, bytes_percent, seed, slice } => Instruction::Verify {
                snapshot_id: SnapshotId::from_uuid(snapshot_id),
                sample: SampleRule { files_min, bytes_percent, seed },
                slice: slice.map(|(number, of)| Slice { number, of }),
            },
        };
        if instruction.kind() == kind {
            Ok(instruction)
        } else {
            Err(row.unreadable(format!("kind is {}, its instruction {}", kind.word(), instruction.kind().word())))
        }
    }
}

impl TargetTwin {
    fn of(target: &Target) -> Self {
        match target {
            Target::Directory(path) => match path.to_str() {
                Some(text) => Self::Directory(text.to_owned()),
                None => Self::DirectoryBytes(path.as_os_str().as_bytes().to_vec()),
            },
            Target::Source { name } => Self::Source { name: name.clone() },
        }
    }

    fn read(self) -> Target {
        match self {
            Self::Directory(text) => Target::Directory(text.into()),
            Self::DirectoryBytes(bytes) => Target::Directory(OsString::from_vec(bytes).into()),
            Self::Source { name } => Target::Source { name },
        }
    }
}

/// Twin of [`Schedule`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleTwin {
    rhythm: RhythmTwin,
    time_zone: String,
    jitter_ms: i64,
    overlap: OverlapTwin,
    /// None for the default, as in rows that an older version wrote: a row is compared as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_window_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    catch_up: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RhythmTwin {
    OnRequest,
    EveryMs(i64),
    Cron(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OverlapTwin {
    Plan,
    Tenant,
}

impl ScheduleTwin {
    pub(crate) fn of(schedule: &Schedule) -> Self {
        Self {
            rhythm: RhythmTwin::of(schedule.rhythm()),
            time_zone: schedule.time_zone().to_owned(),
            jitter_ms: ms_cell(schedule.jitter()),
            overlap: OverlapTwin::of(schedule.overlap()),
            start_window_ms: (schedule.start_window() != START_WINDOW_DEFAULT)
                .then(|| ms_cell(schedule.start_window())),
            catch_up: (schedule.catch_up() != CatchUp::Once).then(|| schedule.catch_up().word().to_owned()),
        }
    }

    /// Returns the schedule, judged again but for its zone.
    pub(crate) fn read(self, row: Row<'_>) -> Result<Schedule, StoreError> {
        let ms = |ms: i64| row.count("schedule_json", ms).map(Duration::from_millis);
        let rhythm = self.rhythm.read(row, "schedule_json")?;
        let overlap = self.overlap.read();
        let start_window = self.start_window_ms.map(ms).transpose()?.unwrap_or(START_WINDOW_DEFAULT);
        let catch_up = self.catch_up.as_deref().map(|word| row.word("schedule_json", word, CatchUp::from_word));
        let catch_up = catch_up.transpose()?.unwrap_or(CatchUp::Once);
        Schedule::kept(rhythm, self.time_zone, ms(self.jitter_ms)?, overlap)
            .map(|schedule| schedule.with_start_window(start_window).with_catch_up(catch_up))
            .map_err(|error| row.unreadable(format!("schedule_json: {error}")))
    }
}

/// Twin of [`BackupTerms`]: what is absent is the default.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BackupTermsTwin {
    #[serde(skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accept_unread: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    skip_if_unchanged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<HooksTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stall_limit_ms: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    follow_ups: Vec<String>,
}

/// Twin of [`Hooks`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HooksTwin {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<HookTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<HookTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_failure: Option<HookTwin>,
}

/// Twin of [`Hook`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookTwin {
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_limit_ms: Option<i64>,
}

impl HookTwin {
    fn read(self, row: Row<'_>) -> Result<Hook, StoreError> {
        let limit = self.time_limit_ms.map(|ms| row.count("hooks", ms).map(Duration::from_millis)).transpose()?;
        Ok(Hook { command: self.command, time_limit: limit })
    }
}

impl HooksTwin {
    fn of(hooks: &Hooks) -> Self {
        let twin = |hook: &Option<Hook>| {
            let hook = hook.as_ref()?;
            Some(HookTwin { command: hook.command.clone(), time_limit_ms: hook.time_limit.map(ms_cell) })
        };
        Self { before: twin(&hooks.before), after: twin(&hooks.after), after_failure: twin(&hooks.after_failure) }
    }

    fn read(self, row: Row<'_>) -> Result<Hooks, StoreError> {
        let hook = |twin: Option<HookTwin>| twin.map(|twin| twin.read(row)).transpose();
        Ok(Hooks { before: hook(self.before)?, after: hook(self.after)?, after_failure: hook(self.after_failure)? })
    }
}

fn names_cell(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn names_read(row: Row<'_>, column: &str, names: &[String]) -> Result<Vec<Name>, StoreError> {
    names.iter().map(|name| row.parse(column, name)).collect()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BackupTermsTwin {
    pub(crate) fn of(terms: &BackupTerms) -> Self {
        let BackupTerms { priority, accept_unread, skip_if_unchanged, hooks, stall_limit, follow_ups } = terms.clone();
        let hooks = (!hooks.is_empty()).then(|| HooksTwin::of(&hooks));
        let stall_limit_ms = (stall_limit != STALL_LIMIT).then(|| ms_cell(stall_limit));
        let follow_ups = names_cell(&follow_ups);
        Self { priority, accept_unread, skip_if_unchanged, hooks, stall_limit_ms, follow_ups }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<BackupTerms, StoreError> {
        let Self { priority, accept_unread, skip_if_unchanged, hooks, stall_limit_ms, follow_ups } = self;
        let hooks = hooks.map(|hooks| hooks.read(row)).transpose()?.unwrap_or_default();
        let stall_limit = stall_limit_ms.map(|ms| row.count("backup_json", ms).map(Duration::from_millis));
        let stall_limit = stall_limit.transpose()?.unwrap_or(STALL_LIMIT);
        let follow_ups = names_read(row, "backup_json", &follow_ups)?;
        Ok(BackupTerms { priority, accept_unread, skip_if_unchanged, hooks, stall_limit, follow_ups })
    }
}

/// Twin of [`Said`]: what is absent is not said.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SaidTwin {
    #[serde(skip_serializing_if = "Option::is_none")]
    rhythm: Option<RhythmTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<OverlapTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_window_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpo_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<RetentionTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_unread: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_if_unchanged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<HooksTwin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stall_limit_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follow_ups: Option<Vec<String>>,
}

impl SaidTwin {
    pub(crate) fn of(said: &Said) -> Self {
        Self {
            rhythm: said.rhythm.as_ref().map(RhythmTwin::of),
            time_zone: said.time_zone.clone(),
            jitter_ms: said.jitter.map(ms_cell),
            overlap: said.overlap.map(OverlapTwin::of),
            start_window_ms: said.start_window.map(ms_cell),
            catch_up: said.catch_up.map(|catch_up| catch_up.word().to_owned()),
            rpo_ms: said.rpo.map(ms_cell),
            retention: said.retention.as_ref().map(RetentionTwin::of),
            priority: said.priority,
            accept_unread: said.accept_unread.clone(),
            skip_if_unchanged: said.skip_if_unchanged,
            hooks: said.hooks.as_ref().map(HooksTwin::of),
            stall_limit_ms: said.stall_limit.map(ms_cell),
            follow_ups: said.follow_ups.as_deref().map(names_cell),
        }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<Said, StoreError> {
        let ms = |ms: Option<i64>| ms.map(|ms| row.count("said_json", ms).map(Duration::from_millis)).transpose();
        let catch_up = self.catch_up.as_deref().map(|word| row.word("said_json", word, CatchUp::from_word));
        let follow_ups = self.follow_ups.map(|names| names_read(row, "said_json", &names));
        Ok(Said {
            rhythm: self.rhythm.map(|rhythm| rhythm.read(row, "said_json")).transpose()?,
            time_zone: self.time_zone,
            jitter: ms(self.jitter_ms)?,
            overlap: self.overlap.map(OverlapTwin::read),
            start_window: ms(self.start_window_ms)?,
            catch_up: catch_up.transpose()?,
            rpo: ms(self.rpo_ms)?,
            retention: self.retention.map(|retention| retention.read(row)).transpose()?,
            priority: self.priority,
            accept_unread: self.accept_unread,
            skip_if_unchanged: self.skip_if_unchanged,
            hooks: self.hooks.map(|hooks| hooks.read(row)).transpose()?,
            stall_limit: ms(self.stall_limit_ms)?,
            follow_ups: follow_ups.transpose()?,
        })
    }
}

impl RhythmTwin {
    fn of(rhythm: &Rhythm) -> Self {
        match rhythm {
            Rhythm::OnRequest => Self::OnRequest,
            Rhythm::Every(interval) => Self::EveryMs(ms_cell(*interval)),
            Rhythm::Cron(expression) => Self::Cron(expression.clone()),
        }
    }

    fn read(self, row: Row<'_>, column: &str) -> Result<Rhythm, StoreError> {
        Ok(match self {
            Self::OnRequest => Rhythm::OnRequest,
            Self::EveryMs(every) => Rhythm::Every(Duration::from_millis(row.count(column, every)?)),
            Self::Cron(expression) => Rhythm::Cron(expression),
        })
    }
}

impl OverlapTwin {
    const fn of(overlap: OverlapKey) -> Self {
        match overlap {
            OverlapKey::Plan => Self::Plan,
            OverlapKey::Tenant => Self::Tenant,
        }
    }

    const fn read(self) -> OverlapKey {
        match self {
            Self::Plan => OverlapKey::Plan,
            Self::Tenant => OverlapKey::Tenant,
        }
    }
}

/// Twin of [`RetentionPolicy`]. Counts and stretches are written as restic's options are: `7`, `unlimited`, `2y5m`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionTwin {
    #[serde(skip_serializing_if = "String::is_empty")]
    last: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hourly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    daily: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    weekly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    monthly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    yearly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within_hourly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within_daily: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within_weekly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within_monthly: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within_yearly: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    minimum: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a field over so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RetentionTwin {
    pub(crate) fn of(policy: &RetentionPolicy) -> Self {
        let count = |count: Count| if count == Count::None { String::new() } else { count.to_string() };
        let within = |within: Within| if within.is_zero() { String::new() } else { within.to_string() };
        Self {
            last: count(policy.keep_last),
            hourly: count(policy.keep_hourly),
            daily: count(policy.keep_daily),
            weekly: count(policy.keep_weekly),
            monthly: count(policy.keep_monthly),
            yearly: count(policy.keep_yearly),
            within: within(policy.keep_within),
            within_hourly: within(policy.keep_within_hourly),
            within_daily: within(policy.keep_within_daily),
            within_weekly: within(policy.keep_within_weekly),
            within_monthly: within(policy.keep_within_monthly),
            within_yearly: within(policy.keep_within_yearly),
            tags: policy.keep_tags.clone(),
            minimum: policy.minimum,
        }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<RetentionPolicy, StoreError> {
        fn value<T: Default + FromStr<Err: Display>>(row: Row<'_>, text: &str) -> Result<T, StoreError> {
            match text {
                "" => Ok(T::default()),
                text => text.parse().map_err(|error| row.unreadable(format!("retention_json: {error}"))),
            }
        }
        Ok(RetentionPolicy {
            keep_last: value(row, &self.last)?,
            keep_hourly: value(row, &self.hourly)?,
            keep_daily: value(row, &self.daily)?,
            keep_weekly: value(row, &self.weekly)?,
            keep_monthly: value(row, &self.monthly)?,
            keep_yearly: value(row, &self.yearly)?,
            keep_within: value(row, &self.within)?,
            keep_within_hourly: value(row, &self.within_hourly)?,
            keep_within_daily: value(row, &self.within_daily)?,
            keep_within_weekly: value(row, &self.within_weekly)?,
            keep_within_monthly: value(row, &self.within_monthly)?,
            keep_within_yearly: value(row, &self.within_yearly)?,
            keep_tags: self.tags,
            minimum: self.minimum,
        })
    }
}

/// Twin of [`UnreadEntry`].
#[derive(Serialize, Deserialize)]
pub(crate) struct UnreadEntryTwin {
    path: String,
    reason: String,
}

impl UnreadEntryTwin {
    pub(crate) fn of(entry: &UnreadEntry) -> Self {
        Self { path: entry.path.clone(), reason: entry.reason.clone() }
    }

    pub(crate) fn read(self) -> UnreadEntry {
        UnreadEntry { path: self.path, reason: self.reason }
    }
}
