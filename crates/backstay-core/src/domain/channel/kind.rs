//! What a form needs to know of a channel kind: a sentence, and the shape of its settings. What is accepted is what
//! [`ChannelSettings::parse`](super::ChannelSettings::parse) takes; a test holds the two together.

use serde_json::{Value, json};

use super::{ChannelKind, RECEIVERS_MAX};

impl ChannelKind {
    /// Says what it is, in one sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Smtp => "Mail, handed to a server",
            Self::Webhook => "A JSON document by POST, signed",
            Self::Ping => "A sign of life for each backup of a plan, to a service that waits for them",
        }
    }

    /// Returns the JSON Schema of its settings.
    pub fn schema(self) -> Value {
        let ca_file = json!({ "type": "string",
            "description": "Reference to certificates (PEM) that are trusted instead of the system's" });
        let (required, properties) = match self {
            Self::Smtp => (
                json!(["host", "from", "to"]),
                json!({
                    "host": { "type": "string", "description": "Name or address of the server" },
                    "port": { "type": "integer", "minimum": 1, "maximum": 65_535,
                        "description": "587 for start_tls, 465 for implicit, 25 for none, when left out" },
                    "tls": { "enum": ["start_tls", "implicit", "none"], "default": "start_tls",
                        "description": "How the connection is kept from others" },
                    "from": { "type": "string", "description": "Address of the sender" },
                    "to": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": RECEIVERS_MAX,
                        "description": "Addresses of the receivers" },
                    "username": { "type": "string", "description": "Who logs in; nobody when left out" },
                    "password": { "type": "string", "description": "Reference to the password; goes with username" },
                    "ca_file": ca_file,
                }),
            ),
            Self::Webhook => (
                json!(["url", "secret"]),
                json!({
                    "url": { "type": "string",
                        "description": "Where documents are sent: https://…, or a reference to the secret that says it" },
                    "secret": { "type": "string", "description": "Reference to the key that signs them" },
                    "ca_file": ca_file,
                }),
            ),
            Self::Ping => (
                json!(["url", "plan"]),
                json!({
                    "url": { "type": "string", "description": "Reference to the URL: whoever knows it can say that all is well" },
                    "plan": { "type": "string", "description": "Whose backups it hears of: PLAN or TENANT/PLAN" },
                    "start": { "type": "boolean", "default": false, "description": "Whether it hears of beginnings too" },
                    "ca_file": ca_file,
                }),
            ),
        };
        json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ChannelSettings;
    use super::*;

    /// Red when a setting is taken that the schema does not have, or the other way; when one is needed that it does not
    /// call so.
    #[test]
    fn a_schema_says_what_is_taken() {
        let whole = |kind| match kind {
            ChannelKind::Smtp => json!({ "host": "mail.example", "port": 25, "tls": "start_tls", "from": "a@b.example",
                "to": ["c@d.example"], "username": "ann", "password": "sealed:channel-a", "ca_file": "sealed:channel-b" }),
            ChannelKind::Webhook => {
                json!({ "url": "https://a.example", "secret": "sealed:channel-a", "ca_file": "sealed:channel-b" })
            }
            ChannelKind::Ping => {
                json!({ "url": "sealed:channel-a", "plan": "home", "start": true, "ca_file": "sealed:channel-b" })
            }
        };
        for kind in ChannelKind::ALL.iter().copied() {
            let (settings, schema) = (whole(kind), kind.schema());
            let document = ChannelSettings::parse(kind, &settings).unwrap().document();
            let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&document), names(&schema["properties"]), "{kind:?}");
            for name in schema["properties"].as_object().unwrap().keys() {
                let mut less = settings.clone();
                less.as_object_mut().unwrap().remove(name);
                let error = ChannelSettings::parse(kind, &less).err().filter(|error| error.field.ends_with(name));
                let is_needed = schema["required"].as_array().unwrap().contains(&json!(name));
                // Username and password go together, and neither is needed.
                assert!(error.is_some() == is_needed || name == "password" || name == "username", "{kind:?}: {name}");
            }
        }
    }
}
