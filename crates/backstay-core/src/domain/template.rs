//! Plans that share values: what a plan says itself goes first, then its template, then that one's template, then ours.
//!
//! [`effective`] returns every value together with who said it, so that a person never has to guess which one holds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::backup::{BackupTerms, BackupTermsError, accept_unread_judge, priority_judge, stall_limit_judge};
use super::digest::time_words;
use super::follow_up;
use super::hook::Hooks;
use super::id::{TemplateId, TenantId};
use super::lease::STALL_LIMIT;
use super::name::Name;
use super::plan::Plan;
use super::retention::RetentionPolicy;
use super::schedule::{CatchUp, OverlapKey, Rhythm, START_WINDOW_DEFAULT, Schedule, ScheduleError};

/// Templates above one another: enough for company, department, team and one more.
pub const DEPTH_MAX: usize = 4;

/// RPO of a plan of which nobody says one: a day, and time for the backup itself.
pub const RPO_DEFAULT: Duration = Duration::from_secs(26 * 3_600);

/// Who said a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaidBy {
    /// The plan itself.
    Plan,
    /// A template.
    Template(Name),
    /// Nobody; it is ours.
    Default,
}

impl fmt::Display for SaidBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => write!(f, "plan"),
            Self::Template(name) => write!(f, "template {}", name.as_str()),
            Self::Default => write!(f, "default"),
        }
    }
}

/// A value that holds, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<T> {
    /// What holds.
    pub value: T,
    /// Who said it.
    pub said_by: SaidBy,
}

