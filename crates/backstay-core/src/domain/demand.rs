//! How many agents there should be, by what waits.
//!
//! Counted from jobs that could be leased, so that a queue held back by caps starts nobody. Up in steps, down after a
//! while, never an agent that is busy. Agents that were asked for and are not here yet count as here.

use std::time::Duration;

use jiff::Timestamp;

/// What waits and could be leased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Jobs that `admit` would let in.
    pub claimable: u32,
    /// Since when the oldest of them could be; none when there are none.
    pub oldest_at: Option<Timestamp>,
}

/// What there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agents {
    /// At work.
    pub busy: u32,
    /// Here, with nothing to do.
    pub idle: u32,
    /// Asked for and not here yet.
    pub pending: u32,
    /// Since when one was idle without a break; none when none is.
    pub idle_since: Option<Timestamp>,
}

/// How far it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Idle agents that are always kept.
    pub idle_min: u32,
    /// Most agents in all.
    pub agents_max: u32,
    /// Most that are asked for at a time.
    pub step_max: u32,
    /// How long an agent is idle before it may go.
    pub idle_for: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Enough,
    /// So many more.
    Start(u32),
    /// So many idle ones fewer.
    Stop(u32),
}

/// Says what is to be done about the number of agents.
pub fn wanted(demand: Demand, agents: Agents, limits: Limits, now: Timestamp) -> Wanted {
    let free = agents.idle.saturating_add(agents.pending);
    let needed = demand.claimable.max(limits.idle_min);
    let all = free.saturating_add(agents.busy);
    if needed > free {
        let room = limits.agents_max.saturating_sub(all);
        return match (needed - free).min(room).min(limits.step_max) {
            0 => Wanted::Enough,
            count => Wanted::Start(count),
        };
    }
    let has_rested = agents.idle_since.is_some_and(|since| {
        Duration::try_from(now.duration_since(since)).is_ok_and(|length| length >= limits.idle_for)
    });
    let beyond = all.saturating_sub(limits.agents_max).max(if has_rested { free - needed } else { 0 });
    match beyond.min(agents.idle) {
        0 => Wanted::Enough,
        count => Wanted::Stop(count),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { idle_min: 1, agents_max: 10, step_max: 3, idle_for: Duration::from_secs(300) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Busy, idle, pending agents, the idle ones since a moment; now is 1000.
    fn check(claimable: u32, [busy, idle, pending]: [u32; 3], idle_since: i64, expected: Wanted) {
        let idle_since = (idle > 0).then(|| at(idle_since));
        let demand = Demand { claimable, oldest_at: None };
        assert_eq!(wanted(demand, Agents { busy, idle, pending, idle_since }, LIMITS, at(1_000)), expected);
    }

    #[test]
    fn agents_follow_what_waits() {
        check(0, [0, 0, 0], 0, Wanted::Start(1));
        check(2, [0, 0, 0], 0, Wanted::Start(2));
        check(9, [0, 0, 0], 0, Wanted::Start(3));
        check(9, [0, 1, 8], 999, Wanted::Enough);
        check(9, [8, 0, 0], 0, Wanted::Start(2));
        check(9, [10, 0, 0], 0, Wanted::Enough);
        check(0, [0, 4, 0], 701, Wanted::Enough);
        check(0, [0, 4, 0], 700, Wanted::Stop(3));
        check(2, [0, 4, 0], 0, Wanted::Stop(2));
        check(0, [9, 3, 0], 999, Wanted::Stop(2));
        check(0, [14, 1, 0], 999, Wanted::Stop(1));
    }

    proptest! {
        #[test]
        fn the_number_settles_and_no_busy_one_goes(claimable in 0u32..20, busy in 0u32..12, idle in 0u32..12, pending in 0u32..6) {
            let mut agents = Agents { busy, idle, pending, idle_since: Some(at(0)) };
            let demand = Demand { claimable, oldest_at: None };
            for _ in 0..20 {
                match wanted(demand, agents, LIMITS, at(1_000)) {
                    Wanted::Start(count) => {
                        prop_assert!(count <= LIMITS.step_max && agents.busy + agents.idle + agents.pending + count <= LIMITS.agents_max);
                        agents.pending += count;
                    }
                    Wanted::Stop(count) => {
                        prop_assert!(count <= agents.idle);
                        agents.idle -= count;
                    }
                    Wanted::Enough => {}
                }
            }
            prop_assert_eq!(wanted(demand, agents, LIMITS, at(1_000)), Wanted::Enough);
        }
    }
}
