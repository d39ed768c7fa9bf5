//! A wish to stop, seen within a second wherever the engine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::EngineError;

/// A wish to stop that can be shared. Once raised it stays.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Says whether somebody asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error when somebody asked to stop.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_raised() { Err(EngineError::Interrupted) } else { Ok(()) }
    }
}
