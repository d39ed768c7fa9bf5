//! Templates of plans, and what a plan or a template says itself.

use std::time::Duration;

use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::hook::{Hook, Hooks};
use backstay_core::domain::name::Name;
use backstay_core::domain::schedule::{CatchUp, OverlapKey, Rhythm, Schedule};
use backstay_core::domain::template::{Said, Template};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::retention::RetentionView;
use super::wire::{WireError, change, ms, parse, word, wrong};

/// When a plan's items are backed up: by `cron`, by `every_ms`, or by request alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleView {
    /// A cron expression of five fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// By request alone, whatever a template says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_request: bool,
    /// IANA name of the time zone in which the expression is read; UTC when nobody says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Longest delay that spreads the load; none when nobody says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
    /// Which running jobs an occurrence must not overlap: `plan` (when nobody says one) or `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// How long after its moment an occurrence may still start on time; an hour when nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_window_ms: Option<u64>,
    /// What becomes of what was missed: the newest is started `once`, marked late (when nobody says it), or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
}

impl From<&Schedule> for ScheduleView {
    fn from(schedule: &Schedule) -> Self {
        let said = Said::all(schedule, Duration::ZERO, &Default::default(), &Default::default());
        // What holds has always been told without this word.
        Self { on_request: false, ..(&said).into() }
    }
}

impl From<&Said> for ScheduleView {
    fn from(said: &Said) -> Self {
        let (cron, every_ms, on_request) = match &said.rhythm {
            None => (None, None, false),
            Some(Rhythm::OnRequest) => (None, None, true),
            Some(Rhythm::Every(every)) => (None, Some(ms(*every)), false),
            Some(Rhythm::Cron(expression)) => (Some(expression.clone()), None, false),
        };
        Self {
            cron,
            every_ms,
            on_request,
            time_zone: said.time_zone.clone(),
            jitter_ms: said.jitter.map(ms),
            overlap: said.overlap.map(|overlap| overlap.word().to_owned()),
            start_window_ms: said.start_window.map(ms),
            catch_up: said.catch_up.map(|catch_up| catch_up.word().to_owned()),
        }
    }
}

impl ScheduleView {
    fn rhythm(&self) -> Result<Option<Rhythm>, WireError> {
        match (&self.cron, self.every_ms, self.on_request) {
            (None, None, false) => Ok(None),
            (None, None, true) => Ok(Some(Rhythm::OnRequest)),
            (Some(expression), None, false) => Ok(Some(Rhythm::Cron(expression.clone()))),
            (None, Some(every), false) => Ok(Some(Rhythm::Every(Duration::from_millis(every)))),
            _ => Err(wrong("schedule", "give one of cron, every_ms and on_request")),
        }
    }
}

/// How backups go about their work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupTermsView {
    /// Which of two jobs that breach at the same moment goes first: the higher one, from -100 to 100; 0 when nobody says
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i32>,
    /// Patterns of paths that may stay unread: a snapshot that misses nothing else counts as good. In a pattern `*` stands
    /// for anything within one folder's name, `**` for anything, `?` for one letter. None when nobody says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub accept_unread: Option<Vec<String>>,
    /// Whether a backup that finds nothing changed confirms the newest snapshot and publishes none; no when nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_if_unchanged: Option<bool>,
    /// What an agent runs around each backup, where its owner lets commands run. Taken whole; none when nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HooksView>,
    /// How long a backup may make no progress, from 5 s to a day: then its agent stops it. Half an hour when nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5000, maximum = 86400000)]
    pub stall_limit_ms: Option<u64>,
    /// Names of plans of the tenant that back up after each backup that ended complete or unchanged. Taken whole; none when
    /// nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 20)]
    pub follow_ups: Option<Vec<String>>,
}

/// Commands that an agent runs around a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HooksView {
    /// Before the source is opened. When it fails, nothing is read and the job has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<HookView>,
    /// After a snapshot was published or confirmed. When it fails, the snapshot stays good and the job warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<HookView>,
    /// After an attempt that ended without a snapshot, also one whose `before` failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_failure: Option<HookView>,
}

/// A command and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookView {
    /// The program and its arguments; no shell reads them unless it is named. Never a secret.
    #[schema(min_items = 1)]
    pub command: Vec<String>,
    /// It is ended when it takes longer, from 1 s to a day; 10 minutes when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 86400000)]
    pub time_limit_ms: Option<u64>,
}

