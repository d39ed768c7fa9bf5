//! What a plan or a template says, as options of the command line.

use backstay_api::types::retention::RetentionView;
use backstay_api::types::template::{BackupTermsView, HookView, HooksView, SaidView, ScheduleView};

use super::error::{CliError, Exit};

/// What is said, by options.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    /// How old the newest good snapshot of an item may be, such as 15m, 26h or 2d; 26h when nobody says it
    #[arg(long, value_name = "LENGTH")]
    rpo: Option<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    work: Work,
}

/// What is no longer said, by options.
#[derive(Debug, clap::Args)]
pub(crate) struct Unsaid {
    /// Say nothing more of schedule, rpo, retention or backup: it is taken from the template above, or is ours
    #[arg(long, value_name = "VALUE", value_parser = ["schedule", "rpo", "retention", "backup"])]
    inherit: Vec<String>,
}

/// What a change says: outside none for what stays, inside none for what is not said any more.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) schedule: Option<Option<ScheduleView>>,
    pub(super) rpo_ms: Option<Option<u64>>,
    pub(super) retention: Option<Option<RetentionView>>,
    pub(super) backup: Option<Option<BackupTermsView>>,
}

impl Words {
    /// Returns what is said where nothing was said before.
    pub(super) fn read(self) -> Result<SaidView, CliError> {
        let said = self.over(SaidView::default(), Unsaid { inherit: Vec::new() })?;
        let (schedule, rpo_ms) = (said.schedule.flatten(), said.rpo_ms.flatten());
        Ok(SaidView { schedule, rpo_ms, retention: said.retention.flatten(), backup: said.backup.flatten() })
    }

    /// Returns what is to change of what was said.
    pub(super) fn over(self, was: SaidView, unsaid: Unsaid) -> Result<Said, CliError> {
        let given = Said {
            schedule: self.when.over(was.schedule.unwrap_or_default())?.map(Some),
            rpo_ms: self.rpo.map(|text| length_ms("--rpo", &text)).transpose()?.map(Some),
            retention: self.keep.over(was.retention.unwrap_or_default()).map(Some),
            backup: self.work.over(was.backup.unwrap_or_default())?.map(Some),
        };
        let gone = |value: &str| unsaid.inherit.iter().any(|gone| gone == value);
        Ok(Said {
            schedule: if gone("schedule") { Some(None) } else { given.schedule },
            rpo_ms: if gone("rpo") { Some(None) } else { given.rpo_ms },
            retention: if gone("retention") { Some(None) } else { given.retention },
            backup: if gone("backup") { Some(None) } else { given.backup },
        })
    }
}

/// When a plan's items are backed up.
#[derive(Debug, clap::Args)]
pub(super) struct When {
    /// When: a cron expression of five fields
    #[arg(long, conflicts_with = "every")]
    cron: Option<String>,
    /// When: an interval such as 6h or 1d12h
    #[arg(long)]
    every: Option<String>,
    /// When: by request alone, whatever a template says
    #[arg(long, conflicts_with_all = ["cron", "every"])]
    on_request: bool,
    /// Time zone of the cron expression; UTC when left out
    #[arg(long)]
    time_zone: Option<String>,
    /// Longest delay that spreads the load, such as 10m
    #[arg(long)]
    jitter: Option<String>,
    /// What it never runs beside: plan (its own work) or tenant (all such plans of the tenant)
    #[arg(long)]
    overlap: Option<String>,
    /// How long after its moment an occurrence may still start on time, such as 2h; an hour when left out
    #[arg(long)]
    start_window: Option<String>,
    /// What becomes of what was missed: once or never
    #[arg(long)]
    catch_up: Option<String>,
}

