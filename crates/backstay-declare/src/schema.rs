//! The JSON Schema of a file, from the table: what editors complete and underline.

use backstay_core::domain::storage::Purpose;
use serde_json::{Map, Value, json};

use crate::file::{MISSING, MISSING_KEY};
use crate::nouns::{Noun, OF_TENANT};
use crate::shape::{Field, Shape};

/// Pattern of a name.
const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
/// Pattern of a place where a secret is found.
const REFERENCE: &str = "^(sealed:|file:keys/|env:BACKSTAY_SECRET_|credential:secret-).+$";
/// Pattern of a length of time.
const LENGTH: &str = "^([0-9.]+ ?[a-zµ]+,? ?)+$|^P.+$";
/// Pattern of a size.
const SIZE: &str = "^[0-9]+(\\.[0-9]+)? ?([kKmMgGtTpP][iI]?)?[bB]?$";

/// Returns the schema of the declarations, as properties of the top of a file.
pub fn properties() -> Map<String, Value> {
    let mut top = Map::new();
    top.insert(
        MISSING_KEY.to_owned(),
        json!({ "enum": MISSING, "default": "keep", "description": "What becomes of what the server has and this file does not declare: it stays and is named, or is retired. Its data is never touched." }),
    );
    for noun in OF_TENANT.into_iter().chain([Noun::Channel, Noun::Maintenance]) {
        top.insert(noun.section().to_owned(), section(noun));
    }
    top.insert(Noun::Caps.section().to_owned(), record(Noun::Caps.fields()));
    let mut own = Map::new();
    own.insert(Noun::Quota.section().to_owned(), record(Noun::Quota.fields()));
    for noun in OF_TENANT.into_iter().chain([Noun::Channel, Noun::Maintenance]) {
        own.insert(noun.section().to_owned(), section(noun));
    }
    let tenant = json!({ "type": ["object", "null"], "additionalProperties": false, "properties": own });
    let tenants =
        json!({ "type": ["object", "null"], "propertyNames": { "pattern": NAME }, "additionalProperties": tenant });
    top.insert(Noun::Tenant.section().to_owned(), tenants);
    top
}

fn section(noun: Noun) -> Value {
    let mut section = json!({ "type": ["object", "null"], "additionalProperties": record(noun.fields()) });
    if noun != Noun::Maintenance {
        section["propertyNames"] = json!({ "pattern": NAME });
    }
    section
}

/// Returns the schema of keys with values.
pub fn record(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut one = value(&field.shape);
            one["description"] = field.doc.into();
            (field.key.to_owned(), one)
        })
        .collect();
    let needed: Vec<&str> = fields.iter().filter(|field| field.needed).map(|field| field.key).collect();
    let mut record = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if needed.is_empty() {
        record["type"] = json!(["object", "null"]);
    } else {
        record["required"] = json!(needed);
    }
    record
}

/// Returns the schema of a value.
pub fn value(shape: &Shape) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match shape {
        Shape::Text | Shape::Cron | Shape::Zone | Shape::Digest => json!({ "type": "string" }),
        Shape::Stretch => text("^([0-9]+[hdmy])+$"),
        Shape::Instant => json!({ "type": "string", "format": "date-time" }),
        Shape::Name => text(NAME),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Count => json!({ "anyOf": [{ "type": "integer", "minimum": -1 }, { "enum": ["all", "unlimited"] }] }),
        Shape::Length(_) => text(LENGTH),
        Shape::LengthOrNever(_) => json!({ "anyOf": [text(LENGTH), { "enum": ["never"] }] }),
        Shape::Size => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, text(SIZE)] }),
        Shape::Reference => text(REFERENCE),
        Shape::Credentials => {
            let purposes: Map<String, Value> =
                Purpose::ALL.iter().map(|purpose| (purpose.word().to_owned(), text(REFERENCE))).collect();
            let each = json!({ "type": "object", "additionalProperties": false, "properties": purposes });
            json!({ "anyOf": [text(REFERENCE), each] })
        }
        Shape::Settings => json!({ "type": "object" }),
        Shape::Record(fields) => record(fields),
        Shape::NameOr(fields) => json!({ "anyOf": [text(NAME), record(fields)] }),
        Shape::List(shape) => json!({ "type": "array", "items": value(shape) }),
        Shape::Named(shape) => json!({ "type": "object", "additionalProperties": value(shape) }),
    }
}