impl From<&Hooks> for HooksView {
    fn from(hooks: &Hooks) -> Self {
        let view = |hook: &Option<Hook>| {
            let hook = hook.as_ref()?;
            Some(HookView { command: hook.command.clone(), time_limit_ms: hook.time_limit.map(ms) })
        };
        Self { before: view(&hooks.before), after: view(&hooks.after), after_failure: view(&hooks.after_failure) }
    }
}

impl HooksView {
    /// Reads them; the core judges what they say.
    pub fn read(&self) -> Hooks {
        let hook = |view: &Option<HookView>| {
            let view = view.as_ref()?;
            let time_limit = view.time_limit_ms.map(Duration::from_millis);
            Some(Hook { command: view.command.clone(), time_limit })
        };
        Hooks { before: hook(&self.before), after: hook(&self.after), after_failure: hook(&self.after_failure) }
    }
}

impl From<&Said> for BackupTermsView {
    fn from(said: &Said) -> Self {
        Self {
            priority: said.priority,
            accept_unread: said.accept_unread.clone(),
            skip_if_unchanged: said.skip_if_unchanged,
            hooks: said.hooks.as_ref().map(HooksView::from),
            stall_limit_ms: said.stall_limit.map(ms),
            follow_ups: said.follow_ups.as_ref().map(|names| names.iter().map(ToString::to_string).collect()),
        }
    }
}

impl From<&BackupTerms> for BackupTermsView {
    fn from(terms: &BackupTerms) -> Self {
        Self {
            priority: Some(terms.priority),
            accept_unread: Some(terms.accept_unread.clone()),
            skip_if_unchanged: Some(terms.skip_if_unchanged),
            hooks: Some((&terms.hooks).into()),
            stall_limit_ms: Some(ms(terms.stall_limit)),
            // Clients of before there were follow-ups know no such word.
            follow_ups: (!terms.follow_ups.is_empty())
                .then(|| terms.follow_ups.iter().map(ToString::to_string).collect()),
        }
    }
}

/// What a plan or a template says itself; what is left out, the template above says, or nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SaidView {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// Which snapshots are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
    /// How backups go about their work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupTermsView>,
}

impl From<&Said> for SaidView {
    fn from(said: &Said) -> Self {
        let (schedule, backup) = (ScheduleView::from(said), BackupTermsView::from(said));
        Self {
            schedule: (schedule != ScheduleView::default()).then_some(schedule),
            rpo_ms: said.rpo.map(ms),
            retention: said.retention.as_ref().map(RetentionView::from),
            backup: (backup != BackupTermsView::default()).then_some(backup),
        }
    }
}

impl SaidView {
    /// Reads it.
    ///
    /// # Errors
    /// A word that is none of a field's, two rhythms at once, a rule that is none.
    pub fn read(&self) -> Result<Said, WireError> {
        let schedule = self.schedule.clone().unwrap_or_default();
        let backup = self.backup.clone().unwrap_or_default();
        let names = |texts: Vec<String>| texts.iter().map(|text| parse("backup.follow_ups", text)).collect();
        let follow_ups: Option<Result<Vec<Name>, WireError>> = backup.follow_ups.map(names);
        let overlap = schedule.overlap.as_deref().map(|text| word("schedule.overlap", text, OverlapKey::from_word));
        let catch_up = schedule.catch_up.as_deref().map(|text| word("schedule.catch_up", text, CatchUp::from_word));
        Ok(Said {
            rhythm: schedule.rhythm()?,
            time_zone: schedule.time_zone,
            jitter: schedule.jitter_ms.map(Duration::from_millis),
            overlap: overlap.transpose()?,
            start_window: schedule.start_window_ms.map(Duration::from_millis),
            catch_up: catch_up.transpose()?,
            rpo: self.rpo_ms.map(Duration::from_millis),
            retention: self.retention.as_ref().map(RetentionView::read).transpose()?,
            priority: backup.priority,
            accept_unread: backup.accept_unread,
            skip_if_unchanged: backup.skip_if_unchanged,
            hooks: backup.hooks.as_ref().map(HooksView::read),
            stall_limit: backup.stall_limit_ms.map(Duration::from_millis),
            follow_ups: follow_ups.transpose()?,
        })
    }
}

/// A change of what is said: outside none for what stays, inside none for what is said no more.
#[derive(Debug, Clone)]
pub(crate) struct SaidChange {
    pub(crate) schedule: Option<Option<ScheduleView>>,
    pub(crate) rpo_ms: Option<Option<u64>>,
    pub(crate) retention: Option<Option<RetentionView>>,
    pub(crate) backup: Option<Option<BackupTermsView>>,
}

