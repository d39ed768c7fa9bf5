//! The suite of the port `Signer`.

use backstay_core::ports::signer::Signer;
use ed25519_dalek::{Signature, VerifyingKey};

/// Runs every promise: a signature is of its message, by the key that the signer names, and always the same.
pub fn exercise(signer: &dyn Signer) {
    let key = VerifyingKey::from_bytes(&signer.public_key()).unwrap();
    let signature = signer.sign(b"message");
    key.verify_strict(b"message", &Signature::from_bytes(&signature)).unwrap();
    assert!(key.verify_strict(b"another", &Signature::from_bytes(&signature)).is_err());
    assert_eq!(signer.sign(b"message"), signature);
}
