//! The one table of what can be declared: the sections of a file, the keys of each, and a sentence for each key. What is
//! read, what is compared, what is written, the schema and the reference page all come from here.

use crate::shape::{Field, Shape};

/// What can be declared, in the order of dependence: what stands first is made first and retired last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// Whose data it is.
    Tenant,
    /// What a tenant may store.
    Quota,
    /// Where repositories lie.
    Storage,
    /// Where snapshots lie.
    Repository,
    /// What backups read.
    Source,
    /// What plans share.
    Template,
    /// What is protected and how.
    Plan,
    /// What of others is missed when it says nothing.
    Monitor,
    /// Where people are told.
    Channel,
    /// When nothing starts by schedule.
    Maintenance,
    /// How many jobs may run.
    Caps,
}

/// What becomes of a noun that is in no file any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is retired: nothing new is made of it, its data and history stay.
    Retired,
    /// It is taken away: no data hangs on it.
    Removed,
    /// It stays.
    Stays,
}

impl Noun {
    /// All of them, in the order of dependence.
    pub const ALL: [Self; 11] = [
        Self::Tenant,
        Self::Quota,
        Self::Storage,
        Self::Repository,
        Self::Source,
        Self::Template,
        Self::Plan,
        Self::Monitor,
        Self::Channel,
        Self::Maintenance,
        Self::Caps,
    ];

    /// Returns the word for one of them.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Quota => "quota",
            Self::Storage => "storage",
            Self::Repository => "repository",
            Self::Source => "source",
            Self::Template => "template",
            Self::Plan => "plan",
            Self::Monitor => "monitor",
            Self::Channel => "channel",
            Self::Maintenance => "maintenance",
            Self::Caps => "caps",
        }
    }

    /// Returns the key of the section that declares them; the noun's own word for what there is one of.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Tenant => "tenants",
            Self::Quota => "quota",
            Self::Storage => "storages",
            Self::Repository => "repositories",
            Self::Source => "sources",
            Self::Template => "templates",
            Self::Plan => "plans",
            Self::Monitor => "monitors",
            Self::Channel => "channels",
            Self::Maintenance => "maintenance",
            Self::Caps => "caps",
        }
    }

    /// Returns the keys of one of them.
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Tenant => TENANT,
            Self::Quota => QUOTA,
            Self::Storage => STORAGE,
            Self::Repository => REPOSITORY,
            Self::Source => SOURCE,
            Self::Template => TEMPLATE,
            Self::Plan => PLAN,
            Self::Monitor => MONITOR,
            Self::Channel => CHANNEL,
            Self::Maintenance => MAINTENANCE,
            Self::Caps => CAPS,
        }
    }

    /// Says what becomes of one that no file declares any more.
    pub const fn ending(self) -> Ending {
        match self {
            Self::Storage | Self::Repository | Self::Source | Self::Plan | Self::Monitor => Ending::Retired,
            Self::Template | Self::Channel | Self::Maintenance => Ending::Removed,
            Self::Tenant | Self::Quota | Self::Caps => Ending::Stays,
        }
    }

    /// Says whether a key of what is there can be changed; what cannot is declared anew under another name.
    pub fn can_change(self, field: &str) -> bool {
        match self {
            Self::Quota | Self::Template | Self::Monitor | Self::Caps | Self::Maintenance => true,
            Self::Storage => field == "credentials",
            Self::Plan => field != "source",
            Self::Channel => field != "kind",
            Self::Source => field == "settings",
            Self::Repository => field == "verify_within",
            Self::Tenant => false,
        }
    }
}

/// Nouns of a tenant that stand at the top of a file for the tenant `default`.
pub const OF_TENANT: [Noun; 6] =
    [Noun::Storage, Noun::Repository, Noun::Source, Noun::Template, Noun::Plan, Noun::Monitor];

/// The tenant of what stands at the top of a file.
pub const TENANT_DEFAULT: &str = "default";

const SCHEDULE: &[Field] = &[
    Field::new("cron", Shape::Cron, "When: a cron expression of five fields, such as `30 2 * * *`."),
    Field::new("every", Shape::Length(60_000), "When: an interval such as `6h`."),
    Field::new("on_request", Shape::Flag, "By request alone, whatever a template says."),
    Field::new("time_zone", Shape::Zone, "The time zone in which `cron` is read; UTC when nobody says one."),
    Field::new("jitter", Shape::Length(0), "Longest delay that spreads the load, such as `20m`."),
    Field::new(
        "overlap",
        Shape::Word(&["plan", "tenant"]),
        "What it never runs beside: its own plan's jobs, or all such plans of the tenant.",
    ),
    Field::new(
        "start_window",
        Shape::Length(0),
        "How long after its moment an occurrence may still start on time; an hour when nobody says it.",
    ),
    Field::new(
        "catch_up",
        Shape::Word(&["once", "never"]),
        "What becomes of what was missed: the newest is started once, or never.",
    ),
];

