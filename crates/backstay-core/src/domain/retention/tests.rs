//! Tests of retention: cases in text, the record of restic's own answers, and what holds for every group.

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-11-21T12:00:00Z";

fn policy(text: &str) -> RetentionPolicy {
    let mut policy = RetentionPolicy::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let count = || value.parse().unwrap();
        let within = || value.parse().unwrap();
        match name {
            "last" => policy.keep_last = count(),
            "hourly" => policy.keep_hourly = count(),
            "daily" => policy.keep_daily = count(),
            "weekly" => policy.keep_weekly = count(),
            "monthly" => policy.keep_monthly = count(),
            "yearly" => policy.keep_yearly = count(),
            "within" => policy.keep_within = within(),
            "within-hourly" => policy.keep_within_hourly = within(),
            "within-daily" => policy.keep_within_daily = within(),
            "within-weekly" => policy.keep_within_weekly = within(),
            "within-monthly" => policy.keep_within_monthly = within(),
            "within-yearly" => policy.keep_within_yearly = within(),
            "tag" => policy.keep_tags.push(value.split(',').map(str::to_owned).collect()),
            "min" => policy.minimum = value.parse().unwrap(),
            _ => panic!("{name}"),
        }
    }
    policy
}

fn candidate(id: &str, time: &str) -> Candidate<String> {
    let taken_at = time.parse::<Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let nothing = Vec::new();
    Candidate {
        id: id.to_owned(),
        parent: None,
        taken_at,
        tags: nothing,
        is_good: true,
        is_pinned: false,
        is_held: false,
        protected_until: None,
        is_unwanted: false,
    }
}

/// Reads `a 20T09 partial pin hold unwanted until=25T00 parent=b tag=x`: days are of November 2026.
fn line(text: &str) -> Candidate<String> {
    let moment = |text: &str| format!("2026-11-{text}:00:00Z");
    let mut words = text.split_whitespace();
    let mut candidate = candidate(words.next().unwrap(), &moment(words.next().unwrap()));
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("partial", _) => candidate.is_good = false,
            ("pin", _) => candidate.is_pinned = true,
            ("hold", _) => candidate.is_held = true,
            ("unwanted", _) => candidate.is_unwanted = true,
            ("until", until) => candidate.protected_until = Some(moment(until).parse().unwrap()),
            ("parent", parent) => candidate.parent = Some(parent.to_owned()),
            ("tag", tag) => candidate.tags.push(tag.to_owned()),
            _ => panic!("{word}"),
        }
    }
    candidate
}

/// Snapshots are separated by commas; the answer lists the kept ones with their reasons, then what is dropped.
fn check(rules: &str, snapshots: &str, expected: &str) {
    let group: Vec<_> = snapshots.split(',').map(line).collect();
    let preview = keep(&policy(rules), &group, NOW.parse().unwrap());
    let kept = preview.verdicts.iter().filter(|verdict| verdict.is_kept());
    let kept: Vec<_> = kept.map(|verdict| verdict.words().replace("kept:", &format!("{}:", verdict.id))).collect();
    assert_eq!(format!("{} | {}", kept.join(", "), preview.dropped.join(" ")), expected, "{rules}: {snapshots}");
}

#[test]
fn rules_of_counts() {
    let days = "a 20T09,b 20T08,c 19T09,d 18T09";
    check("last=1", days, "a: last; newest good one | b c d");
    check("daily=2", days, "a: daily; newest good one, c: daily | b d");
    check("last=1 daily=3", days, "a: last; daily; newest good one, c: daily, d: daily | b");
    check("hourly=unlimited", "a 20T09,b 20T08", "a: hourly; newest good one, b: hourly | ");
    check("weekly=2", "a 20T09,b 16T00,c 15T23", "a: weekly; newest good one, c: weekly | b");
    check("monthly=5", "a 20T09,b 19T09,c 18T09", "a: monthly; newest good one, c: oldest monthly | b");
    check("monthly=1", "a 20T09,b 19T09,c 18T09", "a: monthly; newest good one | b c");
    check("", "a 20T09,b 19T09", "a: the policy names no rule; newest good one, b: the policy names no rule | ");
}

#[test]
fn rules_of_time_and_tags() {
    check("within=1d", "a 20T09,b 19T10,c 19T09", "a: within 1d; newest good one, b: within 1d | c");
    check(
        "within-daily=2d",
        "a 20T09,b 20T08,c 19T09,d 18T09",
        "a: daily within 2d; newest good one, c: daily within 2d | b d",
    );
    check("tag=x,y tag=z", "a 20T09,b 19T09 tag=x,c 18T09 tag=y tag=x", "a: newest good one, c: tags x,y | b");
    check("tag=", "a 20T09 tag=x,b 19T09", "a: newest good one, b: tags  | ");
}

