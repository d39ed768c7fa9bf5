//! Takes in where people want to be told, and tries it.

use serde_json::Value;

use super::context::Context;
use super::deliver::send;
use crate::domain::alert::{Delivery, Severity};
use crate::domain::channel::{
    Channel, ChannelError, ChannelKind, ChannelRule, ChannelSettings, PingSettings, Window, references_judge,
};
use crate::domain::id::{ChannelId, MessageId, TenantId};
use crate::domain::message::{Message, Purpose};
use crate::domain::name::Name;
use crate::ports::courier::{Courier, DeliveryError};
use crate::ports::store::StoreError;

/// A channel that cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum ChannelDeclareError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] ChannelError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wrong(field: &str, problem: impl Into<String>) -> ChannelDeclareError {
    ChannelError { field: field.to_owned(), problem: problem.into() }.into()
}

/// A channel as somebody declares it.
#[derive(Debug, Clone)]
pub struct ChannelDeclaration {
    /// Whose it is; none for the installation.
    pub tenant_id: Option<TenantId>,
    /// Its name.
    pub name: Name,
    /// How it delivers.
    pub kind: ChannelKind,
    /// What it needs to know.
    pub settings: Value,
    /// What goes there; empty for [`default_rules`]. A ping channel has none.
    pub rules: Vec<ChannelRule>,
    /// When its digest is due; none for no digest.
    pub digest: Option<Window>,
}

/// What is changed of a channel; none for what stays.
#[derive(Debug, Clone, Default)]
pub struct ChannelChange {
    /// What it needs to know, as a whole.
    pub settings: Option<Value>,
    /// What goes there, as a whole.
    pub rules: Option<Vec<ChannelRule>>,
    /// When its digest is due; `Some(None)` for no digest.
    pub digest: Option<Option<Window>>,
}

/// Returns the rules of a channel that was declared without any: what was promised and did not happen, at once.
pub fn default_rules() -> Vec<ChannelRule> {
    vec![ChannelRule { severity_min: Severity::Error, topics: Vec::new(), tenant_id: None, delivery: Delivery::AtOnce }]
}

async fn judge(context: &Context, channel: &mut Channel) -> Result<(), ChannelDeclareError> {
    let owner = match channel.tenant_id {
        Some(id) => Some(context.declarations.tenant_get(id).await?),
        None => None,
    };
    references_judge(&mut channel.settings, owner.as_ref())?;
    for named in channel.rules.iter().filter_map(|rule| rule.tenant_id) {
        if channel.tenant_id.is_some_and(|own| own != named) {
            return Err(wrong("rules.tenant", "a tenant's channel tells of its own tenant only"));
        }
        context.declarations.tenant_get(named).await?;
    }
    match &channel.settings {
        ChannelSettings::Ping(ping) => ping_judge(context, channel, ping, owner.map(|owner| owner.name)).await,
        ChannelSettings::Smtp(_) | ChannelSettings::Webhook(_) => Ok(()),
    }
}

/// Judges what is particular to a ping channel: it hears each result of a plan that is there, and nothing else.
async fn ping_judge(
    context: &Context,
    channel: &Channel,
    ping: &PingSettings,
    owner: Option<Name>,
) -> Result<(), ChannelDeclareError> {
    if !channel.rules.is_empty() {
        return Err(wrong("rules", "a ping channel has none: it hears of each backup of its plan"));
    }
    if channel.digest.is_some() {
        return Err(wrong("digest", "a ping channel has none: it hears of each backup of its plan"));
    }
    let tenants = context.declarations.tenant_list().await?;
    for plan in context.declarations.plan_list(channel.tenant_id).await? {
        let tenant = tenants.iter().find(|tenant| tenant.id == plan.tenant_id);
        let is_it = tenant.is_some_and(|tenant| ping.plan.is(owner.as_ref(), &tenant.name, &plan.name));
        if is_it && plan.retired_at.is_none() {
            return Ok(());
        }
    }
    let words = format!(
        "there is no plan `{}`; write PLAN, or TENANT/PLAN for a channel of the installation",
        ping.plan.words()
    );
    Err(wrong("settings.plan", words))
}

/// Adds a channel; a name that its owner has is [`StoreError::Taken`].
///
/// # Errors
/// [`ChannelDeclareError`].
pub async fn channel_declare(
    context: &Context,
    declaration: ChannelDeclaration,
) -> Result<Channel, ChannelDeclareError> {
    let now = context.schedules.clock_read().await?;
    let takes_default = declaration.rules.is_empty() && declaration.kind != ChannelKind::Ping;
    let rules = if takes_default { default_rules() } else { declaration.rules };
    let mut channel = Channel {
        id: ChannelId::new(now, context.ten()),
        tenant_id: declaration.tenant_id,
        name: declaration.name,
        settings: ChannelSettings::parse(declaration.kind, &declaration.settings)?,
        rules,
        digest: declaration.digest,
        created_at: now,
    };
    judge(context, &mut channel).await?;
    let due_at = channel.digest.as_ref().map(|window| window.next(now));
    context.notices.channel_add(&channel, due_at).await?;
    Ok(channel)
}

/// Changes what is given of a channel and returns it; none when somebody else changed it since it was seen.
///
/// # Errors
/// [`ChannelDeclareError`].
pub async fn channel_change(
    context: &Context,
    seen: &Channel,
    change: ChannelChange,
) -> Result<Option<Channel>, ChannelDeclareError> {
    let now = context.schedules.clock_read().await?;
    let mut channel = seen.clone();
    if let Some(settings) = &change.settings {
        channel.settings = ChannelSettings::parse(channel.settings.kind(), settings)?;
    }
    channel.rules = change.rules.unwrap_or(channel.rules);
    channel.digest = change.digest.unwrap_or(channel.digest);
    judge(context, &mut channel).await?;
    let due_at = channel.digest.as_ref().map(|window| window.next(now));
    Ok(context.notices.channel_put(seen, &channel, due_at).await?.then_some(channel))
}

/// Sends a message that says it is a test, and returns once the channel took it.
///
/// # Errors
/// [`DeliveryError`] says what a person must mend.
pub async fn channel_test(context: &Context, courier: &dyn Courier, channel: &Channel) -> Result<(), DeliveryError> {
    let now = context.now();
    let message = Message {
        purpose: Purpose::Test,
        severity: Severity::Info,
        subject: format!("Test of channel {}", channel.name),
        lead: "This channel works: alerts and digests arrive here.".to_owned(),
        facts: vec![("channel".to_owned(), channel.name.to_string())],
        sections: Vec::new(),
        next_steps: Vec::new(),
        at: now,
    };
    send(context, courier, channel, MessageId::new(now, context.ten()), &message).await
}
