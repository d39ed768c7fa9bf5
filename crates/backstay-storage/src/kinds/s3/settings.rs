//! Settings of an S3 storage: parsed at the edge, then trusted. None of them is a secret.

use std::time::Duration;

use http::Uri;
use serde_json::{Map, Value, json};

use crate::error::StorageError;

/// Silence after which a connection counts as dead, when the settings do not say. Slow is not silent.
const STALL: Duration = Duration::from_secs(60);

/// Longest silence that a setting may allow: past it an agent's job looks hung itself.
const STALL_MAX_SECONDS: u64 = 600;

/// Settings of an S3 storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `https://host[:port]`, without a path.
    pub(super) endpoint: String,
    pub(super) bucket: String,
    /// What comes before every key, without a slash at either end; empty: nothing.
    pub(super) prefix: String,
    pub(super) region: String,
    pub(super) addressing: Addressing,
    pub(super) encryption: Encryption,
    /// The class of packs; absent: the bucket's own.
    pub(super) storage_class: Option<String>,
    pub(super) conditional_put: ConditionalPut,
    /// Whether each put is looked at afterwards.
    pub(super) confirm_puts: bool,
    pub(super) stall: Duration,
}

/// Where the bucket stands in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressing {
    Path,
    VirtualHost,
}

/// What the server does to objects before it writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encryption {
    /// What the bucket does by itself.
    Bucket,
    Aes256,
    Kms {
        key_id: Option<String>,
    },
    /// With a key of ours that it forgets.
    CustomerKey,
}

/// Whether the server keeps `If-None-Match: *`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionalPut {
    /// Found out by the first small put.
    Learn,
    Always,
    Never,
}

/// The fields, in the order of the schema.
const FIELDS: &[&str] = &[
    "endpoint",
    "bucket",
    "prefix",
    "region",
    "addressing",
    "encryption",
    "kms_key_id",
    "storage_class",
    "conditional_put",
    "confirm_puts",
    "stall_seconds",
];

