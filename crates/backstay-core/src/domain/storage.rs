//! Where repository bytes lie, as the control plane knows it: a kind and its settings.

/// A storage's kind and settings. What they mean is known by `STORAGE_KINDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Storage kind, a row of `STORAGE_KINDS`.
    pub kind: String,
    /// The kind's settings; never a secret.
    pub settings: serde_json::Value,
}
