//! An installation's key that everybody knows.

use backstay_core::ports::signer::Signer;
use ed25519_dalek::{Signer as _, SigningKey};

/// Signs with a fixed key: real signatures, worth nothing.
#[derive(Debug)]
pub struct FixedSigner {
    key: SigningKey,
}

impl Default for FixedSigner {
    fn default() -> Self {
        Self { key: SigningKey::from_bytes(&[42; 32]) }
    }
}

impl Signer for FixedSigner {
    fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}