impl Settings {
    /// Returns the JSON Schema.
    pub(super) fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["endpoint", "bucket"],
            "properties": {
                "endpoint": { "type": "string", "description": "https://host[:port] of the server, without a path" },
                "bucket": { "type": "string", "description": "Name of the bucket" },
                "prefix": { "type": "string", "description": "What comes before every key" },
                "region": { "type": "string", "default": "us-east-1" },
                "addressing": { "enum": ["path", "virtual_host"], "default": "path",
                    "description": "https://host/bucket/key or https://bucket.host/key" },
                "encryption": { "enum": ["bucket", "AES256", "aws:kms", "customer_key"], "default": "bucket",
                    "description": "What the server does beyond our own encryption; the customer key is a credential" },
                "kms_key_id": { "type": "string", "description": "For aws:kms; absent: the bucket's key" },
                "storage_class": { "type": "string", "description": "Class of packs, as STANDARD_IA or GLACIER" },
                "conditional_put": { "enum": ["learn", "always", "never"], "default": "learn",
                    "description": "Whether the server keeps If-None-Match on a put; learn finds out" },
                "confirm_puts": { "type": "boolean", "default": true,
                    "description": "Ask after each put whether the object is there" },
                "stall_seconds": { "type": "integer", "minimum": 1, "maximum": STALL_MAX_SECONDS, "default": 60,
                    "description": "Silence after which a connection counts as dead" },
            },
        })
    }

    /// Judges settings.
    pub(super) fn parse(settings: &Value) -> Result<Self, StorageError> {
        let fields = Fields(settings.as_object().ok_or_else(|| wrong("endpoint", "settings must be an object"))?);
        if let Some(unknown) = fields.0.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let known = FIELDS.join(", ");
            return Err(wrong("endpoint", format!("`{unknown}` is not a setting of this kind; there are {known}")));
        }
        let kms_key_id = fields.text("kms_key_id")?;
        let encryption = match fields.word("encryption", &["bucket", "AES256", "aws:kms", "customer_key"])? {
            "AES256" => Encryption::Aes256,
            "aws:kms" => Encryption::Kms { key_id: kms_key_id.clone() },
            "customer_key" => Encryption::CustomerKey,
            _ => Encryption::Bucket,
        };
        if kms_key_id.is_some() && !matches!(encryption, Encryption::Kms { .. }) {
            return Err(wrong("kms_key_id", "goes with `encryption` aws:kms alone"));
        }
        Ok(Self {
            endpoint: endpoint(&fields.text("endpoint")?.unwrap_or_default())?,
            bucket: bucket(&fields.text("bucket")?.unwrap_or_default())?,
            prefix: prefix(&fields.text("prefix")?.unwrap_or_default())?,
            region: fields.header("region")?.unwrap_or_else(|| "us-east-1".to_owned()),
            addressing: match fields.word("addressing", &["path", "virtual_host"])? {
                "virtual_host" => Addressing::VirtualHost,
                _ => Addressing::Path,
            },
            encryption,
            storage_class: fields.header("storage_class")?,
            conditional_put: match fields.word("conditional_put", &["learn", "always", "never"])? {
                "always" => ConditionalPut::Always,
                "never" => ConditionalPut::Never,
                _ => ConditionalPut::Learn,
            },
            confirm_puts: match fields.0.get("confirm_puts") {
                None => true,
                Some(Value::Bool(given)) => *given,
                Some(other) => return Err(wrong("confirm_puts", format!("`{other}` is not true or false"))),
            },
            stall: match fields.0.get("stall_seconds").map(|given| (given, given.as_u64())) {
                None => STALL,
                Some((_, Some(seconds @ 1..=STALL_MAX_SECONDS))) => Duration::from_secs(seconds),
                Some((given, _)) => {
                    let problem = format!("`{given}` is not a number from 1 to {STALL_MAX_SECONDS}");
                    return Err(wrong("stall_seconds", problem));
                }
            },
        })
    }

    /// Returns them as a row keeps them: what was left out stays out, the rest is made plain.
    pub(super) fn row(&self, given: &Value) -> Value {
        let mut row = given.clone();
        row["endpoint"] = json!(self.endpoint);
        if !self.prefix.is_empty() {
            row["prefix"] = json!(self.prefix);
        }
        row
    }
}

/// Puts a problem beside its field.
fn wrong(field: &'static str, problem: impl Into<String>) -> StorageError {
    StorageError::Settings { field, problem: problem.into() }
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, field: &'static str) -> Result<Option<String>, StorageError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(field, format!("`{other}` is not a text"))),
        }
    }

    /// Returns a text that goes into a header.
    fn header(&self, field: &'static str) -> Result<Option<String>, StorageError> {
        let text = self.text(field)?;
        match text {
            Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(wrong(field, format!("`{text}` has characters that cannot be in it")))
            }
            other => Ok(other),
        }
    }

    fn word(&self, field: &'static str, words: &[&'static str]) -> Result<&'static str, StorageError> {
        let Some(given) = self.text(field)? else { return Ok(words[0]) };
        words.iter().copied().find(|word| *word == given).ok_or_else(|| {
            let words = words.join(", ");
            wrong(field, format!("`{given}` is none of {words}"))
        })
    }
}

/// Judges an endpoint, and returns it without a slash at its end.
fn endpoint(given: &str) -> Result<String, StorageError> {
    let text = given.trim_end_matches('/');
    let problem = || wrong("endpoint", format!("`{given}` is not https://host[:port] or http://host[:port]"));
    let uri: Uri = text.parse().map_err(|_| problem())?;
    let scheme = uri.scheme_str().filter(|scheme| ["https", "http"].contains(scheme)).ok_or_else(problem)?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(problem)?;
    if authority.as_str().contains('@') {
        // The message does not repeat it: it may be a secret.
        return Err(wrong("endpoint", "has a user or a password in it; credentials are given beside the settings"));
    }
    if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
        return Err(wrong(
            "endpoint",
            format!("`{given}` has a path; the bucket and the prefix are settings of their own"),
        ));
    }
    Ok(format!("{scheme}://{authority}"))
}

