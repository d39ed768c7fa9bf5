//! Ways to deliver, and what goes where: a channel with its settings, its rules and the window of its digest.
//!
//! Settings come and go as JSON and are judged here, for the API and for rows alike. Secrets are references below
//! `keys/channels/`: whoever declares a channel chooses the server that a password is sent to, so no other key may be named.

mod kind;
mod ping;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::alert::{Delivery, Rule, Severity, Topic};
use super::id::{ChannelId, TenantId};
use super::name::Name;
use super::secret::SecretReference;
use super::tenant::Tenant;
pub use ping::{PingSettings, PlanPlace};

/// Most receivers of one channel: more are a mailing list's matter.
pub const RECEIVERS_MAX: usize = 50;

/// How the names of sealed secrets begin that channels may use. Nothing else may: what a channel uses goes to a server
/// that its owner chose.
pub const SEALED_PREFIX: &str = "channel-";

/// How the names of the installation's own secrets begin that channels may use, behind their prefix.
const OWN_PREFIXES: [&str; 2] = ["BACKSTAY_SECRET_CHANNEL_", "secret-channel-"];

/// Says whether a secret is meant for channels, by its name. Such a secret opens no data: a channel sends it to a server.
pub fn is_for_channels(reference: &SecretReference) -> bool {
    match reference {
        SecretReference::File(_) => false,
        SecretReference::Sealed { name, .. } => name.as_str().starts_with(SEALED_PREFIX),
        SecretReference::Environment(name) | SecretReference::Credential(name) => {
            OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        }
    }
}

/// How a channel delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Mail, handed to a server.
    Smtp,
    /// A JSON document by POST, signed.
    Webhook,
    /// A sign of life for each backup of a plan.
    Ping,
}

super::job::words!(ChannelKind: Smtp = "smtp", Webhook = "webhook", Ping = "ping");

/// How a connection to a mail server is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Begins in clear and must become TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// In clear, because somebody said so.
    None,
}

super::job::words!(Tls: StartTls = "start_tls", Implicit = "implicit", None = "none");

/// Settings of a mail channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept.
    pub tls: Tls,
    /// Certificates (PEM) that are trusted instead of the system's; none for the system's.
    pub ca_file: Option<SecretReference>,
    /// Who logs in; none for nobody.
    pub username: Option<String>,
    /// Where the password is; there exactly when somebody logs in.
    pub password: Option<SecretReference>,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
}

/// Where a webhook's documents are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookUrl {
    /// There: its row and its lists show it.
    Plain(String),
    /// Where this secret says: the paths of many hooks open them.
    Kept(SecretReference),
}

impl HookUrl {
    /// Returns the text that the setting was read from.
    fn words(&self) -> String {
        match self {
            Self::Plain(url) => url.clone(),
            Self::Kept(reference) => reference.to_string(),
        }
    }

    const fn reference(&self) -> Option<&SecretReference> {
        match self {
            Self::Plain(_) => None,
            Self::Kept(reference) => Some(reference),
        }
    }

    const fn reference_mut(&mut self) -> Option<&mut SecretReference> {
        match self {
            Self::Plain(_) => None,
            Self::Kept(reference) => Some(reference),
        }
    }
}

/// Settings of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where documents are sent.
    pub url: HookUrl,
    /// Where the key is that signs them.
    pub secret: SecretReference,
    /// Certificates (PEM) that are trusted instead of the system's; none for the system's.
    pub ca_file: Option<SecretReference>,
}

/// What a channel needs to know, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelSettings {
    /// A mail channel's.
    Smtp(SmtpSettings),
    /// A webhook's.
    Webhook(WebhookSettings),
    /// A ping channel's.
    Ping(PingSettings),
}

/// A setting of a channel that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ChannelError {
    /// The setting's name, dotted.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

fn wrong(field: &str, problem: impl Into<String>) -> ChannelError {
    ChannelError { field: field.to_owned(), problem: problem.into() }
}