macro_rules! values {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $show:expr;)+) => {
        /// What a plan or a template says; none where it says nothing.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Said {
            $($(#[$doc])* pub $field: Option<$type>,)+
        }

        /// What holds for a plan.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Effective {
            $($(#[$doc])* pub $field: Value<$type>,)+
        }

        /// Returns what holds for a plan under its templates, the nearest one first.
        pub fn effective(plan: &Said, templates: &[(Name, Said)]) -> Effective {
            Effective { $($field: pick(plan, templates, |said| said.$field.as_ref(), $default),)+ }
        }

        impl Effective {
            /// Returns a line for each value: its name, the value, who said it.
            pub fn lines(&self) -> Vec<(&'static str, String, String)> {
                vec![$((stringify!($field), $show(&self.$field.value), self.$field.said_by.to_string()),)+]
            }
        }
    };
}

values! {
    /// What names the occurrences.
    rhythm: Rhythm = Rhythm::OnRequest, |rhythm: &Rhythm| match rhythm {
        Rhythm::OnRequest => "on request".to_owned(),
        Rhythm::Every(interval) => format!("every {}", time_words(*interval)),
        Rhythm::Cron(expression) => expression.clone(),
    };
    /// The zone in which it is read.
    time_zone: String = "UTC".to_owned(), String::clone;
    /// The longest delay that spreads the load.
    jitter: Duration = Duration::ZERO, |length: &Duration| time_words(*length);
    /// What an occurrence must not overlap.
    overlap: OverlapKey = OverlapKey::Plan, |key: &OverlapKey| match key {
        OverlapKey::Plan => "plan".to_owned(),
        OverlapKey::Tenant => "tenant".to_owned(),
    };
    /// How long after its moment an occurrence may start.
    start_window: Duration = START_WINDOW_DEFAULT, |length: &Duration| time_words(*length);
    /// What becomes of a missed one.
    catch_up: CatchUp = CatchUp::Once, |catch_up: &CatchUp| catch_up.word().to_owned();
    /// How old the newest good snapshot may be.
    rpo: Duration = RPO_DEFAULT, |length: &Duration| time_words(*length);
    /// What is kept. A policy is taken whole: rules of two policies never mix.
    retention: RetentionPolicy = RetentionPolicy::default(), RetentionPolicy::words;
    /// Which of two jobs that breach at the same moment goes first.
    priority: i32 = 0, i32::to_string;
    /// What may stay unread. A list is taken whole.
    accept_unread: Vec<String> = Vec::new(), |patterns: &Vec<String>| match patterns.as_slice() {
        [] => "nothing".to_owned(),
        patterns => patterns.join(", "),
    };
    /// Whether no snapshot is published when nothing changed.
    skip_if_unchanged: bool = false, |skip: &bool| if *skip { "yes" } else { "no" }.to_owned();
    /// What runs around each backup. Hooks are taken whole: those of two templates never mix.
    hooks: Hooks = Hooks::default(), Hooks::words;
    /// How long a backup may make no progress.
    stall_limit: Duration = STALL_LIMIT, |length: &Duration| time_words(*length);
    /// Plans that back up after a good backup. A list is taken whole.
    follow_ups: Vec<Name> = Vec::new(), |names: &Vec<Name>| match names.as_slice() {
        [] => "nothing".to_owned(),
        names => names.iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
    };
}

fn pick<T: Clone>(plan: &Said, templates: &[(Name, Said)], of: impl Fn(&Said) -> Option<&T>, default: T) -> Value<T> {
    if let Some(value) = of(plan) {
        return Value { value: value.clone(), said_by: SaidBy::Plan };
    }
    for (name, said) in templates {
        if let Some(value) = of(said) {
            return Value { value: value.clone(), said_by: SaidBy::Template(name.clone()) };
        }
    }
    Value { value: default, said_by: SaidBy::Default }
}

impl Said {
    /// Returns what says each value of its own.
    pub fn all(schedule: &Schedule, rpo: Duration, retention: &RetentionPolicy, backup: &BackupTerms) -> Self {
        Self {
            rhythm: Some(schedule.rhythm().clone()),
            time_zone: Some(schedule.time_zone().to_owned()),
            jitter: Some(schedule.jitter()),
            overlap: Some(schedule.overlap()),
            start_window: Some(schedule.start_window()),
            catch_up: Some(schedule.catch_up()),
            rpo: Some(rpo),
            retention: Some(retention.clone()),
            priority: Some(backup.priority),
            accept_unread: Some(backup.accept_unread.clone()),
            skip_if_unchanged: Some(backup.skip_if_unchanged),
            hooks: Some(backup.hooks.clone()),
            stall_limit: Some(backup.stall_limit),
            follow_ups: Some(backup.follow_ups.clone()),
        }
    }

    /// Judges what it says of the schedule.
    ///
    /// # Errors
    /// Says which part is wrong, by its name on the wire.
    pub fn judge(&self) -> Result<(), ScheduleError> {
        effective(self, &[]).schedule().map(drop)
    }

    /// Judges what it says of backups.
    ///
    /// # Errors
    /// Says which part is wrong, by its name on the wire.
    pub fn judge_backup(&self) -> Result<(), BackupTermsError> {
        self.priority.map_or(Ok(()), priority_judge)?;
        self.accept_unread.as_deref().map_or(Ok(()), accept_unread_judge)?;
        self.hooks.as_ref().map_or(Ok(()), Hooks::judge)?;
        self.follow_ups.as_deref().map_or(Ok(()), follow_up::judge_list)?;
        self.stall_limit.map_or(Ok(()), stall_limit_judge)
    }
}

impl Effective {
    /// Returns the schedule that holds.
    ///
    /// # Errors
    /// Says which part is wrong; none when each that says something was judged.
    pub fn schedule(&self) -> Result<Schedule, ScheduleError> {
        let (rhythm, zone) = (self.rhythm.value.clone(), self.time_zone.value.clone());
        let schedule = Schedule::new(rhythm, zone, self.jitter.value, self.overlap.value)?;
        Ok(schedule.with_start_window(self.start_window.value).with_catch_up(self.catch_up.value))
    }

    /// Returns how backups go about their work.
    pub fn backup(&self) -> BackupTerms {
        BackupTerms {
            priority: self.priority.value,
            accept_unread: self.accept_unread.value.clone(),
            skip_if_unchanged: self.skip_if_unchanged.value,
            hooks: self.hooks.value.clone(),
            stall_limit: self.stall_limit.value,
            follow_ups: self.follow_ups.value.clone(),
        }
    }
}

/// A template of a tenant: what it says, and the one above it. Its name stays as long as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
    /// What it says.
    pub said: Said,
    /// The template whose values it takes where it says nothing; none for the topmost.
    pub above: Option<Name>,
}

/// The templates of a tenant.
pub type Templates = BTreeMap<Name, Template>;

/// Returns the templates of one tenant among all of these.
pub fn of_tenant(all: impl IntoIterator<Item = Template>, tenant: TenantId) -> Templates {
    let own = all.into_iter().filter(|row| row.tenant_id == tenant);
    own.map(|row| (row.name.clone(), row)).collect()
}

/// Why templates do not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no such template.
    #[error("there is no template {}", name.as_str())]
    Unknown {
        /// What was asked for.
        name: Name,
    },
    /// It stands above itself, or too many stand above it.
    #[error("template {} has more than {DEPTH_MAX} templates above one another, or stands above itself", name.as_str())]
    Deep {
        /// The one that was asked for.
        name: Name,
    },
}

/// Returns a template and those above it, nearest first, as [`effective`] takes them.
///
/// # Errors
/// Says which one is unknown, or that they stand above one another without end.
pub fn line(name: &Name, templates: &Templates) -> Result<Vec<(Name, Said)>, TemplateError> {
    let mut found = Vec::new();
    let mut next = Some(name);
    while let Some(current) = next {
        let template = templates.get(current).ok_or_else(|| TemplateError::Unknown { name: current.clone() })?;
        found.push((current.clone(), template.said.clone()));
        if found.len() > DEPTH_MAX {
            return Err(TemplateError::Deep { name: name.clone() });
        }
        next = template.above.as_ref();
    }
    Ok(found)
}

