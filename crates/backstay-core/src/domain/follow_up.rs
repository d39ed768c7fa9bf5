//! What follows a good backup: backups by other plans of the tenant, which it names.
//!
//! Names are followed when a backup ends; here is what may be declared: nothing goes in a circle. Who comes in: whoever
//! declares a plan or a template, and the end of a job.

use std::collections::{BTreeMap, BTreeSet};

use super::name::Name;

/// Most plans that follow one plan: who needs more gives them a schedule.
pub const FOLLOW_UPS_MAX: usize = 20;

/// Most plans that follow one another behind the first: a night has room for no more, and a circle that two changes at
/// once make ends here.
pub const FOLLOW_UPS_DEEP_MAX: usize = 8;

/// Which plans follow each plan of a tenant, by their names.
pub type FollowUps = BTreeMap<Name, Vec<Name>>;

/// Why a plan cannot be followed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowUpError {
    /// There are too many.
    #[error("{count} plans are more than {FOLLOW_UPS_MAX}")]
    Many {
        /// How many were given.
        count: usize,
    },
    /// One is named twice.
    #[error("plan {name} is named twice")]
    Twice {
        /// Its name.
        name: Name,
    },
    /// The tenant has no such plan.
    #[error("its tenant has no plan {name}")]
    Unknown {
        /// What was given.
        name: Name,
    },
    /// It would follow itself.
    #[error("plan {} would follow itself: {}", path.first().map_or("", Name::as_str), words(path))]
    Circle {
        /// From the plan to itself, over those between.
        path: Vec<Name>,
    },
    /// Too many would follow one another.
    #[error("more than {FOLLOW_UPS_DEEP_MAX} plans would follow one another behind plan {name}")]
    Deep {
        /// The first one.
        name: Name,
    },
    /// Others name it.
    #[error("it follows {}, by the name that it has", plans(by))]
    Named {
        /// Those that it follows.
        by: Vec<Name>,
    },
}

fn plans(names: &[Name]) -> String {
    names.iter().map(|name| format!("plan {name}")).collect::<Vec<_>>().join(", ")
}

fn words(path: &[Name]) -> String {
    path.iter().map(Name::as_str).collect::<Vec<_>>().join(", then ")
}

/// Judges a list by itself.
///
/// # Errors
/// Too many, or one of them twice.
pub fn judge_list(names: &[Name]) -> Result<(), FollowUpError> {
    if names.len() > FOLLOW_UPS_MAX {
        return Err(FollowUpError::Many { count: names.len() });
    }
    let mut met = BTreeSet::new();
    match names.iter().find(|name| !met.insert(*name)) {
        Some(name) => Err(FollowUpError::Twice { name: name.clone() }),
        None => Ok(()),
    }
}

/// Judges what follows one plan of a tenant, in all that follows there.
///
/// # Errors
/// Names the first that is unknown, the way back to the plan itself, or that too many follow one another.
pub fn judge(plan: &Name, all: &FollowUps) -> Result<(), FollowUpError> {
    let next = |name: &Name| all.get(name).map(Vec::as_slice).unwrap_or_default();
    if let Some(name) = next(plan).iter().find(|name| !all.contains_key(*name)) {
        return Err(FollowUpError::Unknown { name: name.clone() });
    }
    // From which one each was met first.
    let mut from: BTreeMap<&Name, &Name> = BTreeMap::new();
    let mut layer = BTreeSet::from([plan]);
    for _ in 0..=FOLLOW_UPS_DEEP_MAX {
        let mut behind = BTreeSet::new();
        for name in layer {
            for follower in next(name) {
                from.entry(follower).or_insert(name);
                behind.insert(follower);
            }
        }
        if behind.contains(plan) {
            return Err(FollowUpError::Circle { path: way_back(plan, &from) });
        }
        layer = behind;
    }
    if layer.is_empty() { Ok(()) } else { Err(FollowUpError::Deep { name: plan.clone() }) }
}

/// Returns the way from a plan to itself.
fn way_back(plan: &Name, from: &BTreeMap<&Name, &Name>) -> Vec<Name> {
    let mut path = vec![plan.clone()];
    let mut at = plan;
    while let Some(before) = from.get(at).filter(|_| path.len() <= from.len()) {
        path.push((*before).clone());
        at = before;
        if at == plan {
            break;
        }
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn names(text: &str) -> Vec<Name> {
        text.split_whitespace().map(name).collect()
    }

    fn check(plan: &str, all: &[(&str, &str)], expected: &str) {
        let all = all.iter().map(|(plan, after)| (name(plan), names(after))).collect();
        let answer = judge(&name(plan), &all).map_or_else(|error| error.to_string(), |()| "good".to_owned());
        assert_eq!(answer, expected);
    }

    #[test]
    fn nothing_goes_in_a_circle() {
        check("a", &[("a", "b c"), ("b", "c"), ("c", "")], "good");
        check("a", &[("a", "b gone"), ("b", "")], "its tenant has no plan gone");
        check("a", &[("a", "a")], "plan a would follow itself: a, then a");
        check(
            "a",
            &[("a", "b"), ("b", "c d"), ("c", "a"), ("d", "")],
            "plan a would follow itself: a, then b, then c, then a",
        );
        // A name that is gone elsewhere is not this plan's fault.
        check("a", &[("a", "b"), ("b", "gone")], "good");
        // A circle of others is not gone round for ever.
        check("a", &[("a", "b"), ("b", "c"), ("c", "b")], "more than 8 plans would follow one another behind plan a");
    }

    #[test]
    fn a_few_follow_one_another() {
        let line = |length: usize| -> FollowUps {
            (0..=length)
                .map(|at| {
                    (name(&format!("p{at}")), if at == length { Vec::new() } else { names(&format!("p{}", at + 1)) })
                })
                .collect()
        };
        assert_eq!(judge(&name("p0"), &line(FOLLOW_UPS_DEEP_MAX)), Ok(()));
        assert_eq!(judge(&name("p0"), &line(FOLLOW_UPS_DEEP_MAX + 1)), Err(FollowUpError::Deep { name: name("p0") }));
    }

    #[test]
    fn a_list_is_short_and_names_each_once() {
        assert_eq!(judge_list(&names("a b")), Ok(()));
        assert_eq!(judge_list(&names("a b a")).unwrap_err().to_string(), "plan a is named twice");
        let many: Vec<Name> = (0..=FOLLOW_UPS_MAX).map(|at| name(&format!("p{at}"))).collect();
        assert_eq!(judge_list(&many).unwrap_err().to_string(), "21 plans are more than 20");
    }
}