const RETENTION: &[Field] = &[
    Field::new("keep_last", Shape::Count, "The newest so many; `all` for all."),
    Field::new("keep_hourly", Shape::Count, "The newest of each of so many hours."),
    Field::new("keep_daily", Shape::Count, "The newest of each of so many days."),
    Field::new("keep_weekly", Shape::Count, "The newest of each of so many weeks."),
    Field::new("keep_monthly", Shape::Count, "The newest of each of so many months."),
    Field::new("keep_yearly", Shape::Count, "The newest of each of so many years."),
    Field::new(
        "keep_within",
        Shape::Stretch,
        "All that are younger than this, counted from the newest: `30d`, `1y6m`.",
    ),
    Field::new("keep_within_hourly", Shape::Stretch, "The newest of each hour of that time."),
    Field::new("keep_within_daily", Shape::Stretch, "The newest of each day of that time."),
    Field::new("keep_within_weekly", Shape::Stretch, "The newest of each week of that time."),
    Field::new("keep_within_monthly", Shape::Stretch, "The newest of each month of that time."),
    Field::new("keep_within_yearly", Shape::Stretch, "The newest of each year of that time."),
    Field::new("minimum", Shape::Number(1, 1_000_000), "Never fewer than these stay, whatever the rules say."),
];

const HOOK: &[Field] = &[
    Field::needed(
        "command",
        Shape::List(&Shape::Text),
        "The program and its arguments, such as `[/usr/local/bin/freeze, /srv]`; no shell reads them unless it is named. \
         No place for secrets.",
    ),
    Field::new("time_limit", Shape::Length(1_000), "How long it may take, such as `90s`; `10m` when left out."),
];

const HOOKS: &[Field] = &[
    Field::new("before", Shape::Record(HOOK), "Before anything is read; when it fails, the backup has failed."),
    Field::new("after", Shape::Record(HOOK), "After a snapshot; when it fails, the backup is good and warns."),
    Field::new("after_failure", Shape::Record(HOOK), "After an attempt without a snapshot, whatever the reason."),
];

const BACKUP: &[Field] = &[
    Field::new(
        "priority",
        Shape::Number(-100, 100),
        "Which of two jobs that breach at the same moment goes first: the higher one; 0 when nobody says it.",
    ),
    Field::new(
        "accept_unread",
        Shape::List(&Shape::Text),
        "Patterns of paths that may stay unread, such as `/home/*/.cache/**`: a snapshot that misses nothing else counts \
         as good.",
    ),
    Field::new(
        "skip_if_unchanged",
        Shape::Flag,
        "Whether a backup that finds nothing changed confirms the newest snapshot and publishes none; no when nobody \
         says it.",
    ),
    Field::new(
        "hooks",
        Shape::Record(HOOKS),
        "Commands that an agent runs around each backup, where `agent.commands` is on. Taken whole: those of two \
         templates never mix.",
    ),
    Field::new(
        "stall_limit",
        Shape::Length(5_000),
        "How long a backup may make no progress, such as `2h`: then it is stopped and has failed; `30m` when nobody \
         says it.",
    ),
    Field::new(
        "follow_ups",
        Shape::List(&Shape::Name),
        "Plans of the tenant that back up after each of its backups that ended complete or unchanged, such as \
         `[offsite]`. Taken whole.",
    ),
];

/// What plans and templates say alike.
const fn schedule() -> Field {
    Field::new(
        "schedule",
        Shape::Record(SCHEDULE),
        "When. What is left out is the template's; without one, it is backed up by request alone.",
    )
}

const fn rpo() -> Field {
    Field::new("rpo", Shape::Length(60_000), "How old the newest good snapshot of an item may be, such as `26h`.")
}

const fn retention() -> Field {
    Field::new(
        "retention",
        Shape::Record(RETENTION),
        "Which snapshots of each item are kept, by restic's rules; all of them when nobody says it, or for `{}`.",
    )
}

const fn backup() -> Field {
    Field::new("backup", Shape::Record(BACKUP), "How backups go about their work. What is left out is the template's.")
}

const TENANT: &[Field] = &[];

const QUOTA: &[Field] = &[
    Field::new("bytes", Shape::Size, "Bytes in all its repositories, such as `500GiB`; no limit when left out."),
    Field::new("snapshots", Shape::Number(0, i64::MAX), "Snapshots that are not forgotten; no limit when left out."),
];

const STORAGE: &[Field] = &[
    Field::needed("kind", Shape::Text, "The storage kind, such as `local` or `s3`; `backstay kinds` lists them."),
    Field::needed("settings", Shape::Settings, "Settings of that kind, such as `{path: /srv/backup}`. They stay."),
    Field::new(
        "credentials",
        Shape::Credentials,
        "Where its keys are found, such as `sealed:s3`, or one for each of `watch`, `read`, `write`, `delete`.",
    ),
];

