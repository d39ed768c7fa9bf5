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
    /// Events are taken in, and what came of them is not written, now and then.
    ForgottenEvent,
    /// Of the messages of a decision the last is not written, now and then.
    LostMessage,
    /// Of the messages of a decision the first is written twice, now and then.
    DoubledMessage,
    /// A message is marked as sent before it is brought to its channel.
    SentFirst,
    /// The messages of a digest are written first, and that its window is over after that.
    DigestBeside,
    /// An item is looked at ten days later than its age asks for.
    LateWatch,
    /// Nobody asks whether an alert is silenced.
    NoSilence,
    /// What was due when a plan got another schedule is not carried over to it.
    LostAtChange,
    /// The queue is gone through without caps.
    NoCaps,
    /// Nobody asks for a tenant's quota when a backup begins.
    NoQuota,
    /// Retention knows neither pins nor holds.
    NoMarks,
    /// What follows a good backup is not queued, now and then.
    LostFollowUp,
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
        Self::ForgottenEvent,
        Self::LostMessage,
        Self::DoubledMessage,
        Self::SentFirst,
        Self::DigestBeside,
        Self::LateWatch,
        Self::NoSilence,
        Self::LostAtChange,
        Self::NoCaps,
        Self::NoQuota,
        Self::NoMarks,
        Self::LostFollowUp,
    ];
}