/// Reads the fields of a document one by one; what is left at the end is unknown.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(value: &Value) -> Result<Self, ChannelError> {
        value.as_object().cloned().map(Self).ok_or_else(|| wrong("settings", "give an object"))
    }

    fn text_some(&mut self, name: &str) -> Result<Option<String>, ChannelError> {
        let field = format!("settings.{name}");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() || text.chars().any(char::is_control) => {
                Err(wrong(&field, "give one line of text"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&field, "give a text")),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, ChannelError> {
        self.text_some(name)?.ok_or_else(|| wrong(&format!("settings.{name}"), "is needed"))
    }

    fn reference(&mut self, name: &str) -> Result<Option<SecretReference>, ChannelError> {
        let field = format!("settings.{name}");
        let Some(text) = self.text_some(name)? else { return Ok(None) };
        let reference: SecretReference = text.parse().map_err(|error| wrong(&field, format!("{error}")))?;
        Ok(Some(reference))
    }

    fn end(self) -> Result<(), ChannelError> {
        match self.0.keys().next() {
            Some(name) => Err(wrong(&format!("settings.{name}"), "is not a setting of this kind")),
            None => Ok(()),
        }
    }
}

/// Says whether a text is one plain address: a part, `@`, a domain, and no letter that means something in a header.
fn is_address(text: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace() && !"<>()[],;:\\\"".contains(letter);
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    text.len() <= 254 && !local.is_empty() && !domain.is_empty() && !local.contains('@') && text.chars().all(plain)
}

impl ChannelSettings {
    /// Returns whose settings they are.
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Smtp(_) => ChannelKind::Smtp,
            Self::Webhook(_) => ChannelKind::Webhook,
            Self::Ping(_) => ChannelKind::Ping,
        }
    }

    /// Judges settings.
    ///
    /// # Errors
    /// [`ChannelError`] names the setting that is wrong.
    pub fn parse(kind: ChannelKind, value: &Value) -> Result<Self, ChannelError> {
        let mut fields = Fields::of(value)?;
        let settings = match kind {
            ChannelKind::Smtp => Self::Smtp(smtp(&mut fields)?),
            ChannelKind::Webhook => Self::Webhook(webhook(&mut fields)?),
            ChannelKind::Ping => Self::Ping(ping::read(&mut fields)?),
        };
        fields.end()?;
        Ok(settings)
    }

    /// Returns the settings as a document: what [`ChannelSettings::parse`] reads, references and no secrets.
    pub fn document(&self) -> Value {
        let mut document = match self {
            Self::Smtp(smtp) => json!({
                "host": smtp.host, "port": smtp.port, "tls": smtp.tls.word(), "from": smtp.from, "to": smtp.to,
                "username": smtp.username, "password": smtp.password.as_ref().map(ToString::to_string),
                "ca_file": smtp.ca_file.as_ref().map(ToString::to_string),
            }),
            Self::Webhook(webhook) => json!({
                "url": webhook.url.words(), "secret": webhook.secret.to_string(),
                "ca_file": webhook.ca_file.as_ref().map(ToString::to_string),
            }),
            Self::Ping(ping) => json!({
                "url": ping.url.to_string(), "plan": ping.plan.words(), "start": ping.start.then_some(true),
                "ca_file": ping.ca_file.as_ref().map(ToString::to_string),
            }),
        };
        if let Some(fields) = document.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        document
    }

    /// Returns all references to secrets, each with its setting's name.
    pub fn references(&self) -> Vec<(&'static str, &SecretReference)> {
        match self {
            Self::Smtp(smtp) => {
                let password = smtp.password.as_ref().map(|reference| ("settings.password", reference));
                password.into_iter().chain(smtp.ca_file.as_ref().map(|file| ("settings.ca_file", file))).collect()
            }
            Self::Webhook(webhook) => {
                let url = webhook.url.reference().map(|reference| ("settings.url", reference));
                let secret = url.into_iter().chain([("settings.secret", &webhook.secret)]);
                secret.chain(webhook.ca_file.as_ref().map(|file| ("settings.ca_file", file))).collect()
            }
            Self::Ping(ping) => {
                let url = [("settings.url", &ping.url)];
                url.into_iter().chain(ping.ca_file.as_ref().map(|file| ("settings.ca_file", file))).collect()
            }
        }
    }

    fn references_mut(&mut self) -> Vec<(&'static str, &mut SecretReference)> {
        match self {
            Self::Smtp(smtp) => {
                let password = smtp.password.as_mut().map(|reference| ("settings.password", reference));
                password.into_iter().chain(smtp.ca_file.as_mut().map(|file| ("settings.ca_file", file))).collect()
            }
            Self::Webhook(webhook) => {
                let url = webhook.url.reference_mut().map(|reference| ("settings.url", reference));
                let secret = url.into_iter().chain([("settings.secret", &mut webhook.secret)]);
                secret.chain(webhook.ca_file.as_mut().map(|file| ("settings.ca_file", file))).collect()
            }
            Self::Ping(ping) => {
                let url = [("settings.url", &mut ping.url)];
                url.into_iter().chain(ping.ca_file.as_mut().map(|file| ("settings.ca_file", file))).collect()
            }
        }
    }
}