impl When {
    /// Returns the schedule with what was given in the place of what was there; none when nothing was given.
    fn over(self, was: ScheduleView) -> Result<Option<ScheduleView>, CliError> {
        let Self { cron, every, on_request, time_zone, jitter, overlap, start_window, catch_up } = self;
        let given = [&cron, &every, &time_zone, &jitter, &overlap, &start_window, &catch_up];
        if !on_request && given.iter().all(|given| given.is_none()) {
            return Ok(None);
        }
        let every_ms = every.map(|text| length_ms("--every", &text)).transpose()?;
        let rhythm = match (cron, every_ms) {
            (None, None) if !on_request => (was.cron, was.every_ms, was.on_request),
            (cron, every_ms) => (cron, every_ms, on_request),
        };
        Ok(Some(ScheduleView {
            cron: rhythm.0,
            every_ms: rhythm.1,
            on_request: rhythm.2,
            time_zone: time_zone.or(was.time_zone),
            jitter_ms: jitter.map(|text| length_ms("--jitter", &text)).transpose()?.or(was.jitter_ms),
            overlap: overlap.or(was.overlap),
            start_window_ms: start_window
                .map(|text| length_ms("--start-window", &text))
                .transpose()?
                .or(was.start_window_ms),
            catch_up: catch_up.or(was.catch_up),
        }))
    }
}

/// Which snapshots a plan keeps.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Keep {
    /// Keep the newest so many snapshots of each item; unlimited for all, 0 to drop the rule
    #[arg(long, value_name = "N", value_parser = count)]
    keep_last: Option<i64>,
    /// Keep the newest of each of so many hours
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<i64>,
    /// Keep the newest of each of so many days
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<i64>,
    /// Keep the newest of each of so many weeks
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<i64>,
    /// Keep the newest of each of so many months
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<i64>,
    /// Keep the newest of each of so many years
    #[arg(long, value_name = "N", value_parser = count)]
    keep_yearly: Option<i64>,
    /// Keep all that are younger than this, such as 30d or 1y6m, counted from the newest
    #[arg(long, value_name = "TIME")]
    keep_within: Option<String>,
    /// Never keep fewer than so many
    #[arg(long, value_name = "N")]
    keep_minimum: Option<u32>,
}

/// Reads a count as restic's options have it.
fn count(text: &str) -> Result<i64, String> {
    match text {
        "unlimited" => Ok(-1),
        text => text.parse::<u32>().map(i64::from).map_err(|_| format!("`{text}` is no count; write 7 or unlimited")),
    }
}

impl Keep {
    /// Returns the rules with what was given in the place of what was there; none when nothing was given.
    fn over(self, was: RetentionView) -> Option<RetentionView> {
        let given = RetentionView {
            keep_last: self.keep_last.or(was.keep_last),
            keep_hourly: self.keep_hourly.or(was.keep_hourly),
            keep_daily: self.keep_daily.or(was.keep_daily),
            keep_weekly: self.keep_weekly.or(was.keep_weekly),
            keep_monthly: self.keep_monthly.or(was.keep_monthly),
            keep_yearly: self.keep_yearly.or(was.keep_yearly),
            keep_within: self.keep_within.or_else(|| was.keep_within.clone()),
            minimum: self.keep_minimum.or(was.minimum),
            ..was.clone()
        };
        (given != was).then_some(given)
    }
}

/// How backups go about their work.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Work {
    /// Which of two jobs that breach at the same moment goes first: the higher one, from -100 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// A path that may stay unread, such as '/home/*/.cache/**'; may be given several times, and '' for none
    #[arg(long, value_name = "PATTERN")]
    accept_unread: Vec<String>,
    /// Confirm the newest snapshot when nothing changed, and publish none; true when given without a value
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_if_unchanged: Option<bool>,
    /// A command that an agent runs before anything is read: a program and its arguments with blanks between, or as a
    /// JSON list; '' for none
    #[arg(long, value_name = "COMMAND", value_parser = words_of)]
    hook_before: Option<Argv>,
    /// A command that an agent runs after a snapshot
    #[arg(long, value_name = "COMMAND", value_parser = words_of)]
    hook_after: Option<Argv>,
    /// A command that an agent runs after an attempt that ended without a snapshot
    #[arg(long, value_name = "COMMAND", value_parser = words_of)]
    hook_after_failure: Option<Argv>,
    /// How long each hook may take, such as 90s; 10m when nobody says it
    #[arg(long, value_name = "LENGTH")]
    hook_time_limit: Option<String>,
    /// How long a backup may make no progress before it is stopped, such as 2h; 30m when nobody says it
    #[arg(long, value_name = "LENGTH")]
    stall_limit: Option<String>,
    /// A plan that backs up after each backup that ended complete or unchanged; may be given several times, and '' for none
    #[arg(long = "follow-up", value_name = "PLAN")]
    follow_ups: Vec<String>,
}

