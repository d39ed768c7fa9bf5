//! Job sets through the command line. A folder is one item, so a set is asked for by the API's suites alone; here is what
//! a person sees without one.

use crate::support::Place;

#[test]
fn who_asks_for_a_set_that_is_none_is_told() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let list = place.run(&["job", "set", "list"]);
    assert!(list.code == Some(0) && list.err.contains("there is no job set yet"), "{list:?}");
    let unknown = "0197f0c2-0000-7000-8000-000000000000";
    let shown = place.run(&["job", "set", "show", unknown]);
    assert!(shown.code == Some(25) && shown.err.contains(&format!("there is no job set {unknown}")), "{shown:?}");
    assert_eq!(place.json(&["job", "list", "--set", unknown])["rows"], serde_json::json!([]));
    let wrong = place.run(&["job", "list", "--set", "moon"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("set: "), "{wrong:?}");
}
