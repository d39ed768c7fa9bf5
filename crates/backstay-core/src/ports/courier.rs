//! Brings a message to where a channel says.

use async_trait::async_trait;

use crate::domain::channel::ChannelSettings;
use crate::domain::disposition::Disposition;
use crate::domain::id::MessageId;
use crate::domain::message::Message;
use crate::domain::secret::Secret;

/// What is to be brought where.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// Names the message, also to the receiver: one that comes twice can be seen to.
    pub id: MessageId,
    /// What is said.
    pub message: &'a Message,
    /// Where to.
    pub settings: &'a ChannelSettings,
    /// Whether the channel is one tenant's: who told it where to go need not see the network of the server.
    pub is_of_tenant: bool,
    /// The password, or the key that signs.
    pub secret: Option<Secret>,
    /// Where to, of a webhook that keeps it as a secret.
    pub url: Option<Secret>,
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca: Option<Secret>,
}

/// Brings messages.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Returns once the other side has taken the message.
    ///
    /// # Errors
    /// [`DeliveryError`], which never carries a secret. The other side may have taken the message even then.
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError>;
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Nobody answered, or the connection broke.
    #[error("{place} did not answer: {said}")]
    Unreachable {
        /// Where it was tried.
        place: String,
        /// What went wrong.
        said: String,
    },
    /// The other side wants it later.
    #[error("{place} wants it later: {said}")]
    Later {
        /// Where it was tried.
        place: String,
        /// What it said.
        said: String,
    },
    /// The other side does not want it, or does not let us in.
    #[error("{place} refused it: {said}")]
    Refused {
        /// Where it was tried.
        place: String,
        /// What it said.
        said: String,
    },
    /// It cannot be sent as the channel stands: a secret that is not there, a certificate that cannot be read.
    #[error("{said}")]
    Settings {
        /// What is wrong.
        said: String,
    },
}

impl DeliveryError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Later { .. } => {
                Disposition::Retry { after: std::time::Duration::from_secs(0) }
            }
            Self::Refused { .. } | Self::Settings { .. } => Disposition::Operator,
        }
    }
}
