//! The loop that hands messages to channels, beside a channel that never answers.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_api::types::channel::ChannelView;
use backstay_core::domain::alert::Severity;
use backstay_core::domain::channel::{Channel, ChannelKind, ChannelSettings};
use backstay_core::domain::id::{ChannelId, MessageId};
use backstay_core::domain::message::{Message, Purpose};
use backstay_core::managers::channel::channel_test;
use backstay_core::managers::context::Context;
use backstay_core::ports::courier::{Courier, DeliveryError, Parcel};
use backstay_core::ports::notice::{NoticeWrite, Outgoing};
use backstay_server::loops::notifier;
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::World;
use backstay_testkit::fakes::secret::SecretMap;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::served::fakes;

/// A courier whose letters to one host never arrive; it notes the subjects of all that it is given.
#[derive(Default)]
struct HalfDeaf {
    given: Mutex<Vec<String>>,
}

impl HalfDeaf {
    fn count(&self, subject: &str) -> usize {
        self.given.lock().unwrap().iter().filter(|given| *given == subject).count()
    }
}

#[async_trait]
impl Courier for HalfDeaf {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        self.given.lock().unwrap().push(parcel.message.subject.clone());
        if parcel.message.subject == "dead" {
            let late = tokio::time::timeout(Duration::from_secs(45), pending::<()>()).await;
            return Err(DeliveryError::Unreachable { place: "dead".to_owned(), said: late.unwrap_err().to_string() });
        }
        Ok(())
    }
}

fn channel(world: &World, name: &str) -> Channel {
    let settings = json!({ "host": "mail.example", "from": "b@a.example", "to": ["ann@a.example"] });
    Channel {
        id: ChannelId::new(world.now(), world.ten()),
        tenant_id: None,
        name: name.parse().unwrap(),
        settings: ChannelSettings::parse(ChannelKind::Smtp, &settings).unwrap(),
        rules: Vec::new(),
        digest: None,
        created_at: world.now(),
    }
}

fn outgoing(world: &World, to: &Channel) -> Outgoing {
    let message = Message {
        purpose: Purpose::Alert,
        severity: Severity::Error,
        subject: to.name.to_string(),
        lead: String::new(),
        facts: Vec::new(),
        sections: Vec::new(),
        next_steps: Vec::new(),
        at: world.now(),
    };
    let id = MessageId::new(world.now(), world.ten());
    Outgoing { id, channel_id: to.id, tenant_id: Some(world.tenant.id), message, created_at: world.now() }
}

/// Red when a channel that does not answer takes more than one sender, when others wait for it, or when it is not given a
/// rest: of its messages each would have a try of 45 seconds, one after another.
#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_answer_holds_up_nobody_else() {
    let world = World::new(fakes(), 1).await;
    let notices = &world.stores.notices;
    let (dead, alive) = (channel(&world, "dead"), channel(&world, "alive"));
    for channel in [&dead, &alive] {
        notices.channel_add(channel, None).await.unwrap();
    }
    // Those that nobody takes were there first.
    for (to, count) in [(&dead, 50), (&alive, 20)] {
        let messages = (0..count).map(|_| outgoing(&world, to)).collect();
        assert!(notices.notice_put(&NoticeWrite { messages, ..NoticeWrite::default() }).await.unwrap());
        world.clock.advance(Duration::from_millis(1));
    }
    let (courier, end) = (Arc::new(HalfDeaf::default()), CancellationToken::new());
    let running = tokio::spawn(notifier::run(context(&world.stores), courier.clone(), end.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((courier.count("alive"), courier.count("dead")), (20, 1));

    // While it is tried, what comes for others is not late.
    let late = vec![outgoing(&world, &alive)];
    assert!(notices.notice_put(&NoticeWrite { messages: late, ..NoticeWrite::default() }).await.unwrap());
    tokio::time::sleep(notifier::LOOK_EVERY * 2).await;
    assert_eq!(courier.count("alive"), 21);

    // A try of 45 seconds, and a rest of three minutes after it.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(courier.count("dead"), 1, "it rests");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(courier.count("dead"), 2);
    end.cancel();
    running.await.unwrap();
}

/// Notes where it is to bring something.
#[derive(Default)]
struct Addressed(Mutex<Vec<Option<String>>>);

#[async_trait]
impl Courier for Addressed {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        let url = parcel.url.as_ref().map(|url| url.expose_secret().to_owned());
        self.0.lock().unwrap().push(url);
        Ok(())
    }
}

/// Red when the URL of a hook is not read when something is brought, and when what is shown of it is more than where it is.
#[tokio::test]
async fn a_hooks_url_is_read_when_something_is_brought() {
    let stores = fakes();
    let world = World::new(stores.clone(), 1).await;
    let (secrets, courier) = (SecretMap::default(), Addressed::default());
    secrets.put(&"file:keys/channels/hook".parse().unwrap(), "a key");
    let hook = |url: &str| {
        let settings = json!({ "url": url, "secret": "file:keys/channels/hook" });
        let settings = ChannelSettings::parse(ChannelKind::Webhook, &settings).unwrap();
        Channel { settings, ..channel(&world, "hook") }
    };
    let (plain, kept) = (hook("https://a.example/x"), hook("file:keys/channels/url"));
    assert!(ChannelView::from(&kept).settings.to_string().contains("file:keys/channels/url"));
    let context = Context { secrets: Arc::new(secrets.clone()), ..context(&stores) };
    channel_test(&context, &courier, &plain).await.unwrap();
    let missing = channel_test(&context, &courier, &kept).await.unwrap_err();
    assert!(missing.to_string().contains("file:keys/channels/url"), "{missing}");
    secrets.put(&"file:keys/channels/url".parse().unwrap(), "https://b.example/services/hunter2");
    channel_test(&context, &courier, &kept).await.unwrap();
    let expected = [None, Some("https://b.example/services/hunter2".to_owned())];
    assert_eq!(*courier.0.lock().unwrap(), expected);
}
