//! The config: which version, which repository, which chunk boundaries.

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::id::Id;
use super::{FormatError, polynomial};

/// The format version that we read and write.
const VERSION: u32 = 2;

/// A repository's config: sealed JSON, never compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    version: u32,
    id: Id,
    chunker_polynomial: String,
    /// Set in the configuration that the hot part of a repository has: rustic's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_hot: Option<bool>,
}

impl Config {
    /// Makes the config of a new repository.
    pub fn random() -> Self {
        let mut id = [0; 32];
        rand::rng().fill_bytes(&mut id);
        Self { version: VERSION, id: Id(id), chunker_polynomial: format!("{:x}", polynomial::random()), is_hot: None }
    }

    /// Makes the config of a new repository that cuts files as another one does.
    #[must_use]
    pub fn random_like(other: &Self) -> Self {
        Self { chunker_polynomial: other.chunker_polynomial.clone(), ..Self::random() }
    }

    /// Reads a config and judges it.
    ///
    /// # Errors
    /// [`FormatError::Version`], [`FormatError::Shape`].
    pub fn read(plain: &[u8]) -> Result<Self, FormatError> {
        let config: Self = serde_json::from_slice(plain).map_err(|error| FormatError::shape("config", error))?;
        if config.version != VERSION {
            return Err(FormatError::Version { version: config.version });
        }
        config.polynomial().map(|_| config)
    }

    /// Returns the config as JSON.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a config is JSON")
    }

    /// Returns it as the hot part of the repository has it.
    #[must_use]
    pub fn as_hot(&self) -> Self {
        Self { is_hot: Some(true), ..self.clone() }
    }

    /// Says whether it is that of a hot part, which holds no packs of contents.
    pub fn is_hot(&self) -> bool {
        self.is_hot == Some(true)
    }

    /// Returns the repository's own id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Returns the polynomial of the chunk boundaries.
    ///
    /// # Errors
    /// [`FormatError::Shape`] when it is not irreducible, or of a degree that the tables cannot hold.
    pub fn polynomial(&self) -> Result<u64, FormatError> {
        let text = &self.chunker_polynomial;
        let polynomial = u64::from_str_radix(text, 16).ok();
        let usable = |p: &u64| (16..=55).contains(&polynomial::degree(*p)) && polynomial::is_irreducible(*p);
        let wrong =
            || FormatError::shape("config", format!("`{text}` is no irreducible polynomial of degree 16 to 55"));
        polynomial.filter(usable).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_back_and_judged() {
        let config = Config::random();
        assert_eq!(Config::read(&config.write()).unwrap(), config);
        let old = String::from_utf8(config.write()).unwrap().replace("\"version\":2", "\"version\":1");
        assert_eq!(Config::read(old.as_bytes()).unwrap_err(), FormatError::Version { version: 1 });
        let weak = Config { chunker_polynomial: "4".to_owned(), ..config };
        assert!(matches!(Config::read(&weak.write()), Err(FormatError::Shape { .. })));
    }
}
