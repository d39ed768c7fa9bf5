//! Mail to a real server: over STARTTLS after a login, and how each way to fail is told.

use backstay_core::domain::alert::Severity;
use backstay_core::domain::channel::{ChannelKind, ChannelSettings};
use backstay_core::domain::id::MessageId;
use backstay_core::domain::message::{Message, Purpose};
use backstay_core::domain::secret::Secret;
use backstay_core::ports::courier::{Courier as _, DeliveryError, Parcel};
use backstay_server::channels::{Channels, Reach};
use backstay_testkit::peers::smtp::{SmtpPeer, smtp, subject};
use serde_json::{Value, json};

fn message(subject: &str) -> Message {
    Message {
        purpose: Purpose::Alert,
        severity: Severity::Error,
        subject: subject.to_owned(),
        lead: "<script>alert(1)</script> is overdue.".to_owned(),
        facts: vec![("item".to_owned(), "/home/ada & co".to_owned())],
        sections: Vec::new(),
        next_steps: vec!["Ask for a backup now: backstay plan run home".to_owned()],
        at: jiff::Timestamp::now(),
    }
}

async fn send(peer: &SmtpPeer, to: &str, more: Value, password: &str) -> Result<(), DeliveryError> {
    let mut settings = peer.settings(to, "file:keys/channels/mail", "file:keys/channels/ca");
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = ChannelSettings::parse(ChannelKind::Smtp, &settings).unwrap();
    let message = message("Overdue: /home/ada\r\nBcc: eve@test.example");
    let ca = settings.references().iter().any(|(name, _)| *name == "settings.ca_file");
    let parcel = Parcel {
        id: MessageId::new(jiff::Timestamp::now(), [7; 10]),
        message: &message,
        settings: &settings,
        is_of_tenant: true,
        secret: Some(Secret::from(password)),
        url: None,
        ca: ca.then(|| Secret::from(peer.ca.as_str())),
    };
    Channels::reaching(Reach::Anywhere).deliver(&parcel).await
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let Some(peer) = smtp() else { return };
    let to = peer.receiver();
    send(peer, &to, json!({}), &peer.password).await.unwrap();
    let mails = peer.mails(&to);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(subject(mail), "[error] Overdue: /home/ada Bcc: eve@test.example");
    let head = mail.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{head}");
    for line in ["multipart/alternative", "text/plain", "text/html", "Auto-Submitted: auto-generated", "Message-ID: <"]
    {
        assert!(mail.contains(line), "{line}: {mail}");
    }
    let (_, html) = mail.split_once("text/html").unwrap();
    let html = html.replace("=\r\n", "");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>") && !mail.contains(&peer.password), "{mail}");
}

/// Red when a certificate of anybody, or a connection in clear, is good enough.
#[tokio::test]
async fn each_way_to_fail_is_told_apart_and_no_secret_with_it() {
    let Some(peer) = smtp() else { return };
    let to = peer.receiver();
    let wrong = send(peer, &to, json!({}), "hunter2-is-wrong").await.unwrap_err();
    assert!(matches!(wrong, DeliveryError::Refused { .. }), "{wrong}");
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    let busy = send(peer, "later@test.example", json!({}), &peer.password).await.unwrap_err();
    assert!(matches!(&busy, DeliveryError::Later { said, .. } if said.contains("busy")), "{busy}");
    let unknown = send(peer, "refuse@test.example", json!({}), &peer.password).await.unwrap_err();
    assert!(matches!(&unknown, DeliveryError::Refused { said, .. } if said.contains("no such user")), "{unknown}");
    // Its certificate is nobody's whom the system trusts.
    let foreign = send(peer, &to, json!({ "ca_file": null }), &peer.password).await.unwrap_err();
    assert!(matches!(foreign, DeliveryError::Unreachable { .. }), "{foreign}");
    // In clear it takes nothing.
    let clear = json!({ "tls": "none", "username": null, "password": null });
    let clear = send(peer, &to, clear, &peer.password).await.unwrap_err();
    assert!(matches!(clear, DeliveryError::Refused { .. }), "{clear}");
    let gone = send(peer, &to, json!({ "port": 1 }), &peer.password).await.unwrap_err();
    assert!(matches!(gone, DeliveryError::Unreachable { .. }), "{gone}");
    assert!(peer.mails(&to).is_empty());
}
