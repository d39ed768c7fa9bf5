//! Tokens of the API: what is kept of them, and when they are good.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::access::Scope;
use super::id::TokenId;
use super::name::Name;

/// How every token begins: leak scanners can look for it.
pub const TOKEN_PREFIX: &str = "bk_";

/// How old a note of a token's last use may grow before it is written anew: one write a minute at most.
const USE_NOTED_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// A token's row. The token itself is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// What its holder calls it.
    pub name: Name,
    /// SHA-256 of the token, hexadecimal. A token has 256 random bits: nothing slower is needed.
    pub hash: String,
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; none if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; none if it never was.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked; none while it is good.
    pub revoked_at: Option<Timestamp>,
}

/// Makes the text of a token from 256 random bits.
pub fn token_text(random: &[u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", data_encoding::BASE32_NOPAD.encode(random).to_lowercase())
}

/// Returns what is kept of a token.
pub fn token_hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

impl ApiToken {
    /// Says whether the token opens a door at this moment.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Says whether a use at this moment is to be written down.
    pub fn use_is_news(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|noted| noted > now || now.duration_since(noted) >= USE_NOTED_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_its_moment_and_by_revocation() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = ApiToken {
            id: TokenId::new(at(0), [1; 10]),
            name: "ci".parse().unwrap(),
            hash: token_hash(&token_text(&[7; 32])),
            scope: Scope::installation(),
            created_at: at(0),
            expires_at: Some(at(100)),
            last_used_at: Some(at(40)),
            revoked_at: None,
        };
        assert!(token.is_good(at(99)) && !token.is_good(at(100)));
        assert!(!ApiToken { revoked_at: Some(at(1)), ..token.clone() }.is_good(at(2)));
        assert!(!token.use_is_news(at(99)) && token.use_is_news(at(100)));
        assert!(token_text(&[7; 32]).starts_with("bk_") && token.hash.len() == 64);
    }
}
