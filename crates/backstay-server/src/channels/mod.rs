//! Brings messages to people: mail (`smtp`), signed documents (`webhook`) and signs of life (`ping`). `html` is how a mail
//! looks.
//!
//! A channel kind is a file here and an arm in [`Channels`]. Each try has its connection of its own and ends within
//! `DELIVERY_TIME_MAX`; what the other side says is one line without the secret that it was given. Absent on purpose:
//! when something is tried again, and where secrets come from. Who comes in: the notifier, and a person's test.

mod html;
mod smtp;
mod webhook;
mod ping;
mod reach;

use std::sync::Arc;

use async_trait::async_trait;
use backstay_core::domain::channel::ChannelSettings;
use backstay_core::domain::message::one_line;
use backstay_core::domain::secret::Secret;
use backstay_core::managers::deliver::DELIVERY_TIME_MAX;
use backstay_core::ports::courier::{Courier, DeliveryError, Parcel};
use reqwest::{Certificate, Client, StatusCode};
use secrecy::ExposeSecret as _;

pub use html::page;
pub use reach::Reach;

/// All channel kinds.
#[derive(Debug, Clone, Copy)]
pub struct Channels {
    reach: Reach,
}

impl Channels {
    /// Returns channels that reach so far.
    pub const fn reaching(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Courier for Channels {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        let place = match parcel.settings {
            ChannelSettings::Smtp(settings) => format!("{}:{}", settings.host, settings.port),
            ChannelSettings::Webhook(settings) => origin(webhook::address(settings, parcel)),
            ChannelSettings::Ping(_) => origin(parcel.secret.as_ref().map_or("", Secret::expose_secret).trim()),
        };
        let public_only = self.reach.is_public_only(parcel);
        let sent = async {
            match parcel.settings {
                ChannelSettings::Smtp(settings) => smtp::send(settings, parcel, &place, public_only).await,
                ChannelSettings::Webhook(settings) => webhook::send(settings, parcel, &place, public_only).await,
                ChannelSettings::Ping(_) => ping::send(parcel, &place, public_only).await,
            }
        };
        let late = |_| Err(DeliveryError::Unreachable { place: place.clone(), said: "no answer in time".to_owned() });
        tokio::time::timeout(DELIVERY_TIME_MAX, sent).await.unwrap_or_else(late)
    }
}

/// Returns what of an address may be told: the paths of many hooks are their secrets.
fn origin(url: &str) -> String {
    let known = reqwest::Url::parse(url).map(|url| url.origin().ascii_serialization());
    known.unwrap_or_else(|_| "an address that is none".to_owned())
}

fn unusable(words: impl Into<String>) -> DeliveryError {
    DeliveryError::Settings { said: words.into() }
}

/// Returns a client for one try: no proxy, no redirects, and the certificates that the channel names.
fn client(parcel: &Parcel<'_>, url: &str, public_only: bool) -> Result<Client, DeliveryError> {
    let mut builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if public_only {
        // A host that is an address is not resolved.
        if let Some(host) = reqwest::Url::parse(url).ok().as_ref().and_then(reqwest::Url::host_str) {
            reach::judge(host)?;
        }
        builder = builder.dns_resolver(Arc::new(reach::PublicOnly));
    }
    if let Some(ca) = &parcel.ca {
        let certificates = Certificate::from_pem_bundle(ca.expose_secret().as_bytes());
        let certificates =
            certificates.map_err(|error| unusable(format!("the certificates cannot be read: {error}")))?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| unusable(causes(&error)))
}

/// Returns what an answer that is no success means.
fn not_taken(status: StatusCode, place: String, said: String) -> DeliveryError {
    let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    match status.is_server_error() || later.contains(&status) {
        true => DeliveryError::Later { place, said },
        false => DeliveryError::Refused { place, said },
    }
}

/// Returns what another side said as one line, without a secret that it may have repeated.
fn said(words: &str, secret: Option<&Secret>) -> String {
    let words = match secret.map(Secret::expose_secret).filter(|secret| !secret.is_empty()) {
        Some(secret) => words.replace(secret, "[REDACTED]"),
        None => words.to_owned(),
    };
    one_line(&words)
}

/// Returns an error with its causes as one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_no_secret_and_one_line() {
        let secret = Secret::from("hunter2");
        assert_eq!(said("535 hunter2\r\nis wrong", Some(&secret)), "535 [REDACTED] is wrong");
        assert_eq!(said("x", None), "x");
    }

    #[test]
    fn of_an_address_the_host_is_told_and_not_its_path() {
        assert_eq!(
            origin("https://hooks.example.org:8443/services/T0/B0/secret?key=x"),
            "https://hooks.example.org:8443"
        );
        assert_eq!(origin("https://"), "an address that is none");
    }
}
