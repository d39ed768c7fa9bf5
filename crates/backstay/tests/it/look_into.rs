//! What is in snapshots and repositories: found, compared, read back, summed up.

use std::process::{Command, Output};

use crate::support::{Place, Ran, noise, restics};
use crate::verbs::{protected, rows, up};

/// Returns the restic ids of all snapshots, newest first.
fn snapshots(place: &Place) -> Vec<String> {
    let list = place.json(&["snapshot", "list"]);
    rows(&list).iter().map(|row| row["foreign_id"].as_str().unwrap()[..10].to_owned()).collect()
}

fn plan(place: &Place) -> String {
    place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned()
}

/// Red when a page is left out or told twice, when a change is called another, or when sums are those of a page.
#[test]
fn two_snapshots_are_compared_and_files_are_found_in_them() {
    let place = protected();
    let source = place.source();
    for number in 0..7 {
        std::fs::write(source.join(format!("old-{number}")), "x").unwrap();
    }
    assert_eq!(place.run(&["plan", "run", &plan(&place)]).code, Some(0));
    for number in 0..7 {
        std::fs::remove_file(source.join(format!("old-{number}"))).unwrap();
    }
    std::fs::write(source.join("notes.txt"), "second, and longer").unwrap();
    std::fs::create_dir(source.join("new")).unwrap();
    std::fs::write(source.join("new/file.txt"), "n").unwrap();
    assert_eq!(place.run(&["plan", "run", &plan(&place)]).code, Some(0));
    let ids = snapshots(&place);
    let told = place.json(&["snapshot", "diff", &ids[1], &ids[0]]);
    let mut found: Vec<(String, String)> = rows(&told)
        .iter()
        .map(|row| {
            let path = row["path"].as_str().unwrap().rsplit("/source/").next().unwrap().to_owned();
            (path, row["difference"].as_str().unwrap().to_owned())
        })
        .collect();
    found.sort();
    let mut expected: Vec<(String, String)> = (0..7).map(|at| (format!("old-{at}"), "removed".to_owned())).collect();
    expected.extend(
        [("new/", "added"), ("new/file.txt", "added"), ("notes.txt", "modified")]
            .map(|(path, what)| (path.to_owned(), what.to_owned())),
    );
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        (&told["changed_files"], &told["removed"]["files"], &told["added"]["dirs"]),
        (&1.into(), &7.into(), &1.into())
    );
    let cut = place.run(&["snapshot", "diff", &ids[1], &ids[0], "--limit", "3"]);
    assert_eq!(cut.out.lines().filter(|line| line.contains("/source/")).count(), 3, "{}", cut.out);
    assert!(cut.err.contains("more than 3 rows") && cut.out.contains("removed  7 files"), "{}{}", cut.out, cut.err);
    // By page, as a program asks: each row once.
    let full = place.json(&["snapshot", "show", &ids[1]])["id"].as_str().unwrap().to_owned();
    let other = place.json(&["snapshot", "show", &ids[0]])["id"].as_str().unwrap().to_owned();
    let (mut paged, mut from) = (Vec::new(), 0);
    loop {
        let query = [format!("with={other}"), format!("from={from}"), "limit=4".to_owned()];
        let words = ["call", "snapshot_diff", &full, "--query", &query[0], "--query", &query[1], "--query", &query[2]];
        let page = place.json(&words);
        paged.extend(rows(&page).to_vec());
        match page["next_from"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(paged, rows(&told));

    let found = place.json(&["snapshot", "find", "*.txt"]);
    assert_eq!((&found["looked_into"], found["snapshots"][0]["rows"].as_array().unwrap().len()), (&1.into(), 2));
    let all = place.json(&["snapshot", "find", "notes.txt", "--all", "--plan", &plan(&place)]);
    assert_eq!(all["snapshots"].as_array().unwrap().len(), 3);
    let sizes: Vec<u64> =
        all["snapshots"].as_array().unwrap().iter().map(|one| one["rows"][0]["size_bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [18, 5, 5], "newest first");
    let gone = place.json(&["snapshot", "find", "old-*", "--limit", "5"]);
    assert_eq!(gone["snapshots"], serde_json::json!([]), "the newest has none");
    let cut = place.json(&["snapshot", "find", "old-*", "--all", "--limit", "5"]);
    assert_eq!((&cut["has_more"], cut["snapshots"][0]["rows"].as_array().unwrap().len()), (&true.into(), 5));
    let ran = place.run(&["snapshot", "find", "no-such-file"]);
    assert!(ran.code == Some(0) && ran.err.contains("nothing matches in 1 snapshots"), "{}", ran.err);
    let ran = place.run(&["snapshot", "find", "[", "--snapshot", &ids[0]]);
    assert!(ran.code == Some(20) && ran.err.contains("pattern"), "{}", ran.err);
    let ran = place.run(&["snapshot", "diff", &ids[0], "00000000"]);
    assert!(ran.code == Some(25), "{}", ran.err);
}

/// Red when the second snapshot of a diff is not asked whose it is.
#[test]
fn another_tenant_s_snapshot_is_not_there_to_be_compared_or_searched() {
    let place = protected();
    let up = up(&place);
    let theirs = place.json(&["snapshot", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let (folder, key) = (place.path("own"), place.path("own.key"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a"), "a").unwrap();
    std::fs::write(&key, "own own own own\n").unwrap();
    let of = ["--tenant", "eve"];
    let run = |words: &[&str]| place.json(&[words, &of[..]].concat());
    run(&["secret", "put", "own", "--from-file", key.to_str().unwrap()]);
    let path = format!("path={}", place.path("eve").display());
    let repository = run(&["repository", "create", "own", "--set", &path, "--password-reference", "sealed:own"]);
    let source = run(&["source", "create", "own", "--set", &format!("path={}", folder.display())]);
    let (source, repository) = (source["id"].as_str().unwrap(), repository["id"].as_str().unwrap());
    run(&["plan", "create", "own", "--source", source, "--repository", repository]);
    assert_eq!(place.run(&["plan", "run", "own", "--wait"]).code, Some(0));
    let token = run(&["token", "create", "eve", "--role", "tenant_admin"]);
    let server: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(place.data().join("server.json")).unwrap()).unwrap();
    let eve = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("BACKSTAY_SERVER", server["url"].as_str().unwrap());
        Ran::of(command.env("BACKSTAY_TOKEN", token["secret"].as_str().unwrap()))
    };
    let list: serde_json::Value = serde_json::from_str(&eve(&["snapshot", "list", "--json"]).out).unwrap();
    assert_eq!(rows(&list).len(), 1);
    let own = list["rows"][0]["id"].as_str().unwrap();
    assert_eq!(eve(&["snapshot", "diff", own, own]).code, Some(0));
    for words in [
        &["snapshot", "diff", own, &theirs][..],
        &["snapshot", "diff", &theirs, own],
        &["snapshot", "find", "a", "--snapshot", &theirs],
    ] {
        let ran = eve(words);
        assert!(ran.code == Some(25) && ran.err.contains(&theirs), "{words:?}: {}{}", ran.out, ran.err);
    }
    // Who may see both hears why they cannot be compared.
    let ran = place.run(&["snapshot", "diff", &theirs, own]);
    assert!(ran.code == Some(20) && ran.err.contains("two repositories"), "{}", ran.err);
    drop(up);
}

/// Red when only one of several snapshots is read back, when harm does not decide the end, or when nothing proves.
#[test]
fn a_repository_is_read_back_and_summed_up() {
    let place = protected();
    let second = place.path("second");
    std::fs::create_dir(&second).unwrap();
    std::fs::write(second.join("b"), noise(3, 300_000)).unwrap();
    assert_eq!(place.run(&["quickstart", second.to_str().unwrap()]).code, Some(0));
    std::fs::write(place.source().join("more"), noise(4, 100_000)).unwrap();
    assert_eq!(place.run(&["quickstart", place.source().to_str().unwrap()]).code, Some(0));
    let stats = place.json(&["repository", "stats", "local"]);
    assert_eq!(stats["total"]["snapshots"], 3, "{stats}");
    let items = stats["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let first = items.iter().find(|item| item["item"].as_str().unwrap().ends_with("source")).unwrap();
    assert_eq!((&first["snapshots"], &first["newest_bytes"]), (&2.into(), &100_006.into()), "{stats}");
    assert_eq!(first["plans"].as_array().unwrap().len(), 1);
    assert!(stats["total"]["bytes_stored"].as_u64().unwrap() >= 400_000, "noise is not compressed: {stats}");
    assert_eq!(place.run(&["repository", "stats", "other"]).code, Some(25));

    let before = rows(&place.json(&["evidence", "list"])).len();
    let verified = place.json(&["repository", "verify", "local", "--percent", "100"]);
    let jobs = verified.as_array().unwrap();
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["job"]["state"] == "succeeded"), "{verified}");
    assert_eq!(rows(&place.json(&["evidence", "list"])).len(), before + 2);
    let mut packs = Vec::new();
    for folder in std::fs::read_dir(place.data().join("repositories/local/data")).unwrap() {
        packs.extend(std::fs::read_dir(folder.unwrap().path()).unwrap().map(|pack| pack.unwrap().path()));
    }
    let largest = packs.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[1_000] ^= 1;
    std::fs::remove_file(&largest).unwrap();
    std::fs::write(&largest, bytes).unwrap();
    let ran = place.run(&["repository", "verify", "local", "--percent", "100"]);
    assert_eq!(ran.code, Some(24), "{}{}", ran.out, ran.err);

    let key = "file:keys/local.key";
    let path = format!("path={}", place.path("empty").display());
    place.json(&["repository", "create", "empty", "--set", &path, "--password-reference", key]);
    let ran = place.run(&["repository", "verify", "empty"]);
    assert!(ran.code == Some(25) && ran.err.contains("no snapshot"), "nothing was proved: {}", ran.err);
}

/// Red when a byte is left out or told twice where pieces meet, when a damaged file ends as if it were whole, or when a wrong
/// path is not explained.
#[test]
fn a_file_of_a_snapshot_is_written_out() {
    let place = Place::new();
    std::fs::create_dir_all(place.source().join("folder")).unwrap();
    let large = noise(7, (9 << 20) + 5);
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.source().join(name), bytes).unwrap();
    write("large", &large);
    write("one-piece", &large[..4 << 20]);
    write("empty", b"");
    assert_eq!(place.quickstart().code, Some(0));
    let cat = |name: &str| -> Output {
        let (item, path) = (format!("latest:{}", place.source().display()), place.source().join(name));
        place.command(&["snapshot", "cat", &item, path.to_str().unwrap()]).output().unwrap()
    };
    for name in ["large", "one-piece", "empty"] {
        let path = place.source().join(name);
        let whole = cat(name);
        assert!(whole.status.success() && whole.stdout == std::fs::read(&path).unwrap(), "{name}");
        if let Some(restic) = restics().pop() {
            let mut dump = Command::new(restic);
            dump.args(["--no-cache", "-r"]).arg(place.data().join("repositories/local"));
            dump.arg("-p").arg(place.data().join("keys/local.key")).args(["dump", "latest"]).arg(&path);
            assert!(dump.output().unwrap().stdout == whole.stdout, "{name}: restic dumps other bytes");
        }
    }
    for (name, expected) in [("folder", "is a folder"), ("larg", "/large?"), ("folder/x/y", "has no ")] {
        let ended = cat(name);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(25), 0), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    harm(&place.data().join("repositories/local/data"));
    let ended = cat("large");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && ended.stdout.len() < large.len(), "{said}");
    assert!(said.contains("cannot be read") && large.starts_with(&ended.stdout), "{said}");
}

/// Changes a byte in the middle of each large pack.
fn harm(data: &std::path::Path) {
    for folder in std::fs::read_dir(data).unwrap().flatten() {
        for pack in std::fs::read_dir(folder.path()).unwrap().flatten() {
            let mut bytes = std::fs::read(pack.path()).unwrap();
            if bytes.len() > 1 << 20 {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::remove_file(pack.path()).unwrap();
                std::fs::write(pack.path(), bytes).unwrap();
            }
        }
    }
}