#[test]
fn what_no_policy_overrules() {
    check("last=1", "a 20T09,b 19T09 pin,c 18T09 hold", "a: last; newest good one, b: pinned, c: legal hold | ");
    check(
        "last=1",
        "a 20T09,b 19T09 until=22T00,c 18T09 until=21T12",
        "a: last; newest good one, b: protected until 2026-11-22T00:00:00Z | c",
    );
    check("last=1", "a 20T09 partial,b 19T09,c 18T09", "a: last, b: newest good one | c");
    check("tag=x", "a 20T09 partial,b 19T09 partial", "a: newest one, as none is good | b");
    check("last=1 min=2", "a 20T09,b 19T09 partial,c 18T09", "a: last; newest good one, c: minimum of 2 | b");
    check("last=1 min=3", "a 20T09,b 19T09 partial", "a: last; newest good one, b: minimum of 3 | ");
    check("daily=2 min=2", "a 20T09,b 20T08,c 19T09", "a: daily; newest good one, c: daily | b");
}

/// Red when the rules see what is unwanted, when it counts for the minimum, or when the newest good one goes.
#[test]
fn what_is_unwanted_goes_unless_more_than_a_rule_keeps_it() {
    check("last=2", "a 20T09,b 19T09 unwanted,c 18T09", "a: last; newest good one, c: last | b");
    check("last=1", "a 20T09 unwanted,b 19T09", "a: newest good one, b: last | ");
    check("", "a 20T09,b 19T09 unwanted", "a: the policy names no rule; newest good one | b");
    check("last=1 min=2", "a 20T09,b 19T09 unwanted,c 18T09", "a: last; newest good one, c: minimum of 2 | b");
    check(
        "last=3",
        "a 20T09,b 19T09 unwanted pin,c 18T09 unwanted hold",
        "a: last; newest good one, b: pinned, c: legal hold | ",
    );
    check(
        "last=1",
        "a 20T09 parent=b,b 19T09 unwanted,c 18T09 unwanted until=22T00",
        "a: last; newest good one, b: a needs it, c: protected until 2026-11-22T00:00:00Z | ",
    );
    check("last=1", "f 22T09 unwanted,a 20T09", "a: last; newest good one | f");
}

/// Red when the newest good one of an item that nobody backs up any more cannot be let go.
#[test]
fn without_a_plan_all_stays_but_what_is_unwanted() {
    let group: Vec<_> =
        "a 20T09 unwanted parent=b,b 19T09 unwanted,c 18T09 unwanted pin,d 17T09".split(',').map(line).collect();
    let preview = keep_unplanned(&group, NOW.parse().unwrap());
    assert_eq!(preview.dropped, ["a", "b"], "children before their parents");
    let words: Vec<String> = preview.verdicts.iter().map(Verdict::words).collect();
    let dropped = "dropped: no rule keeps it";
    assert_eq!(words, [dropped, dropped, "kept: pinned", "kept: no plan backs it up any more"]);
}

#[test]
fn a_snapshot_of_the_future_stays_and_keeps_nothing_alive() {
    let future = "dated in the future, so it keeps no other alive";
    check("last=1", "f 30T09,a 20T09,b 19T09", &format!("f: {future}, a: last; newest good one | b"));
    check("within=1d", "f 22T09,a 20T09,b 18T09", &format!("f: {future}, a: within 1d; newest good one | b"));
    check(
        "last=1 min=2",
        "f 22T09,a 20T09,b 18T09",
        &format!("f: {future}, a: last; newest good one, b: minimum of 2 | "),
    );
    check("last=1", "f 22T09", &format!("f: {future} | "));
}

/// Red when the only good snapshot goes because a person wants it gone and the clock has gone back behind it.
#[test]
fn the_only_good_snapshot_of_the_future_stays() {
    check("last=1", "f 22T09 unwanted", "f: newest good one | ");
    check("last=1", "g 23T09 unwanted,f 22T09 unwanted", "g: newest good one | f");
    check("last=1", "f 22T09 unwanted,a 20T09 partial", "f: newest good one, a: last; newest one, as none is good | ");
    let future = "dated in the future, so it keeps no other alive";
    check("last=1", "g 23T09 unwanted,f 22T09", &format!("f: {future} | g"));
    check("last=1", "g 23T09 unwanted pin,f 22T09 unwanted", "g: pinned | f");
}

#[test]
fn parents_are_kept_and_children_go_first() {
    check(
        "last=1",
        "a 20T09 parent=b,b 19T09 parent=c,c 18T09",
        "a: last; newest good one, b: a needs it, c: b needs it | ",
    );
    check("last=1", "a 20T09,b 19T09,c 18T09 parent=b", "a: last; newest good one | c b");
    check(
        "last=1",
        "f 22T09 parent=b,a 20T09,b 18T09",
        "f: dated in the future, so it keeps no other alive, a: last; newest good one, b: f needs it | ",
    );
    check(
        "last=1",
        "a 20T09,b 19T09 parent=c,c 18T09 parent=b",
        "a: last; newest good one, b: c needs it, c: b needs it | ",
    );
    check("last=1", "a 20T09 parent=gone,b 19T09", "a: last; newest good one | b");
}