impl SaidChange {
    /// Returns all that is said afterwards; none when nothing changes.
    pub(crate) fn over(self, was: &Said) -> Result<Option<Said>, WireError> {
        let Self { schedule, rpo_ms, retention, backup } = self;
        if schedule.is_none() && rpo_ms.is_none() && retention.is_none() && backup.is_none() {
            return Ok(None);
        }
        let was = SaidView::from(was);
        let now = SaidView {
            schedule: schedule.unwrap_or(was.schedule),
            rpo_ms: rpo_ms.unwrap_or(was.rpo_ms),
            retention: retention.unwrap_or(was.retention),
            backup: backup.unwrap_or(was.backup),
        };
        now.read().map(Some)
    }
}

/// A template to declare. Plans under it take what they do not say themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant; it stays.
    pub name: String,
    /// Name of the template above, whose values it takes where it says nothing. At most four stand above one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// Which snapshots are kept. Rules are taken whole: those of two templates never mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
    /// How backups go about their work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupTermsView>,
}

impl TemplateCreate {
    /// Returns what it says.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn said(&self) -> Result<Said, WireError> {
        let (schedule, retention, backup) = (self.schedule.clone(), self.retention.clone(), self.backup.clone());
        SaidView { schedule, rpo_ms: self.rpo_ms, retention, backup }.read()
    }
}

/// What is to change of a template; what is left out stays, and of what is null it says nothing any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateUpdate {
    /// Name of the template above; null for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<String>)]
    pub above: Option<Option<String>>,
    /// When; all that it says of it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<ScheduleView>)]
    pub schedule: Option<Option<ScheduleView>>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<u64>)]
    pub rpo_ms: Option<Option<u64>>,
    /// Which snapshots are kept; all rules are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<RetentionView>)]
    pub retention: Option<Option<RetentionView>>,
    /// How backups go about their work; all that it says of it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<BackupTermsView>)]
    pub backup: Option<Option<BackupTermsView>>,
}

impl TemplateUpdate {
    /// Returns all that the template says afterwards, when it said `was` before; none when that stays.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn said(&self, was: &Said) -> Result<Option<Said>, WireError> {
        let (schedule, retention, backup) = (self.schedule.clone(), self.retention.clone(), self.backup.clone());
        SaidChange { schedule, rpo_ms: self.rpo_ms, retention, backup }.over(was)
    }
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Name of the template above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// Which snapshots are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
    /// How backups go about their work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupTermsView>,
}

impl From<&Template> for TemplateView {
    fn from(template: &Template) -> Self {
        let SaidView { schedule, rpo_ms, retention, backup } = (&template.said).into();
        Self {
            id: template.id.to_string(),
            tenant_id: template.tenant_id.to_string(),
            name: template.name.to_string(),
            above: template.above.as_ref().map(ToString::to_string),
            schedule,
            rpo_ms,
            retention,
            backup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::plan::PlanUpdate;

    #[test]
    fn what_is_said_is_read_back_and_null_says_nothing_any_more() {
        let text = r#"{"schedule":{"cron":"@daily","time_zone":"Europe/Zurich"},"rpo_ms":3600000,"retention":{},"backup":{"priority":5,"accept_unread":[]}}"#;
        let view: SaidView = serde_json::from_str(text).unwrap();
        let said = view.read().unwrap();
        assert_eq!((SaidView::from(&said), said.jitter), (view, None));
        assert_eq!(said.retention, Some(Default::default()), "no rule is a word: all is kept");
        let change = |text: &str| {
            let body: PlanUpdate = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&body).unwrap(), text);
            body.said(&said).unwrap()
        };
        assert_eq!(change(r#"{"name":"x","template":null}"#), None, "what it says stays");
        let changed = change(r#"{"schedule":{"on_request":true},"rpo_ms":null}"#).unwrap();
        let expected = Said { rhythm: Some(Rhythm::OnRequest), time_zone: None, rpo: None, ..said.clone() };
        assert_eq!(changed, expected);
        assert_eq!(change(r#"{"schedule":null,"rpo_ms":null,"retention":null,"backup":null}"#), Some(Said::default()));
        let two = r#"{"schedule":{"cron":"@daily","every_ms":3600000}}"#;
        let wrong = serde_json::from_str::<SaidView>(two).unwrap().read().unwrap_err();
        assert!(wrong.to_string().starts_with("schedule: give one of"));
    }
}