/// A program and its arguments; none for no command.
#[derive(Debug, Clone)]
struct Argv(Vec<String>);

/// Reads a command: a JSON list of texts, else words with blanks between.
fn words_of(text: &str) -> Result<Argv, String> {
    if text.trim_start().starts_with('[') {
        let list = serde_json::from_str(text);
        return list
            .map(Argv)
            .map_err(|_| r#"write a JSON list of texts such as ["sh", "-c", "sync; date"]"#.to_owned());
    }
    if text.contains(['"', '\'', '`', '$']) {
        return Err(r#"no shell reads it; write a JSON list such as ["sh", "-c", "echo $HOME"]"#.to_owned());
    }
    Ok(Argv(text.split_whitespace().map(str::to_owned).collect()))
}

impl Work {
    /// Returns the terms with what was given in the place of what was there; none when nothing was given.
    fn over(self, was: BackupTermsView) -> Result<Option<BackupTermsView>, CliError> {
        let limit_ms = self.stall_limit.as_deref().map(|text| length_ms("--stall-limit", text)).transpose()?;
        let hooks = self.hooks(was.hooks.clone())?;
        let patterns = self.accept_unread.iter().filter(|pattern| !pattern.is_empty()).cloned().collect();
        let follow_ups = self.follow_ups.iter().filter(|name| !name.is_empty()).cloned().collect();
        let given = BackupTermsView {
            priority: self.priority.or(was.priority),
            accept_unread: if self.accept_unread.is_empty() { was.accept_unread.clone() } else { Some(patterns) },
            skip_if_unchanged: self.skip_if_unchanged.or(was.skip_if_unchanged),
            hooks,
            stall_limit_ms: limit_ms.or(was.stall_limit_ms),
            follow_ups: if self.follow_ups.is_empty() { was.follow_ups.clone() } else { Some(follow_ups) },
        };
        Ok((given != was).then_some(given))
    }

    /// Returns the hooks with what was given in the place of what was there; none when nothing is said of them.
    fn hooks(&self, was: Option<HooksView>) -> Result<Option<HooksView>, CliError> {
        let limit = self.hook_time_limit.as_deref().map(|text| length_ms("--hook-time-limit", text)).transpose()?;
        let given = [&self.hook_before, &self.hook_after, &self.hook_after_failure];
        if limit.is_none() && given.iter().all(|given| given.is_none()) {
            return Ok(was);
        }
        let was = was.unwrap_or_default();
        let hook = |given: &Option<Argv>, was: Option<HookView>| {
            let hook = match given {
                None => was?,
                Some(Argv(command)) if command.is_empty() => return None,
                Some(Argv(command)) => {
                    HookView { command: command.clone(), time_limit_ms: was.and_then(|was| was.time_limit_ms) }
                }
            };
            Some(HookView { time_limit_ms: limit.or(hook.time_limit_ms), ..hook })
        };
        Ok(Some(HooksView {
            before: hook(given[0], was.before),
            after: hook(given[1], was.after),
            after_failure: hook(given[2], was.after_failure),
        }))
    }
}

/// Reads a length of time such as `90m`.
pub(super) fn length_ms(option: &str, text: &str) -> Result<u64, CliError> {
    let wrong = || {
        CliError::new(Exit::Input, format!("{option} `{text}` is not a length of time"))
            .hint("Write one such as 6h, 90m or 1d12h.")
    };
    let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(length.as_millis()).map_err(|_| wrong())
}