fn smtp(fields: &mut Fields) -> Result<SmtpSettings, ChannelError> {
    let tls = match fields.text_some("tls")? {
        None => Tls::StartTls,
        Some(word) => Tls::from_word(&word)
            .ok_or_else(|| wrong("settings.tls", format!("`{word}` is not one of start_tls, implicit, none")))?,
    };
    let port = match fields.0.remove("port") {
        None | Some(Value::Null) => match tls {
            Tls::StartTls => 587,
            Tls::Implicit => 465,
            Tls::None => 25,
        },
        // A command line has texts only.
        Some(Value::String(text)) => text.parse().map_err(|_| wrong("settings.port", "give 1 to 65535"))?,
        Some(value) => value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| wrong("settings.port", "give 1 to 65535"))?,
    };
    let to: Vec<String> = match fields.0.remove("to") {
        Some(Value::String(text)) => text.split(',').map(|one| one.trim().to_owned()).collect(),
        Some(Value::Array(list)) => list.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect(),
        _ => Vec::new(),
    };
    if to.is_empty() || to.len() > RECEIVERS_MAX {
        return Err(wrong("settings.to", format!("give 1 to {RECEIVERS_MAX} addresses")));
    }
    if let Some(bad) = to.iter().find(|one| !is_address(one)) {
        return Err(wrong("settings.to", format!("{bad:?} is not a mail address")));
    }
    let from = fields.text("from")?;
    if !is_address(&from) {
        return Err(wrong("settings.from", format!("{from:?} is not a mail address")));
    }
    let host = fields.text("host")?;
    if !host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-:[]_".contains(letter)) {
        return Err(wrong("settings.host", "give a host's name or address"));
    }
    let settings = SmtpSettings {
        host,
        port,
        tls,
        ca_file: fields.reference("ca_file")?,
        username: fields.text_some("username")?,
        password: fields.reference("password")?,
        from,
        to,
    };
    if settings.username.is_some() != settings.password.is_some() {
        return Err(wrong("settings.password", "username and password go together"));
    }
    if settings.tls == Tls::None && settings.password.is_some() {
        return Err(wrong("settings.tls", "a password is never sent in clear: choose start_tls or implicit"));
    }
    Ok(settings)
}

fn webhook(fields: &mut Fields) -> Result<WebhookSettings, ChannelError> {
    let text = fields.text("url")?;
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    let url = match (is_url, text.parse()) {
        (true, _) if !text.contains('@') => HookUrl::Plain(text),
        (false, Ok(reference)) => HookUrl::Kept(reference),
        // What stands there may be a secret: it is not repeated.
        _ => {
            let words = "give an https:// address without a password in it, or where it is kept: sealed:channel-NAME";
            return Err(wrong("settings.url", words));
        }
    };
    let secret = fields.reference("secret")?.ok_or_else(|| wrong("settings.secret", "is needed"))?;
    Ok(WebhookSettings { url, secret, ca_file: fields.reference("ca_file")? })
}

/// How often a digest comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rhythm {
    /// Each day.
    Daily,
    /// Each week, on a day.
    Weekly(Weekday),
}

/// When a digest is due: at a local time of its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// How often.
    pub rhythm: Rhythm,
    /// Minutes after local midnight.
    pub minute: u16,
    /// IANA name of the zone.
    pub time_zone: String,
}

/// The days as they are written, Monday first.
const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl Window {
    /// Reads `daily 07:00 Europe/Berlin` or `monday 07:00 Europe/Berlin`; UTC when the zone is left out.
    ///
    /// # Errors
    /// [`ChannelError`] says what is not understood.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let refuse = || wrong("digest", "write `daily 07:00 Europe/Berlin` or `monday 07:00 Europe/Berlin`");
        let mut words = text.split_whitespace();
        let (Some(day), Some(time)) = (words.next(), words.next()) else { return Err(refuse()) };
        let time_zone = words.next().unwrap_or("UTC").to_owned();
        let rhythm = match DAYS.iter().find(|(name, _)| *name == day) {
            Some((_, day)) => Rhythm::Weekly(*day),
            None if day == "daily" => Rhythm::Daily,
            None => return Err(refuse()),
        };
        let (hour, minute) = time.split_once(':').ok_or_else(refuse)?;
        let read = |text: &str, max: u16| text.parse::<u16>().ok().filter(|number| *number < max && text.len() <= 2);
        let (Some(hour), Some(minute), None) = (read(hour, 24), read(minute, 60), words.next()) else {
            return Err(refuse());
        };
        TimeZone::get(&time_zone).map_err(|_| wrong("digest", format!("{time_zone:?} is not a time zone")))?;
        Ok(Self { rhythm, minute: hour * 60 + minute, time_zone })
    }

    /// Returns the text that [`Window::parse`] reads.
    pub fn words(&self) -> String {
        let day = match self.rhythm {
            Rhythm::Daily => "daily",
            Rhythm::Weekly(day) => DAYS.iter().find(|(_, known)| *known == day).map_or("", |(name, _)| name),
        };
        format!("{day} {:02}:{:02} {}", self.minute / 60, self.minute % 60, self.time_zone)
    }

    /// Returns the first moment after `now` at which a digest is due. A local time that a change of clocks leaves out
    /// is the moment after the gap; one that comes twice is its first time.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let today = now.to_zoned(zone.clone()).date();
        let (hour, minute) = (self.minute / 60, self.minute % 60);
        (0..=8)
            .filter_map(|days: i32| today.checked_add(days.days()).ok())
            .filter(|date| match self.rhythm {
                Rhythm::Daily => true,
                Rhythm::Weekly(day) => date.weekday() == day,
            })
            .filter_map(|date| {
                let local = date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
                zone.to_ambiguous_timestamp(local).compatible().ok()
            })
            .find(|at| *at > now)
            .unwrap_or(Timestamp::MAX)
    }
}