/// Judges all templates of a tenant.
///
/// # Errors
/// Names one that stands under an unknown one, above itself, or under too many.
pub fn judge(templates: &Templates) -> Result<(), TemplateError> {
    templates.keys().try_for_each(|name| line(name, templates).map(drop))
}

/// Why what holds for a plan cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// Its templates do not hold together.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A part of the schedule is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Returns what holds for a plan under its template.
///
/// # Errors
/// [`TemplateError`].
pub fn of_plan(plan: &Plan, templates: &Templates) -> Result<Effective, TemplateError> {
    let above = plan.template.as_ref().map(|name| line(name, templates)).transpose()?;
    Ok(effective(&plan.said, &above.unwrap_or_default()))
}

/// Returns a plan whose values are those that hold.
///
/// # Errors
/// [`SettleError`].
pub fn settled(plan: &Plan, templates: &Templates) -> Result<Plan, SettleError> {
    let holds = of_plan(plan, templates)?;
    let schedule = holds.schedule()?;
    let backup = holds.backup();
    Ok(Plan { schedule, rpo: holds.rpo.value, retention: holds.retention.value, backup, ..plan.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn hours(hours: u64) -> Option<Duration> {
        Some(Duration::from_secs(hours * 3_600))
    }

    fn check(plan: &Said, templates: &[(Name, Said)], field: &str, expected: &str) {
        let lines = effective(plan, templates).lines();
        let (_, value, said_by) = lines.iter().find(|(name, _, _)| *name == field).unwrap();
        assert_eq!(format!("{value} ({said_by})"), expected);
    }

    #[test]
    fn the_nearest_word_holds() {
        let plan = Said { rpo: hours(4), ..Said::default() };
        let jitter = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        let team = Said { rpo: hours(8), jitter: jitter(5), ..Said::default() };
        let retention = Some(RetentionPolicy { keep_daily: "7".parse().unwrap(), ..RetentionPolicy::default() });
        let firm = Said { jitter: jitter(1), rhythm: Some("@daily".parse().unwrap()), retention, ..Said::default() };
        let above = [(name("team"), team), (name("firm"), firm)];
        check(&plan, &above, "rpo", "4h 0m (plan)");
        check(&plan, &above, "jitter", "5m (template team)");
        check(&plan, &above, "rhythm", "@daily (template firm)");
        check(&plan, &above, "retention", "daily 7 (template firm)");
        check(&plan, &above, "time_zone", "UTC (default)");
        check(&Said::default(), &[], "rpo", "1d 2h (default)");
        check(&Said::default(), &[], "retention", "keeps everything (default)");
    }

    #[test]
    fn who_says_all_takes_nothing_from_above() {
        let schedule = effective(&Said::default(), &[]).schedule().unwrap();
        let said = Said::all(&schedule, RPO_DEFAULT, &RetentionPolicy::default(), &BackupTerms::default());
        let above =
            [(name("team"), Said { time_zone: Some("Europe/Zurich".to_owned()), rpo: hours(1), ..said.clone() })];
        assert!(effective(&said, &above).lines().iter().all(|(_, _, said_by)| said_by == "plan"));
        let wrong = Said { time_zone: Some("Mars/Base".to_owned()), ..Said::default() };
        assert!(wrong.judge().unwrap_err().to_string().contains("Mars/Base"));
    }

    #[test]
    fn templates_stand_above_one_another_a_few_deep() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let one = |text: &str, above: Option<&str>| {
            let (id, tenant_id) = (TemplateId::new(now, [0; 10]), TenantId::new(now, [0; 10]));
            (name(text), Template { id, tenant_id, name: name(text), said: Said::default(), above: above.map(name) })
        };
        let all: Templates = [
            one("team", Some("firm")),
            one("firm", None),
            one("a", Some("b")),
            one("b", Some("a")),
            one("x", Some("gone")),
            one("t1", Some("t2")),
            one("t2", Some("t3")),
            one("t3", Some("t4")),
            one("t4", Some("t5")),
            one("t5", None),
        ]
        .into();
        let line = |text: &str| {
            line(&name(text), &all).map_or_else(
                |error| error.to_string(),
                |line| line.iter().map(|(name, _)| name.as_str().to_owned()).collect::<Vec<_>>().join(" "),
            )
        };
        assert_eq!((line("team"), line("firm")), ("team firm".to_owned(), "firm".to_owned()));
        assert!(line("a").contains("stands above itself"));
        // Four above one another hold; a fifth is one too many.
        assert_eq!((line("t2"), line("t1").contains("more than 4")), ("t2 t3 t4 t5".to_owned(), true));
        assert_eq!(line("x"), "there is no template gone");
        assert!(judge(&all).is_err());
        let good: Templates = all.into_iter().filter(|(name, _)| ["team", "firm"].contains(&name.as_str())).collect();
        assert_eq!(judge(&good), Ok(()));
    }
}
