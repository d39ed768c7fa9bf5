//! Where restic's repositories lie, in our words: `/srv/r`, `local:/srv/r`, `s3:https://host/bucket/path`.

use serde_json::{Value, json};

/// Amazon's own server, and how the names of its regions' servers begin and end.
const AMAZON: (&str, &str) = ("s3.", ".amazonaws.com");

/// Where a repository lies.
#[derive(Debug, PartialEq)]
pub(super) enum Located {
    /// In a storage that we have: its kind and settings.
    Here(&'static str, Value),
    /// In one that we have not, by the word of its kind; the rest may hold a password.
    Elsewhere(String),
    /// In a folder that only whoever runs the program knows.
    Relative,
}

/// Reads a location of restic. `region` is what the environment says of an S3 server.
pub(super) fn located(text: &str, region: Option<&str>) -> Located {
    let path = text.strip_prefix("local:").unwrap_or(text);
    if path.starts_with('/') && !path.contains(['$', '{', '*']) {
        return Located::Here("local", json!({ "path": path }));
    }
    if let Some(rest) = text.strip_prefix("s3:") {
        return s3(rest, region);
    }
    match text.split_once(':') {
        Some((kind, _))
            if kind != "local" && kind.len() > 1 && kind.chars().all(|letter| letter.is_ascii_alphanumeric()) =>
        {
            Located::Elsewhere(kind.to_owned())
        }
        _ => Located::Relative,
    }
}

fn s3(rest: &str, region: Option<&str>) -> Located {
    let (scheme, rest) = match rest.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("https", rest.trim_start_matches('/')),
    };
    let mut parts = rest.splitn(3, '/');
    let (host, bucket) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let prefix = parts.next().unwrap_or_default().trim_matches('/');
    let is_plain = !rest.contains(['@', '$', '{', '?']) && matches!(scheme, "http" | "https");
    if host.is_empty() || bucket.is_empty() || !is_plain {
        return Located::Elsewhere("s3".to_owned());
    }
    let mut settings = json!({ "endpoint": format!("{scheme}://{host}"), "bucket": bucket });
    let of_host = host.strip_prefix(AMAZON.0).and_then(|rest| rest.strip_suffix(AMAZON.1));
    if let Some(region) = region.or(of_host).filter(|region| !region.is_empty()) {
        settings["region"] = region.into();
    }
    if !prefix.is_empty() {
        settings["prefix"] = prefix.into();
    }
    Located::Here("s3", settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = match located(text, None) {
            Located::Here(kind, settings) => format!("{kind} {settings}"),
            Located::Elsewhere(kind) => format!("elsewhere: {kind}"),
            Located::Relative => "relative".to_owned(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn locations_of_restic_are_storages_of_ours_or_told() {
        check("/srv/restic", r#"local {"path":"/srv/restic"}"#);
        check("local:/srv/my repo", r#"local {"path":"/srv/my repo"}"#);
        check(
            "s3:https://s.example:9000/b/a/c/",
            r#"s3 {"bucket":"b","endpoint":"https://s.example:9000","prefix":"a/c"}"#,
        );
        check(
            "s3:s3.eu-central-1.amazonaws.com/b",
            r#"s3 {"bucket":"b","endpoint":"https://s3.eu-central-1.amazonaws.com","region":"eu-central-1"}"#,
        );
        check("s3:s3.amazonaws.com/b/x", r#"s3 {"bucket":"b","endpoint":"https://s3.amazonaws.com","prefix":"x"}"#);
        check("s3://s.example/b", r#"s3 {"bucket":"b","endpoint":"https://s.example"}"#);
        check("s3:https://me:hunter2@s.example/b", "elsewhere: s3");
        check("rest:https://me:hunter2@r.example/", "elsewhere: rest");
        check("sftp:me@host:/srv/restic", "elsewhere: sftp");
        check("rclone:remote:path", "elsewhere: rclone");
        check("~/restic", "relative");
        check("local:backup", "relative");
        check("$HOME/restic", "relative");
        check("/backup/{{ .Hostname }}", "relative");
    }
}
