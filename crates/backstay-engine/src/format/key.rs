//! Key files: the master key, sealed by a password through scrypt (restic's design document, "Keys, Encryption and MAC").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::FormatError;
use super::crypto::SealKey;

/// scrypt's N of the keys that we make, as a power of two: 32 MiB and 80 ms. Our passwords are 256 random bits, so a
/// slower derivation would add nothing.
const LOG_N: u8 = 15;

/// Largest scrypt memory that a key file may ask for: a crafted one must not take the machine. restic asks for 60 MiB at most,
/// rustic for 128.
const SCRYPT_BYTES_MAX: u64 = 1 << 28;

/// Bytes of salt.
const SALT_BYTES: usize = 64;

/// A key file as it lies in the repository: plain JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyFile {
    #[serde(default)]
    created: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// The master key as it is sealed in a key file.
#[derive(Serialize, Deserialize)]
struct MasterKey {
    mac: MacKey,
    encrypt: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct MacKey {
    k: Zeroizing<String>,
    r: Zeroizing<String>,
}

impl KeyFile {
    /// Seals a master key by a password.
    pub fn seal(master: &SealKey, password: &str, created: Timestamp, username: String, hostname: String) -> Self {
        let mut salt = [0; SALT_BYTES];
        rand::rng().fill_bytes(&mut salt);
        let (r, p) = (8, 1);
        let wrap = derive(password, &salt, LOG_N, r, p).expect("our own parameters are scrypt's");
        let part = |bytes: &[u8]| Zeroizing::new(BASE64.encode(bytes));
        let (encrypt, mac) = master.bytes().split_at(32);
        let inner = MasterKey { mac: MacKey { k: part(&mac[..16]), r: part(&mac[16..]) }, encrypt: part(encrypt) };
        let inner = Zeroizing::new(serde_json::to_vec(&inner).expect("strings are JSON"));
        Self {
            created: created.to_string(),
            username,
            hostname,
            kdf: "scrypt".to_owned(),
            n: 1 << LOG_N,
            r,
            p,
            salt: BASE64.encode(salt),
            data: BASE64.encode(wrap.seal(&inner)),
        }
    }

    /// Returns when it was made, in RFC 3339, as its maker says; nothing when it does not: rustic's need not.
    pub fn created(&self) -> &str {
        &self.created
    }

    /// Returns who made it: the user's name and the machine's, as the maker says.
    pub fn maker(&self) -> (&str, &str) {
        (&self.username, &self.hostname)
    }

    /// Opens the master key with a password.
    ///
    /// # Errors
    /// [`FormatError::Password`] when it is another password; [`FormatError::Shape`].
    pub fn open(&self, password: &str) -> Result<SealKey, FormatError> {
        let shape = |problem: String| FormatError::shape("key", problem);
        let log_n = u8::try_from(self.n.trailing_zeros()).ok().filter(|_| self.n.is_power_of_two() && self.n > 1);
        let log_n = log_n.ok_or_else(|| shape(format!("N is {}", self.n)))?;
        let memory = self.n.saturating_mul(u64::from(self.r)).saturating_mul(128);
        if self.kdf != "scrypt" || memory > SCRYPT_BYTES_MAX || self.p > 64 {
            return Err(shape(format!(
                "derivation {} N {} r {} p {} is not accepted",
                self.kdf, self.n, self.r, self.p
            )));
        }
        let decode = |text: &str| BASE64.decode(text).map_err(|error| shape(error.to_string()));
        let wrap = derive(password, &decode(&self.salt)?, log_n, self.r, self.p)?;
        let mut sealed = Zeroizing::new(decode(&self.data)?);
        let inner = wrap.open_in_place(&mut sealed, "key").map_err(|_| FormatError::Password)?;
        let inner: MasterKey = serde_json::from_slice(inner).map_err(|error| shape(error.to_string()))?;
        let mut bytes = Zeroizing::new([0; 64]);
        for (part, text) in [(0..32, &inner.encrypt), (32..48, &inner.mac.k), (48..64, &inner.mac.r)] {
            let plain = Zeroizing::new(decode(text)?);
            let room = &mut bytes[part];
            if plain.len() != room.len() {
                return Err(shape(format!("a part has {} bytes instead of {}", plain.len(), room.len())));
            }
            room.copy_from_slice(&plain);
        }
        Ok(SealKey::new(bytes))
    }
}

/// Derives the key that seals a key file.
fn derive(password: &str, salt: &[u8], log_n: u8, r: u32, p: u32) -> Result<SealKey, FormatError> {
    let params = scrypt::Params::new(log_n, r, p).map_err(|error| FormatError::shape("key", error))?;
    let mut bytes = Zeroizing::new([0; 64]);
    scrypt::scrypt(password.as_bytes(), salt, &params, &mut bytes[..])
        .map_err(|error| FormatError::shape("key", error))?;
    Ok(SealKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_key_and_no_other_does() {
        let master = SealKey::random();
        let file = KeyFile::seal(&master, "right", Timestamp::UNIX_EPOCH, "ada".to_owned(), "host".to_owned());
        assert_eq!(file.open("right").unwrap().bytes(), master.bytes());
        assert_eq!(file.open("wrong").unwrap_err(), FormatError::Password);
    }

    #[test]
    fn a_key_that_asks_for_the_whole_machine_is_refused() {
        let mut file = KeyFile::seal(&SealKey::random(), "x", Timestamp::UNIX_EPOCH, String::new(), String::new());
        for n in [1 << 30, 0, 3] {
            file.n = n;
            assert!(matches!(file.open("x"), Err(FormatError::Shape { .. })), "{n}");
        }
    }
}
