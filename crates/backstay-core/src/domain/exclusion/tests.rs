//! Tests of what keeps jobs back: cases in text.

use super::*;
use crate::domain::fairness::tests::{candidates, caps, words};

/// Minutes after all began.
fn check_at(minute: i64, limits: &str, running: &str, queued: &str, expected: &str) {
    let (caps, weights) = caps(limits);
    let now = Timestamp::from_second(minute * 60).unwrap();
    let rules = Rules { caps, weights };
    let kinds = [JobKind::Backup, JobKind::Prune, JobKind::Restore];
    let answer = turns(&candidates(queued), &candidates(running), &rules, &kinds, now);
    assert_eq!(words(&answer), expected, "{minute}: {limits} | {running} | {queued}");
}

#[test]
fn what_waits_for_its_repository_is_overtaken_for_ten_minutes() {
    check_at(5, "", "9:r1", "5:prune r1 c0,6:r1", "6 5:r9");
    check_at(5, "", "9:r1", "5:prune r1 c0,6:r1,7:t2 r2", "7 6 5:r9");
    check_at(10, "", "9:r1", "5:prune r1 c0,6:r1,4:r1,7:restore r1", "4 7 5:r9 6:behind 5");
    check_at(1_439, "", "9:r1", "5:prune r1 c0,6:r1", "5:r9 6:behind 5");
    check_at(1_440, "", "9:r1", "5:prune r1 c0,6:r1", "6 5:r9");
    check_at(5, "", "9:prune r1", "5:r1,6:restore r1", "5:r9 6:r9");
}

#[test]
fn what_shares_an_overlap_key_waits() {
    check_at(0, "", "9:o1 r2", "1:o1,2:", "2 1:o9");
    check_at(0, "", "", "1:o1,2:o1 r2,3:", "1 3 2:o1");
}

#[test]
fn what_no_agent_takes_waits_for_one() {
    check_at(0, "", "", "1:verify,2:", "2 1:agent");
    check_at(0, "global=1", "", "1:b30,2:verify b20,3:b10", "3 2:agent 1:global");
}

/// One tenant alone goes by breach, whatever is older; where tenants compete nothing overtakes what it overlaps.
#[test]
fn one_tenant_goes_in_the_order_of_the_queue() {
    check_at(0, "", "", "5:prune r1 c5 b90,6:r1 c6 b0", "6 5:r6");
    check_at(0, "", "", "5:prune r1 c5 b90,6:r1 c6 b0,7:t2 r2", "5 7 6:r5");
}
