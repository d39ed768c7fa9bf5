//! An event of CloudEvents 1.0 in structured JSON by POST, signed as the Standard Webhooks specification says (version 1,
//! HMAC-SHA256).
//!
//! `webhook-id` is the message's and the event's `id`, so a receiver can see to one that comes twice; the signature is over
//! id, time and body.

use backstay_core::domain::channel::{HookUrl, WebhookSettings};
use backstay_core::domain::message::Message;
use backstay_core::domain::secret::Secret;
use backstay_core::ports::courier::{DeliveryError, Parcel};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{causes, client, not_taken, said, unusable};

/// How the specification marks a key that is written in Base64.
const KEY_PREFIX: &str = "whsec_";

/// What an event in structured mode is sent as (CloudEvents 1.0, HTTP protocol binding, 3.2).
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// Where all of our events come from: with their ids, which nobody else gives, each of them is one alone.
const SOURCE: &str = "urn:backstay:server";

/// Most of an answer that is kept for a person.
const ANSWER_LETTERS_MAX: usize = 200;

/// Most of an answer that is read: the other side is a tenant's, and may never end.
const ANSWER_BYTES_MAX: usize = 4_096;

/// Returns where a channel sends its documents: what it says itself, or what is kept for it.
pub(super) fn address<'a>(settings: &'a WebhookSettings, parcel: &'a Parcel<'_>) -> &'a str {
    match &settings.url {
        HookUrl::Plain(url) => url,
        HookUrl::Kept(_) => parcel.url.as_ref().map_or("", Secret::expose_secret).trim(),
    }
}

/// Refuses what is kept and is no address.
fn judge(url: &str) -> Result<(), DeliveryError> {
    let plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    match Url::parse(url) {
        Ok(url) if ["https", "http"].contains(&url.scheme()) && plain(&url) => Ok(()),
        _ => Err(unusable("the secret is no URL: it must be one such as https://hooks.example/services/KEY")),
    }
}

/// Sends a document to where the channel says; redirects are refused, because the signed document is for nobody else.
pub(super) async fn send(
    settings: &WebhookSettings,
    parcel: &Parcel<'_>,
    place: &str,
    public_only: bool,
) -> Result<(), DeliveryError> {
    let url = address(settings, parcel);
    // The other side may repeat where it was asked: of a URL that is a secret nothing but the answer's status is told.
    let is_kept = matches!(settings.url, HookUrl::Kept(_));
    if is_kept {
        judge(url)?;
    }
    let client = client(parcel, url, public_only)?;
    let secret = parcel.secret.as_ref();
    let Some(key) = secret else { return Err(unusable("the key that signs is missing")) };
    let (id, at) = (parcel.id.to_string(), jiff::Timestamp::now().as_second());
    let body = document(&id, parcel.message).to_string();
    let request = client
        .post(url)
        .header("content-type", CONTENT_TYPE)
        .header("webhook-id", &id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signature(key, &id, at, &body)?)
        .body(body);
    let place = place.to_owned();
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            return Err(DeliveryError::Unreachable { place, said: said(&causes(&error.without_url()), secret) });
        }
    };
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    if is_kept {
        return Err(not_taken(status, place, status.to_string()));
    }
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Ok(Some(part)) = answer.chunk().await
    {
        body.extend_from_slice(&part);
    }
    let words = said(&format!("{status} {}", String::from_utf8_lossy(&body)), secret);
    let words = words.chars().take(ANSWER_LETTERS_MAX).collect();
    Err(not_taken(status, place, words))
}

