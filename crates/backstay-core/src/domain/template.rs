//! Plans that share values: what a plan says itself goes first, then its template, then that one's template, then ours.
//!
//! [`effective`] returns every value together with who said it, so that a person never has to guess which one holds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::digest::time_words;
use super::name::Name;
use super::retention::RetentionPolicy;
use super::schedule::{CatchUp, OverlapKey, Rhythm, START_WINDOW_DEFAULT};

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

/// What an unchanged source makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// A new snapshot of the same tree.
    Publish,
    /// A confirmation of the newest one.
    Confirm,
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
    /// Paths that may stay unread.
    accept_unread: Vec<String> = Vec::new(), |patterns: &Vec<String>| patterns.join(" ");
    /// What an unchanged source makes.
    unchanged: Unchanged = Unchanged::Publish, |unchanged: &Unchanged| match unchanged {
        Unchanged::Publish => "publish".to_owned(),
        Unchanged::Confirm => "confirm".to_owned(),
    };
    /// Higher goes first among jobs that breach at the same time.
    priority: i32 = 0, i32::to_string;
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

/// A template: what it says, and the one above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What it says.
    pub said: Said,
    /// The template whose values it takes where it says nothing; none for the topmost.
    pub above: Option<Name>,
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
pub fn line(name: &Name, templates: &BTreeMap<Name, Template>) -> Result<Vec<(Name, Said)>, TemplateError> {
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
        let team = Said { rpo: hours(8), priority: Some(5), ..Said::default() };
        let retention = Some(RetentionPolicy { keep_daily: "7".parse().unwrap(), ..RetentionPolicy::default() });
        let firm = Said { priority: Some(1), rhythm: Some("@daily".parse().unwrap()), retention, ..Said::default() };
        let above = [(name("team"), team), (name("firm"), firm)];
        check(&plan, &above, "rpo", "4h 0m (plan)");
        check(&plan, &above, "priority", "5 (template team)");
        check(&plan, &above, "rhythm", "@daily (template firm)");
        check(&plan, &above, "retention", "daily 7 (template firm)");
        check(&plan, &above, "time_zone", "UTC (default)");
        check(&Said::default(), &[], "rpo", "1d 2h (default)");
        check(&Said::default(), &[], "retention", "keeps everything (default)");
    }

    #[test]
    fn templates_stand_above_one_another_a_few_deep() {
        let template = |above: Option<&str>| Template { said: Said::default(), above: above.map(name) };
        let one = |text: &str, above| (name(text), template(above));
        let all: BTreeMap<_, _> = [
            one("team", Some("firm")),
            one("firm", None),
            one("a", Some("b")),
            one("b", Some("a")),
            one("x", Some("gone")),
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
        assert_eq!(line("x"), "there is no template gone");
    }
}
