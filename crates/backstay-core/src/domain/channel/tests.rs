//! Settings that are taken and refused, references, windows over changes of clocks.

use super::*;

fn parse(kind: &str, settings: Value) -> Result<ChannelSettings, ChannelError> {
    ChannelSettings::parse(ChannelKind::from_word(kind).unwrap(), &settings)
}

fn mail(more: Value) -> Value {
    let mut settings = json!({ "host": "mail.example", "from": "backstay@a.example", "to": ["ann@a.example"] });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[test]
fn settings_are_read_back_as_they_were_judged() {
    for (kind, settings) in [
        ("smtp", mail(json!({}))),
        ("smtp", mail(json!({ "tls": "none", "port": "2525" }))),
        (
            "smtp",
            mail(json!({ "username": "b", "password": "file:keys/channels/x", "ca_file": "file:keys/channels/ca" })),
        ),
        ("webhook", json!({ "url": "https://a.example/x", "secret": "file:keys/channels/hook" })),
        ("webhook", json!({ "url": "sealed:channel-url", "secret": "file:keys/channels/hook" })),
        ("ping", json!({ "url": "sealed:channel-hc", "plan": "home" })),
        ("ping", json!({ "url": "sealed:channel-hc", "plan": "home", "start": true })),
        (
            "ping",
            json!({ "url": "env:BACKSTAY_SECRET_CHANNEL_HC", "plan": "ada/home", "ca_file": "file:keys/channels/ca" }),
        ),
    ] {
        let read = parse(kind, settings).unwrap();
        assert_eq!(parse(kind, read.document()).unwrap(), read);
    }
    for (start, expected) in [(json!("true"), true), (json!("false"), false), (json!(null), false)] {
        let ping = parse("ping", json!({ "url": "sealed:channel-hc", "plan": "home", "start": start })).unwrap();
        assert_eq!(ping.document()["start"].as_bool().unwrap_or(false), expected);
    }
    let ChannelSettings::Smtp(smtp) = parse("smtp", mail(json!({}))).unwrap() else { panic!("it is a mail channel") };
    assert_eq!((smtp.tls, smtp.port), (Tls::StartTls, 587));
}

#[test]
fn settings_that_are_wrong_are_named() {
    let mut cases = vec![
        (mail(json!({ "to": [] })), "settings.to"),
        (mail(json!({ "to": ["ann@a.example\r\nBcc: eve@b.example"] })), "settings.to"),
        (mail(json!({ "to": ["<ann@a.example>"] })), "settings.to"),
        (mail(json!({ "from": "a@b.example, c@d.example" })), "settings.from"),
        (mail(json!({ "from": "x\r\ny@b.example" })), "settings.from"),
        (mail(json!({ "host": "a b" })), "settings.host"),
        (mail(json!({ "port": 70_000 })), "settings.port"),
        (mail(json!({ "tls": "maybe" })), "settings.tls"),
        (mail(json!({ "username": "b" })), "settings.password"),
        (mail(json!({ "username": "b", "password": "hunter2" })), "settings.password"),
        (mail(json!({ "username": "b", "password": "file:keys/channels/x", "tls": "none" })), "settings.tls"),
        (mail(json!({ "colour": "red" })), "settings.colour"),
    ];
    for (settings, field) in cases.drain(..) {
        assert_eq!(parse("smtp", settings.clone()).unwrap_err().field, field, "{settings}");
    }
    let hook = json!({ "url": "ftp://a.example", "secret": "file:keys/channels/x" });
    assert_eq!(parse("webhook", hook).unwrap_err().field, "settings.url");
    for (ping, field) in [
        (json!({ "url": "https://hc.example/hunter2", "plan": "home" }), "settings.url"),
        (json!({ "url": "sealed:channel-hc", "plan": "A b" }), "settings.plan"),
        (json!({ "url": "sealed:channel-hc" }), "settings.plan"),
        (json!({ "url": "sealed:channel-hc", "plan": "home", "start": "maybe" }), "settings.start"),
        (json!({ "url": "sealed:channel-hc", "plan": "home", "secret": "sealed:channel-x" }), "settings.secret"),
    ] {
        let error = parse("ping", ping).unwrap_err();
        assert!(error.field == field && !error.to_string().contains("hunter2"), "{error}");
    }
    for url in ["https://u:hunter2@a.example", "hunter2", "env:HUNTER2"] {
        let error = parse("webhook", json!({ "url": url, "secret": "file:keys/channels/x" })).unwrap_err();
        let words = error.to_string().to_lowercase();
        assert!(error.field == "settings.url" && !words.contains("hunter2"), "{error}");
    }
}

/// Red when the URL of a hook may name any secret: whoever declares a channel has it sent there.
#[test]
fn a_hooks_url_is_kept_among_the_channels_secrets() {
    let judged = |url: &str| {
        let hook = json!({ "url": url, "secret": "file:keys/channels/x" });
        let mut settings = parse("webhook", hook).unwrap();
        references_judge(&mut settings, None).map(|()| settings.references().len())
    };
    assert_eq!(judged("https://a.example/x"), Ok(1));
    assert_eq!(judged("env:BACKSTAY_SECRET_CHANNEL_URL"), Ok(2));
    assert_eq!(judged("file:keys/channels/url"), Ok(2));
    for url in ["env:BACKSTAY_SECRET_HOME", "file:keys/home.key", "sealed:home"] {
        assert_eq!(judged(url).unwrap_err().field, "settings.url", "{url}");
    }
}

/// Whoever declares a channel chooses the server that gets the password.
#[test]
fn a_channel_names_no_key_that_is_not_its_own() {
    let named = |path: &str| parse("smtp", mail(json!({ "username": "b", "password": path }))).unwrap();
    let tenant =
        |name: &str, ten| Tenant { id: TenantId::new(Timestamp::UNIX_EPOCH, [ten; 10]), name: name.parse().unwrap() };
    let (ada, bob) = (tenant("ada", 1), tenant("bob", 2));
    let judged = |path: &str, tenant| {
        let mut settings = named(path);
        references_judge(&mut settings, tenant).map(|()| settings.references()[0].1.to_string())
    };
    assert!(judged("file:keys/home.key", None).is_err());
    assert!(judged("file:keys/channels/mail", None).is_ok());
    assert!(judged("file:keys/channels/mail", Some(&ada)).is_err());
    assert!(judged("file:keys/channels/ada/mail", Some(&ada)).is_ok());
    assert!(judged("file:keys/channels/ada/mail", Some(&bob)).is_err());
    // A sealed one is the tenant's own, and never one that opens a repository.
    let full = format!("sealed:{}/channel-mail", ada.id);
    assert_eq!(judged("sealed:channel-mail", Some(&ada)).unwrap(), full);
    assert!(judged("sealed:home-password", Some(&ada)).is_err());
    assert!(judged(&full, Some(&bob)).is_err());
    assert_eq!(judged(&full, None).unwrap(), full);
    assert!(judged("sealed:channel-mail", None).is_err());
    // What the server was started with is the installation's, and of it what is meant for channels.
    for (own, other) in [
        ("env:BACKSTAY_SECRET_CHANNEL_MAIL", "env:BACKSTAY_SECRET_HOME"),
        ("credential:secret-channel-mail", "credential:secret-home"),
    ] {
        assert_eq!(judged(own, None).unwrap(), own);
        assert!(judged(other, None).is_err());
        assert!(judged(own, Some(&ada)).is_err(), "a tenant's channel sends it wherever the tenant likes");
    }
}

fn next(window: &str, now: &str, expected: &str) {
    let window = Window::parse(window).unwrap();
    assert_eq!(Window::parse(&window.words()).unwrap(), window);
    assert_eq!(window.next(now.parse().unwrap()), expected.parse().unwrap(), "{now}");
}

#[test]
fn a_digest_is_due_at_its_local_time() {
    next("daily 07:00", "2026-11-21T06:59:59Z", "2026-11-21T07:00:00Z");
    next("daily 07:00", "2026-11-21T07:00:00Z", "2026-11-22T07:00:00Z");
    next("daily 07:00 Europe/Berlin", "2026-11-21T05:00:00Z", "2026-11-21T06:00:00Z");
    next("daily 07:00 Europe/Berlin", "2026-07-21T05:00:00Z", "2026-07-22T05:00:00Z");
    next("monday 07:00", "2026-11-21T05:00:00Z", "2026-11-23T07:00:00Z");
    next("monday 07:00", "2026-11-23T07:00:00Z", "2026-11-30T07:00:00Z");
    // The clocks go forward over 02:30, and back over it: once each.
    next("daily 02:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z");
    next("daily 02:30 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
    next("daily 02:30 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
}

#[test]
fn a_window_that_means_nothing_is_refused() {
    for text in ["", "daily", "daily 25:00", "daily 7", "someday 07:00", "daily 07:00 Mars/Base", "daily 07:00 UTC x"] {
        assert!(Window::parse(text).is_err(), "{text}");
    }
}
