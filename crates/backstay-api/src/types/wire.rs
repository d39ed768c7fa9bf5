//! Reading what a wire type says as a domain value: the one error of it, and the few conversions that every type needs.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use backstay_core::domain::secret::Secret;
use secrecy::ExposeSecret as _;

/// A field that holds what no domain value can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// Its name on the wire.
    pub field: &'static str,
    /// What is wrong with it; never its value when that is a secret.
    pub problem: String,
}

/// Says what is wrong with a field.
pub(crate) fn wrong(field: &'static str, problem: impl ToString) -> WireError {
    WireError { field, problem: problem.to_string() }
}

/// Reads a field of a change that may be absent (it stays), null (it ends) or given.
pub(crate) fn change<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(reader).map(Some)
}

/// Reads an id, a name, an instant, or anything else with a text of its own.
pub(crate) fn parse<T>(field: &'static str, text: &str) -> Result<T, WireError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| wrong(field, error))
}

/// As [`parse`], for a field that may be absent.
pub(crate) fn parse_some<T>(field: &'static str, text: Option<&str>) -> Result<Option<T>, WireError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.map(|text| parse(field, text)).transpose()
}

/// Reads a word of one of the core's lists.
pub(crate) fn word<T>(field: &'static str, word: &str, read: fn(&str) -> Option<T>) -> Result<T, WireError> {
    read(word).ok_or_else(|| wrong(field, format!("`{word}` is not one of its words")))
}

/// Reads bytes.
pub(crate) fn bytes(field: &'static str, base64: &str) -> Result<Vec<u8>, WireError> {
    data_encoding::BASE64.decode(base64.as_bytes()).map_err(|error| wrong(field, error))
}

/// Returns bytes as the wire has them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

/// Returns a duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns an instant that may be absent as text.
pub(crate) fn instant_some(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A secret's value on its way through an encrypted wire or a loopback. It prints as `[REDACTED]`.
#[derive(Debug, Clone, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct SecretText(pub Secret);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Secret::from(String::deserialize(deserializer)?)))
    }
}
