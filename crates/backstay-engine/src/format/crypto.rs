//! How bytes are sealed: AES-256 in counter mode, authenticated by Poly1305-AES, 16 bytes of nonce before and 16 of tag
//! after (restic's design document, "Keys, Encryption and MAC").

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce, Tag};
use rand::RngCore;
use zeroize::Zeroizing;

use super::FormatError;

/// Bytes of nonce before the sealed ones.
pub const NONCE_BYTES: usize = 16;

/// Bytes that a seal adds.
pub const SEAL_BYTES: usize = NONCE_BYTES + 16;

/// A key: 32 bytes for AES-256, 16 (k) for AES-128 and 16 (r) for Poly1305.
pub struct SealKey {
    bytes: Zeroizing<[u8; 64]>,
    cipher: Aes256CtrPoly1305Aes,
}

impl SealKey {
    /// Makes a key from its three parts in this order: encrypt, k, r.
    pub fn new(bytes: Zeroizing<[u8; 64]>) -> Self {
        let cipher = Aes256CtrPoly1305Aes::new(Key::from_slice(&bytes[..]));
        Self { bytes, cipher }
    }

    /// Makes a new random key.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 64]);
        rand::rng().fill_bytes(&mut bytes[..]);
        Self::new(bytes)
    }

    /// Returns the key's bytes: encrypt, k, r.
    pub(super) fn bytes(&self) -> &[u8; 64] {
        &self.bytes
    }

    /// Seals in place what stands in `buffer` from `start` + [`NONCE_BYTES`] on: the room before it takes the nonce, the
    /// tag is appended.
    pub fn seal_tail(&self, buffer: &mut Vec<u8>, start: usize) {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        buffer[start..start + NONCE_BYTES].copy_from_slice(&nonce);
        let body = &mut buffer[start + NONCE_BYTES..];
        let tag = self.cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", body);
        buffer.extend_from_slice(&tag.expect("a message is far shorter than the cipher's limit"));
    }

    /// Seals in place what [`SealKey::open_in_place`] opened, with its own nonce; true when the tag is the one that
    /// stands there.
    pub fn seal_again(&self, opened: &mut [u8]) -> bool {
        let (nonce, rest) = opened.split_at_mut(NONCE_BYTES);
        let (body, tag) = rest.split_at_mut(rest.len() - (SEAL_BYTES - NONCE_BYTES));
        let found = self.cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), b"", body);
        found.is_ok_and(|found| *found == *tag)
    }

    /// Returns these bytes sealed.
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(plain.len() + SEAL_BYTES);
        buffer.resize(NONCE_BYTES, 0);
        buffer.extend_from_slice(plain);
        self.seal_tail(&mut buffer, 0);
        buffer
    }

    /// Opens sealed bytes in place, and returns the part of `sealed` that is plain now.
    ///
    /// # Errors
    /// [`FormatError::Seal`] when the tag does not fit; `sealed` is then worth nothing.
    pub fn open_in_place<'a>(&self, sealed: &'a mut [u8], what: &'static str) -> Result<&'a mut [u8], FormatError> {
        if sealed.len() < SEAL_BYTES {
            return Err(FormatError::Seal { what });
        }
        let (nonce, rest) = sealed.split_at_mut(NONCE_BYTES);
        let (body, tag) = rest.split_at_mut(rest.len() - (SEAL_BYTES - NONCE_BYTES));
        self.cipher
            .decrypt_in_place_detached(Nonce::from_slice(nonce), b"", body, Tag::from_slice(tag))
            .map_err(|_| FormatError::Seal { what })?;
        Ok(body)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_what_was_changed_does_not() {
        let key = SealKey::random();
        let mut sealed = key.seal(b"hello");
        assert_eq!(sealed.len(), 5 + SEAL_BYTES);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open_in_place(&mut changed, "test").is_err(), "byte {at}");
        }
        assert_eq!(key.open_in_place(&mut sealed, "test").unwrap(), b"hello");
        assert!(key.open_in_place(&mut [0; SEAL_BYTES - 1], "test").is_err());
    }

    #[test]
    fn what_was_opened_in_place_is_sealed_as_it_was() {
        let key = SealKey::random();
        let sealed = key.seal(b"hello");
        let mut place = sealed.clone();
        key.open_in_place(&mut place, "test").unwrap();
        assert_ne!(place, sealed);
        assert!(key.seal_again(&mut place));
        assert_eq!(place, sealed);
        key.open_in_place(&mut place, "test").unwrap();
        place[NONCE_BYTES] ^= 1;
        assert!(!key.seal_again(&mut place));
    }

    #[test]
    fn two_seals_of_the_same_bytes_differ() {
        let key = SealKey::random();
        assert_ne!(key.seal(b"hello"), key.seal(b"hello"));
    }
}