/// Says what goes to a channel. What is not named matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRule {
    /// The least severity.
    pub severity_min: Severity,
    /// Only of these topics; empty for all.
    pub topics: Vec<Topic>,
    /// Only of this tenant; none for all that the channel serves.
    pub tenant_id: Option<TenantId>,
    /// How.
    pub delivery: Delivery,
}

/// A way to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is; none for one of the installation, which serves all tenants.
    pub tenant_id: Option<TenantId>,
    /// Its name, unique for its owner.
    pub name: Name,
    /// What it needs to know.
    pub settings: ChannelSettings,
    /// What goes there.
    pub rules: Vec<ChannelRule>,
    /// When its digest is due; none for no digest.
    pub digest: Option<Window>,
    /// When it was declared.
    pub created_at: Timestamp,
}

impl Channel {
    /// Returns the rules with the channel's own tenant and its id as the channel's name.
    pub fn routes(&self) -> impl Iterator<Item = Rule> {
        self.rules.iter().map(|rule| Rule {
            severity_min: rule.severity_min,
            topics: rule.topics.clone(),
            tenant_id: self.tenant_id.or(rule.tenant_id),
            channel: self.id.to_string(),
            delivery: rule.delivery,
        })
    }

    /// Says whether the channel tells of a tenant.
    pub fn serves(&self, tenant: TenantId) -> bool {
        self.tenant_id.is_none_or(|own| own == tenant)
    }
}

/// Judges that a channel names only secrets that are meant for one, and says of sealed ones whose they are: files below
/// `keys/channels/`, of a tenant's channel below `keys/channels/TENANT/`; sealed secrets whose names begin with
/// [`SEALED_PREFIX`], of a tenant's channel its own; of a channel of the installation what the server was started with for
/// channels.
///
/// # Errors
/// [`ChannelError`] names the setting.
pub fn references_judge(settings: &mut ChannelSettings, tenant: Option<&Tenant>) -> Result<(), ChannelError> {
    let folder = match tenant {
        Some(tenant) => format!("keys/channels/{}/", tenant.name),
        None => "keys/channels/".to_owned(),
    };
    for (field, reference) in settings.references_mut() {
        let own = match (&*reference, tenant) {
            (SecretReference::File(path), _) if path.starts_with(&folder) => continue,
            (SecretReference::File(_), _) => return Err(wrong(field, format!("must lie below file:{folder}"))),
            (SecretReference::Environment(_) | SecretReference::Credential(_), Some(_)) => {
                return Err(wrong(field, format!("is the installation's: write sealed:{SEALED_PREFIX}NAME")));
            }
            (SecretReference::Environment(_) | SecretReference::Credential(_), None) => {
                if is_for_channels(reference) {
                    continue;
                }
                return Err(wrong(
                    field,
                    format!("must be one that begins with `{}` or `{}`", OWN_PREFIXES[0], OWN_PREFIXES[1]),
                ));
            }
            (SecretReference::Sealed { .. }, _) if !is_for_channels(reference) => {
                return Err(wrong(field, format!("must be one whose name begins with `{SEALED_PREFIX}`")));
            }
            (SecretReference::Sealed { tenant_id: None, .. }, None) => {
                return Err(wrong(field, "must say whose it is: sealed:TENANT-ID/NAME".to_owned()));
            }
            (SecretReference::Sealed { .. }, None) => continue,
            (SecretReference::Sealed { .. }, Some(tenant)) => reference.clone().of_tenant(tenant.id),
        };
        *reference = own.ok_or_else(|| wrong(field, "must be a secret of the channel's own tenant".to_owned()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
