//! A sign of life by POST, as healthchecks and its like take them: URL for a success, URL/start, URL/fail, and URL/log for
//! what says nothing of how it went. The body is what happened, as text.
//!
//! The whole URL is the secret. Of an answer nothing but its status is told: the other side may repeat where it was asked.

use backstay_core::domain::message::{Message, Purpose};
use backstay_core::ports::courier::{DeliveryError, Parcel};
use reqwest::Url;
use secrecy::ExposeSecret as _;

use super::{causes, client, not_taken, unusable};

/// Most of a text that is sent, in bytes: such services keep about as much.
const BODY_BYTES_MAX: usize = 10_000;

/// Sends a sign of life; redirects are refused, because nobody else is to know the URL.
pub(super) async fn send(parcel: &Parcel<'_>, place: &str, public_only: bool) -> Result<(), DeliveryError> {
    let Some(secret) = parcel.secret.as_ref() else { return Err(unusable("the URL is missing")) };
    let url = address(secret.expose_secret().trim(), parcel.message.purpose)?;
    let client = client(parcel, url.as_str(), public_only)?;
    let request = client
        .post(url)
        .header("content-type", "text/plain; charset=utf-8")
        .header("user-agent", concat!("backstay/", env!("CARGO_PKG_VERSION")))
        .body(body(parcel.message));
    let place = place.to_owned();
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(not_taken(answer.status(), place, answer.status().to_string())),
        Err(error) => Err(DeliveryError::Unreachable { place, said: causes(&error.without_url()) }),
    }
}

/// Returns where a message of this purpose goes. A query stays behind the path.
fn address(text: &str, purpose: Purpose) -> Result<Url, DeliveryError> {
    let refuse = || unusable("the secret is no URL: it must be one such as https://hc.example/ping/KEY/NAME");
    let mut url = Url::parse(text).map_err(|_| refuse())?;
    let is_plain = ["https", "http"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none();
    let part = match purpose {
        Purpose::Succeeded => None,
        Purpose::Started => Some("start"),
        Purpose::Failed => Some("fail"),
        Purpose::Alert | Purpose::End | Purpose::Digest | Purpose::Test => Some("log"),
    };
    match (url.path_segments_mut(), part) {
        (Ok(mut path), Some(part)) if is_plain => drop(path.pop_if_empty().push(part)),
        (Ok(_), None) if is_plain => {}
        _ => return Err(refuse()),
    }
    Ok(url)
}

/// Returns the text that is sent: its beginning, up to a whole letter.
fn body(message: &Message) -> String {
    let mut text = message.text();
    text.truncate(text.floor_char_boundary(BODY_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use backstay_core::domain::alert::Severity;
    use backstay_core::domain::channel::{ChannelKind, ChannelSettings};
    use backstay_core::domain::secret::Secret;
    use serde_json::json;

    use super::super::origin;
    use super::*;

    fn check(url: &str, purpose: Purpose, expected: &str) {
        let answer = address(url, purpose).map_or_else(|error| error.to_string(), |url| url.to_string());
        assert!(answer.starts_with(expected), "{url}: {answer}");
    }

    #[test]
    fn each_result_has_its_address() {
        check("https://hc.example/ping/k", Purpose::Succeeded, "https://hc.example/ping/k");
        check("https://hc.example/ping/k/", Purpose::Failed, "https://hc.example/ping/k/fail");
        check("https://hc.example/ping/k?rid=1", Purpose::Started, "https://hc.example/ping/k/start?rid=1");
        check("https://hc.example/ping/k", Purpose::Test, "https://hc.example/ping/k/log");
        for bad in ["hunter2", "", "ftp://a.example/x", "https://u:hunter2@a.example/", "mailto:a@b.example"] {
            check(bad, Purpose::Succeeded, "the secret is no URL");
            check(bad, Purpose::Failed, "the secret is no URL");
        }
    }

    fn message(purpose: Purpose, lead: &str) -> Message {
        Message {
            purpose,
            severity: Severity::Info,
            subject: "home: backup".to_owned(),
            lead: lead.to_owned(),
            facts: Vec::new(),
            sections: Vec::new(),
            next_steps: Vec::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// Sends to a server that gives one answer, and returns how it went and what the server read.
    async fn sent(purpose: Purpose, lead: &str, answer: &'static str) -> (Result<(), DeliveryError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping/hunter2", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4_096];
            let is_whole = |read: &[u8]| {
                let text = String::from_utf8_lossy(read).into_owned();
                let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                read.len() >= head.len() + 4 + length.parse::<usize>().unwrap()
            };
            while !is_whole(&read) {
                let count = stream.read(&mut buffer).unwrap();
                read.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            (stream, String::from_utf8(read).unwrap())
        });
        let settings = json!({ "url": "sealed:channel-hc", "plan": "home" });
        let settings = ChannelSettings::parse(ChannelKind::Ping, &settings).unwrap();
        let id = "0197f0c2-0000-7000-8000-000000000000".parse().unwrap();
        let message = message(purpose, lead);
        let place = origin(&url);
        let parcel = Parcel {
            id,
            message: &message,
            settings: &settings,
            is_of_tenant: true,
            secret: Some(Secret::from(url)),
            url: None,
            ca: None,
        };
        let told = send(&parcel, &place, false).await;
        (told, server.join().unwrap().1)
    }

    #[tokio::test]
    async fn what_happened_is_told_and_of_the_url_nothing() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
        let (told, read) = sent(Purpose::Failed, &"ä".repeat(20_000), ok).await;
        assert_eq!(told, Ok(()));
        let (head, body) = read.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /ping/hunter2/fail HTTP/1.1"), "{head}");
        assert!(body.starts_with("home: backup\n") && body.len() <= BODY_BYTES_MAX && body.len() > BODY_BYTES_MAX - 4);
        let (told, read) = sent(Purpose::Started, "an agent began it", ok).await;
        assert!(told == Ok(()) && read.starts_with("POST /ping/hunter2/start HTTP/1.1"), "{read}");
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nhunter2";
        let (told, _) = sent(Purpose::Succeeded, "x", gone).await;
        let error = told.unwrap_err();
        assert!(matches!(error, DeliveryError::Refused { .. }) && !error.to_string().contains("hunter2"), "{error}");
        let busy = "HTTP/1.1 503 hunter2\r\ncontent-length: 0\r\n\r\n";
        let error = sent(Purpose::Succeeded, "x", busy).await.0.unwrap_err();
        assert!(matches!(error, DeliveryError::Later { .. }) && !error.to_string().contains("hunter2"), "{error}");
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert!(matches!(sent(Purpose::Succeeded, "x", moved).await.0, Err(DeliveryError::Refused { .. })));
    }
}
