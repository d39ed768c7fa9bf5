//! The channel kind `ping`: where a service that waits for signs of life (healthchecks and its like) hears how a plan's
//! backups went. It hears of each result, so it has neither rules nor a digest.

use serde_json::Value;

use super::{ChannelError, Fields, wrong};
use crate::domain::name::Name;
use crate::domain::secret::SecretReference;

/// The tenant of a plan that is named by itself, for a channel of the installation.
const TENANT_DEFAULT: &str = "default";

/// Settings of a ping channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingSettings {
    /// Where the URL is: whoever knows it can say that all is well, so it is a secret.
    pub url: SecretReference,
    /// Whose backups it hears of.
    pub plan: PlanPlace,
    /// Whether it hears of beginnings too: the service then knows how long a backup takes, and misses one that never ends.
    pub start: bool,
    /// Certificates (PEM) that are trusted instead of the system's; none for the system's.
    pub ca_file: Option<SecretReference>,
}

/// A plan by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPlace {
    /// Its tenant; none for the channel's own, or `default` for a channel of the installation.
    pub tenant: Option<Name>,
    /// Its name.
    pub plan: Name,
}

impl PlanPlace {
    /// Returns the text that people write: `PLAN` or `TENANT/PLAN`.
    pub fn words(&self) -> String {
        self.tenant.as_ref().map_or_else(|| self.plan.to_string(), |tenant| format!("{tenant}/{}", self.plan))
    }

    /// Says whether a channel that is a tenant's own (or, with none, the installation's) means this plan of this tenant.
    pub fn is(&self, own: Option<&Name>, tenant: &Name, plan: &Name) -> bool {
        let meant = match (&self.tenant, own) {
            (Some(named), _) => named == tenant,
            (None, Some(own)) => own == tenant,
            (None, None) => tenant.as_str() == TENANT_DEFAULT,
        };
        meant && self.plan == *plan
    }
}

pub(super) fn read(fields: &mut Fields) -> Result<PingSettings, ChannelError> {
    let text = fields.text("url")?;
    // What stands there may be the URL itself: it is not repeated.
    let refuse = || {
        let words =
            "the URL is a secret: keep it with `backstay secret put channel-NAME` and write `sealed:channel-NAME`";
        wrong("settings.url", words)
    };
    let url = text.parse().map_err(|_| refuse())?;
    let text = fields.text("plan")?;
    let (tenant, plan) = text.split_once('/').map_or((None, text.as_str()), |(tenant, plan)| (Some(tenant), plan));
    let name = |text: &str| text.parse().map_err(|error| wrong("settings.plan", format!("{error}")));
    let plan = PlanPlace { tenant: tenant.map(name).transpose()?, plan: name(plan)? };
    let start = match fields.0.remove("start") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(start)) => start,
        // A command line has texts only.
        Some(Value::String(text)) if text == "true" => true,
        Some(Value::String(text)) if text == "false" => false,
        Some(_) => return Err(wrong("settings.start", "give true or false")),
    };
    Ok(PingSettings { url, plan, start, ca_file: fields.reference("ca_file")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: &str, own: Option<&str>, expected: &[&str]) {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let (tenant, plan) = place.split_once('/').map_or((None, place), |(tenant, plan)| (Some(tenant), plan));
        let place = PlanPlace { tenant: tenant.map(name), plan: name(plan) };
        let own = own.map(name);
        let found = ["ada/home", "default/home", "ada/db"].into_iter().filter(|row| {
            let (tenant, plan) = row.split_once('/').unwrap();
            place.is(own.as_ref(), &name(tenant), &name(plan))
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{place:?} of {own:?}");
    }

    #[test]
    fn a_plan_is_the_channels_tenants() {
        check("home", None, &["default/home"]);
        check("ada/home", None, &["ada/home"]);
        check("home", Some("ada"), &["ada/home"]);
        check("ada/db", Some("ada"), &["ada/db"]);
        check("db", None, &[]);
    }
}