/// Judges a bucket's name by what all servers have in common.
fn bucket(given: &str) -> Result<String, StorageError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let starts = given.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && (3..=255).contains(&given.len()) && given.bytes().all(plain) {
        return Ok(given.to_owned());
    }
    Err(wrong("bucket", format!("`{given}` is not a bucket's name: at least 3 letters, digits, `.`, `-`, `_`")))
}

/// Judges a prefix, and returns it without slashes at its ends.
fn prefix(given: &str) -> Result<String, StorageError> {
    let text = given.trim_matches('/');
    let plain = |part: &str| {
        let odd = part.trim() != part || part.chars().any(char::is_control);
        !part.is_empty() && part != "." && part != ".." && !odd
    };
    if text.is_empty() || text.split('/').all(plain) {
        return Ok(text.to_owned());
    }
    Err(wrong("prefix", format!("`{given}` has a part that is empty, `.`, `..`, or begins or ends with a space")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `settings` is added to a pair that is right by itself.
    fn check(settings: Value, expected: &str) {
        let mut all = json!({ "endpoint": "https://s3.example", "bucket": "backups" });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let answer = Settings::parse(&all).map_or_else(
            |error| error.to_string(),
            |settings| {
                let Settings { endpoint, bucket, prefix, region, .. } = settings;
                format!("{endpoint} {bucket} {prefix} {region}")
            },
        );
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        check(json!({}), "https://s3.example backups  us-east-1");
        check(json!({ "endpoint": "http://127.0.0.1:80/", "prefix": "/a/b/" }), "http://127.0.0.1:80 backups a/b us-");
        check(json!({ "endpoint": "s3.example" }), "settings.endpoint: `s3.example` is not");
        check(json!({ "endpoint": "ftp://s3.example" }), "settings.endpoint: `ftp://s3.example` is not");
        check(json!({ "endpoint": "https://s3.example/b" }), "settings.endpoint: `https://s3.example/b` has a path");
        check(json!({ "endpoint": "https://u:secret@h" }), "settings.endpoint: has a user or a password in it");
        check(json!({ "bucket": "a/b" }), "settings.bucket: `a/b` is not a bucket's name");
        check(json!({ "bucket": 7 }), "settings.bucket: `7` is not a text");
        check(json!({ "prefix": "a/../b" }), "settings.prefix: `a/../b` has a part");
        check(json!({ "prefix": "a//b" }), "settings.prefix: `a//b` has a part");
        check(json!({ "region": "a b" }), "settings.region: `a b` has characters");
        check(json!({ "addressing": "dns" }), "settings.addressing: `dns` is none of path, virtual_host");
        check(json!({ "encryption": "rot13" }), "settings.encryption: `rot13` is none of bucket, AES256, aws:kms");
        check(json!({ "kms_key_id": "k" }), "settings.kms_key_id: goes with `encryption` aws:kms alone");
        check(json!({ "storage_class": "" }), "settings.storage_class: `` has characters");
        check(json!({ "conditional_put": true }), "settings.conditional_put: `true` is not a text");
        check(json!({ "confirm_puts": "yes" }), "settings.confirm_puts: `\"yes\"` is not true or false");
        check(json!({ "stall_seconds": 0 }), "settings.stall_seconds: `0` is not a number from 1 to 600");
        check(json!({ "access_key": "x" }), "settings.endpoint: `access_key` is not a setting of this kind");
    }

    #[test]
    fn the_schema_has_every_field() {
        let schema = Settings::schema();
        let known: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let mut fields = FIELDS.to_vec();
        fields.sort_unstable();
        assert_eq!(known, fields);
    }
}
