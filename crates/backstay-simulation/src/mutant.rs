//! Programs with one protection left out: each must make the simulation fail, or its promises are not looked at.

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Nobody looks whether a lease is held: an agent publishes without a last renewal, and a finish with an old token is
    /// taken for the newest one.
    NoFence,
    /// The two unique keys of the queue are dropped.
    NoUniqueKey,
    /// After downtime the occurrence before the newest is started too.
    DoubleCatchUp,
    /// The rescuer takes a job for stalled after a minute.
    RescueTooEarly,
    /// A success is not told, now and then.
    LostEvent,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::NoFence, Self::NoUniqueKey, Self::DoubleCatchUp, Self::RescueTooEarly, Self::LostEvent];
}