/// Returns the value of the signature's header.
fn signature(secret: &Secret, id: &str, at: i64, body: &str) -> Result<String, DeliveryError> {
    let text = secret.expose_secret().trim();
    let key = match text.strip_prefix(KEY_PREFIX) {
        Some(coded) => BASE64.decode(coded.as_bytes()).map_err(|_| unusable("the key that signs is not Base64"))?,
        None => text.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
}

/// Returns a message as an event. Fields are only ever added; `timestamp` is what Standard Webhooks calls `time`.
fn document(id: &str, message: &Message) -> Value {
    let facts: Vec<Value> = message.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let section = |section: &backstay_core::domain::message::Section| json!({ "heading": section.heading, "severity": section.severity.word(), "lines": section.lines });
    json!({
        "specversion": "1.0",
        "id": id,
        "source": SOURCE,
        "type": format!("backstay.{}", message.purpose.word()),
        "time": message.at.to_string(),
        "timestamp": message.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "severity": message.severity.word(),
            "subject": message.subject,
            "text": message.lead,
            "facts": facts,
            "sections": message.sections.iter().map(section).collect::<Vec<_>>(),
            "next_steps": message.next_steps,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use backstay_core::domain::alert::Severity;
    use backstay_core::domain::channel::{ChannelKind, ChannelSettings};
    use backstay_core::domain::message::Purpose;

    use super::*;

    /// The example of the specification's own libraries: key, id, time and body with their signature.
    #[test]
    fn a_signature_is_the_specifications() {
        let key = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn message() -> Message {
        Message {
            purpose: Purpose::Test,
            severity: Severity::Info,
            subject: "x".to_owned(),
            lead: "y".to_owned(),
            facts: vec![("item".to_owned(), "<script>".to_owned())],
            sections: Vec::new(),
            next_steps: Vec::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// Sends to a server that gives one answer, and returns how it went and what the server read.
    async fn sent(answer: &'static str) -> (Result<(), DeliveryError>, String) {
        sent_to(answer, None).await
    }

    /// As [`sent`], by a channel that keeps its URL, with this path, as a secret.
    async fn sent_to(answer: &'static str, kept: Option<&str>) -> (Result<(), DeliveryError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{}", listener.local_addr().unwrap(), kept.unwrap_or("/hook"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4_096];
            while !String::from_utf8_lossy(&read).contains("next_steps") {
                let count = stream.read(&mut buffer).unwrap();
                read.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            (stream, String::from_utf8(read).unwrap())
        });
        let said = if kept.is_some() { "file:keys/channels/url" } else { &url };
        let settings = json!({ "url": said, "secret": "file:keys/channels/hook" });
        let settings = ChannelSettings::parse(ChannelKind::Webhook, &settings).unwrap();
        let ChannelSettings::Webhook(hook) = &settings else { panic!("it is a webhook") };
        let id = "0197f0c2-0000-7000-8000-000000000000".parse().unwrap();
        let (message, secret) = (message(), Some(Secret::from("hunter2")));
        let url = kept.map(|_| Secret::from(format!("{url}\n")));
        let parcel = Parcel { id, message: &message, settings: &settings, is_of_tenant: true, secret, url, ca: None };
        let told = send(hook, &parcel, "the hook", false).await;
        // The connection stays open until the answer is judged.
        (told, server.join().unwrap().1)
    }

    #[tokio::test]
    async fn a_document_is_signed_and_answers_are_told_apart() {
        let (told, read) = sent("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(told, Ok(()));
        let (head, body) = read.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start_matches(": ").to_owned())
        };
        let at: i64 = header("webhook-timestamp").unwrap().parse().unwrap();
        let id = header("webhook-id").unwrap();
        let expected = signature(&Secret::from("hunter2"), &id, at, body).unwrap();
        assert_eq!(header("webhook-signature").unwrap(), expected);
        assert!(!read.contains("hunter2"), "{read}");
        // An event as CloudEvents 1.0 has it in structured mode: a second delivery has the same id.
        assert_eq!(header("content-type").unwrap(), "application/cloudevents+json; charset=UTF-8");
        let event: Value = serde_json::from_str(body).unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name}: {event}"));
        assert_eq!((text("specversion"), text("id"), text("type")), ("1.0", id.as_str(), "backstay.test"));
        assert_eq!((text("source"), text("time")), ("urn:backstay:server", "1970-01-01T00:00:00Z"));
        assert_eq!(text("datacontenttype"), "application/json");
        assert_eq!((event["data"]["subject"].as_str(), event["data"]["severity"].as_str()), (Some("x"), Some("info")));
        // Attributes of an event are texts, with names of small letters and digits.
        for (name, value) in event.as_object().unwrap().iter().filter(|(name, _)| *name != "data") {
            assert!(value.is_string() && name.bytes().all(|letter| letter.is_ascii_lowercase()), "{name}");
        }
        let (told, _) = sent("HTTP/1.1 503 Busy\r\ncontent-length: 7\r\n\r\nhunter2").await;
        assert!(matches!(&told, Err(DeliveryError::Later { said, .. }) if said.contains("[REDACTED]")), "{told:?}");
        let (told, _) = sent("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(told, Err(DeliveryError::Refused { .. })), "{told:?}");
        // An answer that does not end is not read to its end.
        let endless = format!("HTTP/1.1 503 Busy\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(8_192));
        let (told, _) = sent(endless.leak()).await;
        assert!(matches!(told, Err(DeliveryError::Later { .. })), "{told:?}");
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (told, _) = sent(moved).await;
        assert!(matches!(&told, Err(DeliveryError::Refused { said, .. }) if said.contains("302")), "{told:?}");
    }

    /// Red when an answer that repeats where it was asked is told, or when what is kept is not where the document goes.
    #[tokio::test]
    async fn of_a_url_that_is_kept_nothing_is_told() {
        let echo = "HTTP/1.1 404 Not Found\r\ncontent-length: 33\r\n\r\nthere is no /services/T0/hunter3!";
        let (told, read) = sent_to(echo, Some("/services/T0/hunter3")).await;
        assert!(read.starts_with("POST /services/T0/hunter3 "), "{read}");
        assert!(matches!(&told, Err(DeliveryError::Refused { said, .. }) if said == "404 Not Found"), "{told:?}");
        let (told, _) = sent_to("HTTP/1.1 204 No Content\r\n\r\n", Some("/services/T0/hunter3")).await;
        assert_eq!(told, Ok(()));
        let error = judge("hunter3").unwrap_err();
        assert!(matches!(&error, DeliveryError::Settings { said } if !said.contains("hunter3")), "{error:?}");
        assert!(judge("https://a:hunter3@b.example").is_err() && judge("ftp://a.example").is_err());
    }
}
