//! A courier that writes down what it is given, and refuses it when told so.

use std::sync::Mutex;

use async_trait::async_trait;
use backstay_core::domain::message::Message;
use backstay_core::ports::courier::{Courier, DeliveryError, Parcel};

/// Takes every message, or none.
#[derive(Debug, Default)]
pub struct FakeCourier {
    taken: Mutex<Vec<Message>>,
    error: Mutex<Option<DeliveryError>>,
}

impl FakeCourier {
    /// Has it refuse messages, or (none) take them again.
    pub fn refuse(&self, error: Option<DeliveryError>) {
        *self.error.lock().expect("nobody panics while holding it") = error;
    }

    /// Returns what it took, oldest first.
    pub fn taken(&self) -> Vec<Message> {
        self.taken.lock().expect("nobody panics while holding it").clone()
    }
}

#[async_trait]
impl Courier for FakeCourier {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        if let Some(error) = self.error.lock().expect("nobody panics while holding it").clone() {
            return Err(error);
        }
        self.taken.lock().expect("nobody panics while holding it").push(parcel.message.clone());
        Ok(())
    }
}
