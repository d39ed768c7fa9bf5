//! How many jobs may run at a time, and by which weights tenants share.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Caps and weights, in the place of all that there are. What is left out has no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapsPut {
    /// In the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<u32>,
    /// Of each tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<u32>,
    /// On each host that sources lie on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// On each repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<u32>,
    /// At each storage's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u32>,
    /// Of each job kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<u32>,
    /// Other numbers for single ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<CapException>,
    /// Tenants with another weight than 1: one with 3 gets three times the share of one with 1, while both want it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<TenantWeight>,
    /// The revision that is to be replaced; whichever is there, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

/// Another number for one tenant, host, repository, endpoint or kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapException {
    /// What it is: `tenant`, `host`, `repository`, `endpoint` or `kind`.
    pub of: String,
    /// Which one: a tenant's name, a host, a repository's id, an endpoint, or a job kind.
    pub name: String,
    /// How many may.
    pub cap: u32,
}

/// A tenant's weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantWeight {
    /// Name of the tenant.
    pub tenant: String,
    /// From 1 to 1000.
    pub weight: u32,
}

/// Caps and weights as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapsView {
    /// In the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<u32>,
    /// Of each tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<u32>,
    /// On each host that sources lie on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// On each repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<u32>,
    /// At each storage's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u32>,
    /// Of each job kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<u32>,
    /// Other numbers for single ones.
    pub exceptions: Vec<CapException>,
    /// Tenants with another weight than 1.
    pub weights: Vec<TenantWeight>,
    /// Grows with each change.
    pub revision: i64,
}

impl From<CapsView> for CapsPut {
    fn from(view: CapsView) -> Self {
        let CapsView { global, tenant, host, repository, endpoint, kind, exceptions, weights, revision } = view;
        let revision = Some(revision);
        Self { global, tenant, host, repository, endpoint, kind, exceptions, weights, revision }
    }
}