#[test]
fn the_calendar_is_that_of_the_snapshot_s_zone() {
    let zoned = |id: &str, time: &str| Candidate { taken_at: time.parse().unwrap(), ..candidate(id, NOW) };
    let group = [
        zoned("a", "2026-11-20T00:30:00+01:00[Europe/Zurich]"),
        zoned("b", "2026-11-19T23:30:00+01:00[Europe/Zurich]"),
        zoned("c", "2026-11-19T00:30:00+01:00[Europe/Zurich]"),
    ];
    let preview = keep(&policy("daily=2"), &group, NOW.parse().unwrap());
    assert_eq!(preview.dropped, ["c"]);
}

#[test]
fn a_policy_in_words() {
    let words = |text: &str| policy(text).words();
    assert_eq!(
        (words(""), words("min=2")),
        ("keeps everything".to_owned(), "keeps everything, minimum of 2".to_owned())
    );
    let all = "last=3 daily=7 within=2d within-weekly=3m tag=a,b min=2";
    assert_eq!(words(all), "last 3, daily 7, within 2d, weekly within 3m, tags a,b, minimum of 2");
}

/// `restic.txt` was written by restic 0.19.1 (`forget --dry-run --json --group-by host`): moments with their tags, then
/// policies with the places of the moments that it keeps and why.
#[test]
fn restic_answers_the_same() {
    let mut group: Vec<Candidate<usize>> = Vec::new();
    let mut policies = 0;
    for text in include_str!("restic.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(snapshot) = text.strip_prefix("snapshot ") {
            let (time, tags) = snapshot.split_once(' ').unwrap_or((snapshot, ""));
            let moment: Timestamp = time.parse().unwrap();
            let offset = jiff::fmt::temporal::Pieces::parse(time).unwrap().to_numeric_offset().unwrap();
            let taken_at = moment.to_zoned(jiff::tz::TimeZone::fixed(offset));
            let tags = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
            let plain = candidate("", NOW);
            group.push(Candidate {
                id: group.len(),
                parent: None,
                taken_at,
                tags,
                is_good: plain.is_good,
                is_pinned: plain.is_pinned,
                is_held: plain.is_held,
                protected_until: plain.protected_until,
                is_unwanted: plain.is_unwanted,
            });
            continue;
        }
        let (rules, expected) = text.split_once(" => ").unwrap();
        let preview = keep(&policy(rules), &group, NOW.parse().unwrap());
        let mut kept: Vec<(usize, String)> = Vec::new();
        for mut verdict in preview.verdicts {
            verdict.reasons.retain(|reason| *reason != Reason::NewestGood);
            if verdict.is_kept() {
                let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
                kept.push((verdict.id, reasons.join("; ")));
            }
        }
        kept.sort();
        let kept: Vec<String> = kept.into_iter().map(|(id, reasons)| format!("{id}: {reasons}")).collect();
        assert_eq!(kept.join(", "), expected, "{rules}");
        policies += 1;
    }
    assert!(group.len() > 30 && policies > 20, "{} snapshots, {policies} policies", group.len());
}

prop_compose! {
    fn any_candidate()(
        id in 0u16..60, parent in prop::option::weighted(0.2, 0u16..60), hours in -20_000i64..200, good in 0..4,
        pinned in 0..20, unwanted in 0..5, tag in 0..6, protected in prop::option::weighted(0.1, -100i64..100),
    ) -> Candidate<u16> {
        let now: Timestamp = NOW.parse().unwrap();
        let at = |hours: i64| now + jiff::SignedDuration::from_hours(hours);
        Candidate {
            id, parent, taken_at: at(hours).in_tz("Europe/Zurich").unwrap(), is_good: good > 0,
            tags: if tag == 0 { vec!["x".to_owned()] } else { vec![] },
            is_pinned: pinned == 0, is_held: pinned == 1, protected_until: protected.map(at), is_unwanted: unwanted == 0,
        }
    }
}

fn any_group() -> impl Strategy<Value = Vec<Candidate<u16>>> {
    prop::collection::vec(any_candidate(), 0..40).prop_map(|group| {
        let by_id: BTreeMap<u16, Candidate<u16>> =
            group.into_iter().map(|candidate| (candidate.id, candidate)).collect();
        by_id.into_values().collect()
    })
}