const PLACE: &[Field] = &[
    Field::needed("kind", Shape::Text, "The storage kind."),
    Field::needed("settings", Shape::Settings, "Settings of that kind."),
];

const REPOSITORY: &[Field] = &[
    Field::needed(
        "storage",
        Shape::NameOr(PLACE),
        "The name of the storage that it lies in; or kind and settings of one of its own.",
    ),
    Field::new("path", Shape::Text, "Where in that storage, such as `team/web`; the repository's name when left out."),
    Field::needed(
        "password",
        Shape::Reference,
        "Where the password is found, such as `sealed:home` or `file:keys/home.key`; never the password.",
    ),
    Field::new("credentials", Shape::Credentials, "Where the keys of a storage of its own are found."),
    Field::new(
        "verify_within",
        Shape::LengthOrNever(86_400_000),
        "Within which time every pack of it is read back, a slice at a time with a restore drill, such as `14d`; `30d` when \
         left out. `never` leaves that to people.",
    ),
];

const SOURCE: &[Field] = &[
    Field::new("kind", Shape::Text, "The source kind; `filesystem` when left out. `backstay kinds` lists them."),
    Field::needed("settings", Shape::Settings, "Settings of that kind, such as `{path: /home}`."),
];

const TEMPLATE: &[Field] = &[
    Field::new("above", Shape::Name, "The template above, whose values it takes where it says nothing."),
    schedule(),
    rpo(),
    retention(),
    backup(),
];

const PLAN: &[Field] = &[
    Field::needed("source", Shape::Name, "What is read."),
    Field::needed("repository", Shape::Name, "Where the snapshots lie."),
    Field::new("template", Shape::Name, "The template whose values it takes where it says nothing itself."),
    schedule(),
    rpo(),
    retention(),
    backup(),
];

const MONITOR: &[Field] = &[
    Field::needed(
        "schedule",
        Shape::Text,
        "When its work is expected to have ended: `every 24h`, or a cron expression such as `30 2 * * *`.",
    ),
    Field::new("time_zone", Shape::Zone, "The time zone in which a cron expression is read; UTC when nobody says one."),
    Field::needed("grace", Shape::Length(60_000), "How late it may be, and how long it may run after a start: `1h`."),
];

const SEVERITIES: &[&str] = &["info", "warning", "error", "critical"];
const TOPICS: Shape = Shape::Word(&[
    "overdue",
    "threatened",
    "failed",
    "parked",
    "damaged",
    "skipped",
    "partial",
    "unproved",
    "undelivered",
    "warned",
    "suspected",
]);

const RULE: &[Field] = &[
    Field::needed("severity_min", Shape::Word(SEVERITIES), "The least severity."),
    Field::new("topics", Shape::List(&TOPICS), "Only of these topics; all when left out."),
    Field::new("tenant", Shape::Name, "Only of this tenant; all that the channel serves when left out."),
    Field::needed("delivery", Shape::Word(&["at_once", "digest"]), "At once, or with the digest."),
];

const CHANNEL: &[Field] = &[
    Field::needed("kind", Shape::Word(&["smtp", "webhook", "ping"]), "How it delivers."),
    Field::needed("settings", Shape::Settings, "What the kind needs to know; secrets by reference."),
    Field::new(
        "rules",
        Shape::List(&Shape::Record(RULE)),
        "What goes there; errors at once when left out. A `ping` has none: it hears of each backup of its plan.",
    ),
    Field::new(
        "digest",
        Shape::Digest,
        "When its digest is due, such as `daily 07:00 Europe/Berlin`; no digest when left out.",
    ),
];

const MAINTENANCE: &[Field] = &[
    Field::new("from", Shape::Instant, "Its first moment; when it is declared, when left out."),
    Field::new("until", Shape::Instant, "The first moment after it; it lasts until it leaves the file, when left out."),
];

const CAP: Shape = Shape::Number(0, u32::MAX as i64);

const EXCEPTION: &[Field] = &[
    Field::needed("of", Shape::Word(&["tenant", "host", "repository", "endpoint", "kind"]), "What it is."),
    Field::needed("name", Shape::Text, "Which one; a repository of another tenant than `default` as TENANT/NAME."),
    Field::needed("cap", CAP, "How many may."),
];

const CAPS: &[Field] = &[
    Field::new("global", CAP, "Jobs at a time in the installation."),
    Field::new("tenant", CAP, "Of each tenant."),
    Field::new("host", CAP, "On each host that sources lie on."),
    Field::new("repository", CAP, "On each repository."),
    Field::new("endpoint", CAP, "At each storage's endpoint."),
    Field::new("kind", CAP, "Of each job kind."),
    Field::new("exceptions", Shape::List(&Shape::Record(EXCEPTION)), "Other numbers for single ones."),
    Field::new("weights", Shape::Named(&Shape::Number(1, 1000)), "Tenants with another weight than 1."),
];
