//! Mail, by lettre: text and HTML, over STARTTLS or TLS unless the channel says in clear.

use backstay_core::domain::channel::{SmtpSettings, Tls};
use backstay_core::domain::message::Purpose;
use backstay_core::ports::courier::{DeliveryError, Parcel};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as LettreTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::{causes, html, reach, said};

/// Says to other programs that no person wrote this (RFC 3834): nobody's holiday answers come back.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Hands a mail to the server that the channel names.
pub(super) async fn send(
    settings: &SmtpSettings,
    parcel: &Parcel<'_>,
    place: &str,
    public_only: bool,
) -> Result<(), DeliveryError> {
    let mail = mail(settings, parcel).map_err(|words| DeliveryError::Settings { said: words })?;
    let hosts = match public_only {
        // Resolved once: the name might have another address the next time.
        true => reach::resolve(&settings.host, settings.port, place).await?,
        false => vec![settings.host.clone()],
    };
    let mut answer = Err(DeliveryError::Unreachable { place: place.to_owned(), said: "it has no address".to_owned() });
    for host in hosts {
        answer = send_to(settings, &host, parcel, place, &mail).await;
        if !matches!(answer, Err(DeliveryError::Unreachable { .. })) {
            break;
        }
    }
    answer
}

/// Hands a mail to one host of the server.
async fn send_to(
    settings: &SmtpSettings,
    host: &str,
    parcel: &Parcel<'_>,
    place: &str,
    mail: &Mail,
) -> Result<(), DeliveryError> {
    let transport = transport(settings, host, parcel)?;
    let Err(error) = transport.send(mail.clone()).await else { return Ok(()) };
    let words = said(&causes(&error), parcel.secret.as_ref());
    let place = place.to_owned();
    Err(if error.is_permanent() {
        DeliveryError::Refused { place, said: words }
    } else if error.is_transient() {
        DeliveryError::Later { place, said: words }
    } else if error.is_client() {
        // It offers no STARTTLS, or no way to log in that we know.
        DeliveryError::Refused { place, said: words }
    } else {
        DeliveryError::Unreachable { place, said: words }
    })
}

/// Returns the way to a host; certificates are judged by the name in the settings.
fn transport(
    settings: &SmtpSettings,
    host: &str,
    parcel: &Parcel<'_>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, DeliveryError> {
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(settings.port);
    let builder = match settings.tls {
        Tls::None => builder.tls(LettreTls::None),
        Tls::StartTls => builder.tls(LettreTls::Required(parameters(settings, parcel)?)),
        Tls::Implicit => builder.tls(LettreTls::Wrapper(parameters(settings, parcel)?)),
    };
    let builder = match (&settings.username, &parcel.secret) {
        // The password goes through TLS only: settings without it name none.
        (Some(username), Some(password)) if settings.tls != Tls::None => {
            builder.credentials(Credentials::new(username.clone(), password.expose_secret().to_owned()))
        }
        _ => builder,
    };
    Ok(builder.build())
}

fn parameters(settings: &SmtpSettings, parcel: &Parcel<'_>) -> Result<TlsParameters, DeliveryError> {
    let wrong = |error: lettre::transport::smtp::Error| DeliveryError::Settings {
        said: format!("the certificates that the channel names cannot be used: {}", causes(&error)),
    };
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(ca) = &parcel.ca {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(ca.expose_secret().as_bytes()).map_err(wrong)?);
    }
    builder.build().map_err(wrong)
}

/// Returns the mail. Lettre writes headers so that no text ends one; addresses and subject were judged before.
fn mail(settings: &SmtpSettings, parcel: &Parcel<'_>) -> Result<Mail, String> {
    let message = parcel.message;
    let from = mailbox(Some("Backstay"), &settings.from)?;
    let domain = settings.from.rsplit('@').next().unwrap_or("localhost");
    let mut builder: MessageBuilder = Mail::builder()
        .from(from)
        .message_id(Some(format!("<{}@{domain}>", parcel.id)))
        .subject(backstay_core::domain::message::one_line(&subject(message)))
        .header(AutoSubmitted);
    for to in &settings.to {
        builder = builder.to(mailbox(None, to)?);
    }
    let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(message.text());
    let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(html::page(message));
    let parts = MultiPart::alternative().singlepart(text).singlepart(html);
    builder.multipart(parts).map_err(|error| format!("the mail cannot be made: {error}"))
}

fn mailbox(name: Option<&str>, address: &str) -> Result<Mailbox, String> {
    let parsed = address.parse().map_err(|error| format!("{address:?} is no mail address: {error}"))?;
    Ok(Mailbox::new(name.map(str::to_owned), parsed))
}

/// Returns the subject with what it is, for a list of mails without colours.
fn subject(message: &backstay_core::domain::message::Message) -> String {
    match message.purpose {
        Purpose::Alert => format!("[{}] {}", message.severity.word(), message.subject),
        Purpose::End => format!("[well] {}", message.subject),
        Purpose::Digest => format!("[digest] {}", message.subject),
        Purpose::Test => format!("[test] {}", message.subject),
        Purpose::Started | Purpose::Succeeded | Purpose::Failed => message.subject.clone(),
    }
}

#[cfg(test)]
mod tests {
    use backstay_core::domain::alert::Severity;
    use backstay_core::domain::channel::{ChannelKind, ChannelSettings};
    use backstay_core::domain::message::Message;

    use super::*;

    fn written(subject: &str) -> String {
        let message = Message {
            purpose: Purpose::Alert,
            severity: Severity::Error,
            subject: subject.to_owned(),
            lead: "<script>alert(1)</script>".to_owned(),
            facts: Vec::new(),
            sections: Vec::new(),
            next_steps: Vec::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let settings = serde_json::json!({ "host": "mail.example", "from": "b@a.example", "to": "ann@a.example" });
        let settings = ChannelSettings::parse(ChannelKind::Smtp, &settings).unwrap();
        let ChannelSettings::Smtp(smtp) = &settings else { panic!("it is a mail channel") };
        let id = "0197f0c2-0000-7000-8000-000000000000".parse().unwrap();
        let parcel = Parcel {
            id,
            message: &message,
            settings: &settings,
            is_of_tenant: true,
            secret: None,
            url: None,
            ca: None,
        };
        String::from_utf8(mail(smtp, &parcel).unwrap().formatted()).unwrap()
    }

    /// A name with a line's end in it makes no header of its own.
    #[test]
    fn a_subject_makes_no_headers() {
        let text = written("x\r\nBcc: eve@b.example\r\n\r\nbody");
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{head}");
        assert!(head.contains("Subject: [error] x Bcc: eve@b.example body"), "{head}");
    }

    #[test]
    fn a_mail_says_who_it_is_from_and_that_nobody_wrote_it() {
        let text = written("Überfällig");
        for line in [
            "Auto-Submitted: auto-generated",
            "Message-ID: <0197f0c2-0000-7000-8000-000000000000@a.example>",
            "multipart/alternative",
            "From: Backstay <b@a.example>",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let (_, html) = text.split_once("text/html").unwrap();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
    }
}
