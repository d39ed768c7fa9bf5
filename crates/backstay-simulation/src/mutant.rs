//! Programs with one protection left out: each must make the simulation fail, or its promises are not looked at.

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Nobody looks whether a lease is held: an agent publishes without a last renewal, and a finish with an old token is
    /// taken for the newest one.
    NoFence,
    /// The unique keys of the queue and of leases are dropped: one live backup an item, one job an occurrence, one lease an
    /// overlap key.
    NoUniqueKey,
    /// After downtime the oldest of the occurrences that were missed is started beside the newest.
    DoubleCatchUp,
    /// The rescuer takes a job for stalled after a minute.
    RescueTooEarly,
    /// A success is not told, now and then.
    LostEvent,
    /// What a prune forgets is decided by the clock of the replica that answers.
    LocalRetention,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::NoFence,
        Self::NoUniqueKey,
        Self::DoubleCatchUp,
        Self::RescueTooEarly,
        Self::LostEvent,
        Self::LocalRetention,
    ];
}
