//! The schema that editors use.

use backstay_declare::file::{tenant_keys, top_keys};
use backstay_declare::nouns::Noun;
use backstay_declare::schema::properties;

/// Red when a section or a key of the table is not in the schema.
#[test]
fn the_schema_has_each_section_and_each_key() {
    let top = properties();
    let tenant = &top["tenants"]["additionalProperties"]["properties"];
    for key in top_keys() {
        assert!(top.contains_key(key), "{key}");
    }
    for key in tenant_keys() {
        assert!(tenant[key].is_object(), "{key}");
    }
    for noun in Noun::ALL.into_iter().filter(|noun| !matches!(noun, Noun::Tenant | Noun::Quota | Noun::Caps)) {
        let one = &top[noun.section()]["additionalProperties"];
        for field in noun.fields() {
            assert_eq!(one["properties"][field.key]["description"], field.doc);
            let needed = one["required"].as_array().is_some_and(|list| list.contains(&field.key.into()));
            assert_eq!(needed, field.needed, "{}", field.key);
        }
    }
}
