//! The installation's Ed25519 key: it signs, and is never seen.

/// Signs with the installation's key.
pub trait Signer: Send + Sync {
    /// Returns the public key, 32 bytes.
    fn public_key(&self) -> [u8; 32];

    /// Returns the Ed25519 signature of `message` (RFC 8032), 64 bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}
