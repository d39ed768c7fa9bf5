//! What an attempt stores before a call that is not idempotent, for the next attempt.

/// Largest checkpoint: an intent (which call, which id), never data.
pub const CHECKPOINT_BYTES_MAX: usize = 4_096;

/// A checkpoint's body; only the runner that wrote it knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint(Vec<u8>);

/// A checkpoint that is too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a checkpoint has {bytes} bytes; at most {CHECKPOINT_BYTES_MAX} are allowed")]
pub struct CheckpointError {
    /// How large it was.
    pub bytes: usize,
}

impl Checkpoint {
    /// Judges a checkpoint's size.
    ///
    /// # Errors
    /// When it has more than [`CHECKPOINT_BYTES_MAX`] bytes.
    pub fn new(body: Vec<u8>) -> Result<Self, CheckpointError> {
        if body.len() > CHECKPOINT_BYTES_MAX { Err(CheckpointError { bytes: body.len() }) } else { Ok(Self(body)) }
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_an_intent_and_not_data() {
        assert!(Checkpoint::new(vec![0; CHECKPOINT_BYTES_MAX]).is_ok());
        assert_eq!(Checkpoint::new(vec![0; CHECKPOINT_BYTES_MAX + 1]).unwrap_err().bytes, 4_097);
    }
}