prop_compose! {
    fn any_policy()(
        counts in prop::array::uniform6(0u32..5), hours in prop::array::uniform6(0u16..3), days in prop::array::uniform6(0u16..40),
        timed in 0u8..64, tag in 0..4, minimum in 0u32..6,
    ) -> RetentionPolicy {
        let count = |at: usize| match counts[at] { 0 | 1 => Count::None, 4 => Count::All, some => Count::AtMost(some) };
        let within = |at: usize| Within { hours: hours[at], days: days[at], ..Within::default() };
        let within = |at: usize| if timed & (1 << at) == 0 { Within::default() } else { within(at) };
        RetentionPolicy {
            keep_last: count(0), keep_hourly: count(1), keep_daily: count(2), keep_weekly: count(3), keep_monthly: count(4),
            keep_yearly: count(5), keep_within: within(0), keep_within_hourly: within(1), keep_within_daily: within(2),
            keep_within_weekly: within(3), keep_within_monthly: within(4), keep_within_yearly: within(5),
            keep_tags: if tag == 0 { vec![vec!["x".to_owned()]] } else { vec![] }, minimum,
        }
    }
}

proptest! {
    #[test]
    fn what_holds_for_every_group(policy in any_policy(), group in any_group()) {
        let now: Timestamp = NOW.parse().unwrap();
        let preview = keep(&policy, &group, now);
        let kept: BTreeSet<u16> = preview.verdicts.iter().filter(|v| v.is_kept()).map(|v| v.id).collect();
        let dropped: BTreeSet<u16> = preview.dropped.iter().copied().collect();
        // Each snapshot is kept or dropped, never both, never neither.
        prop_assert!(kept.is_disjoint(&dropped));
        prop_assert_eq!(kept.len() + preview.dropped.len(), group.len());
        let of = |id: &u16| group.iter().find(|candidate| candidate.id == *id).unwrap();
        let past = |candidate: &&Candidate<u16>| candidate.taken_at.timestamp() <= now;
        for id in &dropped {
            let gone = of(id);
            prop_assert!(!gone.is_pinned && !gone.is_held && (past(&gone) || gone.is_unwanted));
            prop_assert!(gone.protected_until.is_none_or(|until| until <= now));
            prop_assert!(kept.iter().all(|kept| of(kept).parent != Some(*id)), "a kept one needs {}", id);
        }
        let good_at = |ids: &dyn Fn(u16) -> bool| {
            group.iter().filter(past).filter(|c| c.is_good && ids(c.id)).map(|c| c.taken_at.timestamp()).max()
        };
        prop_assert_eq!(good_at(&|_| true), good_at(&|id| kept.contains(&id)), "the newest good one is dropped");
        let has_good = |ids: &dyn Fn(u16) -> bool| group.iter().any(|c| c.is_good && ids(c.id));
        prop_assert_eq!(has_good(&|_| true), has_good(&|id| kept.contains(&id)), "no good one is left");
        // The minimum stays, as long as there are so many.
        let good = group.iter().filter(past).filter(|c| c.is_good && !c.is_unwanted);
        let floor = (policy.minimum as usize).min(good.clone().count());
        prop_assert!(good.filter(|c| kept.contains(&c.id)).count() >= floor);
        // Deletion may stop anywhere: what is deleted was needed by nothing that still stands.
        for (place, id) in preview.dropped.iter().enumerate() {
            prop_assert!(preview.dropped[place + 1..].iter().all(|later| of(later).parent != Some(*id)));
        }
    }

    #[test]
    fn forgetting_twice_forgets_nothing_more(policy in any_policy(), group in any_group()) {
        let now: Timestamp = NOW.parse().unwrap();
        let first = keep(&policy, &group, now);
        let left: Vec<_> = group.into_iter().filter(|candidate| !first.dropped.contains(&candidate.id)).collect();
        prop_assert_eq!(keep(&policy, &left, now).dropped, Vec::<u16>::new());
    }

    #[test]
    fn snapshots_of_the_future_change_nothing_for_the_others(policy in any_policy(), group in any_group()) {
        let now: Timestamp = NOW.parse().unwrap();
        let alone = |group: &[Candidate<u16>]| -> Vec<Candidate<u16>> {
            group.iter().cloned().map(|candidate| Candidate { parent: None, ..candidate }).collect()
        };
        let all = alone(&group);
        let past: Vec<_> = all.iter().filter(|candidate| candidate.taken_at.timestamp() <= now).cloned().collect();
        // Those that are unwanted may go themselves.
        let mut dropped = keep(&policy, &all, now).dropped;
        dropped.retain(|id| past.iter().any(|candidate| candidate.id == *id));
        prop_assert_eq!(dropped, keep(&policy, &past, now).dropped);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(policy in any_policy(), group in any_group()) {
        let now: Timestamp = NOW.parse().unwrap();
        let mut turned = group.clone();
        turned.reverse();
        prop_assert_eq!(keep(&policy, &group, now), keep(&policy, &turned, now));
    }
}
