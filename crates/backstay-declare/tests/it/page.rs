//! The reference page is what the tables say.

use std::path::Path;

/// Red when a key was added and the page not written anew: `BACKSTAY_BLESS=1 cargo test -p backstay-declare`.
#[test]
fn the_page_is_made_from_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let page = backstay_declare::page::page();
    if std::env::var_os("BACKSTAY_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not what the tables say; BACKSTAY_BLESS=1 writes it", path.display());
}
