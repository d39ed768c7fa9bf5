//! `repair`, `rewrite` and `copy` of `backstay engine`, and what a prune says before it starts.

use std::path::PathBuf;

use serde_json::Value;

use crate::engine_support::{PASSWORD, Repo, lines};
use crate::support::{Ran, noise};

fn ended(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(words) || ran.out.contains(words), "{}{}", ran.out, ran.err);
}

fn whole(repo: &Repo) {
    ended(&repo.ours(&["check", "--read-data"]), 0, "");
    if let Some(ran) = repo.theirs(&["check", "--read-data"]) {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
}

/// Returns the files of a folder of the repository, the largest first.
fn files(repo: &Repo, folder: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![repo.path().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    found
}

fn changed(path: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    use std::os::unix::fs::PermissionsExt;
    let mut body = std::fs::read(path).unwrap();
    change(&mut body);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, body).unwrap();
}

fn last<'a>(lines: &'a [Value], kind: &str) -> &'a Value {
    lines.iter().rfind(|line| line["message_type"] == kind).unwrap_or_else(|| panic!("no {kind} in {lines:?}"))
}

#[test]
fn an_index_that_is_gone_comes_back() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&[]);
    files(&repo, "index").iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let dry = repo.json(&["repair", "index", "--dry-run"]);
    assert!(files(&repo, "index").is_empty(), "a dry run writes nothing");
    let done = repo.json(&["repair", "index"]);
    let (dry, done) = (last(&dry, "summary"), last(&done, "summary"));
    assert_eq!((&dry["packs_added"], &dry["blobs_added"]), (&done["packs_added"], &done["blobs_added"]));
    assert_eq!((&done["packs_added"], &done["blobs_lost"]), (&done["packs"], &0.into()));
    ended(&repo.ours(&["repair", "index", "--read-all-packs"]), 0, "the index is right as it is");
    ended(&repo.ours(&["repair", "index", "--no-lock"]), 1, "repair needs its lock");
    whole(&repo);
}

#[test]
fn a_damaged_pack_is_saved_then_salvaged_and_its_snapshots_are_repaired() {
    let repo = Repo::new();
    repo.make_source();
    for file in 0..20 {
        std::fs::write(repo.place.source().join(format!("noise-{file}")), noise(100 + file, 100_000)).unwrap();
    }
    let first = repo.backup(&["--read-concurrency", "1"]);
    let pack = files(&repo, "data").remove(0);
    let id = pack.file_name().unwrap().to_str().unwrap().to_owned();
    changed(&pack, |body| body.truncate(body.len() * 2 / 3));
    let broken = std::fs::read(&pack).unwrap();
    // By an index that is not right nothing is dropped.
    ended(&repo.ours(&["repair", "snapshots", "--dry-run"]), 0, "have another size");
    ended(&repo.ours(&["repair", "index", "--dry-run"]), 1, &format!("repair packs {id}"));
    let index = repo.ours(&["repair", "index", "--json"]);
    ended(&index, 1, "1 packs cannot be read");
    let index = lines(&index.out);
    assert!(last(&index, "summary")["blobs_lost"].as_u64().unwrap() > 0, "{index:?}");
    let out = repo.place.path("kept");
    std::fs::create_dir(&out).unwrap();
    let words = ["repair", "packs", &id[..12], "--save-to", "kept"];
    let dry = repo.json(&[&words[..], &["--dry-run"]].concat());
    assert!(pack.exists() && std::fs::read_dir(&out).unwrap().next().is_none());
    let done = repo.json(&words);
    assert_eq!(last(&dry, "pack"), last(&done, "pack"));
    assert_eq!(std::fs::read(out.join(format!("pack-{id}"))).unwrap(), broken);
    assert!(!pack.exists());
    assert!(last(&done, "pack")["blobs_saved"].as_u64().unwrap() > 0, "{done:?}");
    let paths = |lines: &[Value]| {
        let told = lines.iter().filter(|line| line["message_type"] == "changed_path");
        told.map(|line| line["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let dry = repo.json(&["repair", "snapshots", "--dry-run"]);
    let told = repo.json(&["repair", "snapshots", "--forget"]);
    assert_eq!(paths(&dry), paths(&told));
    assert!(!paths(&told).is_empty() && paths(&told).len() < 24, "{told:?}");
    assert_eq!(last(&told, "changed_path")["snapshot"], *first);
    assert_eq!(last(&told, "summary")["changed_paths"], paths(&told).len());
    let new = last(&told, "snapshot")["new_snapshot"].as_str().unwrap().to_owned();
    let listed = repo.json(&["snapshots"]);
    assert_eq!(listed[0].as_array().unwrap().len(), 1);
    ended(&repo.ours(&["restore", &new, "--target", "back"]), 0, "");
    for file in 0..20 {
        let (name, body) = (format!("noise-{file}"), noise(100 + file, 100_000));
        let is_lost = paths(&told).contains(&format!("/source/{name}"));
        let back = std::fs::read(repo.place.path("back/source").join(name)).unwrap();
        assert_eq!(back, if is_lost { &[][..] } else { &body[..] });
    }
    whole(&repo);
    ended(&repo.ours(&["repair", "packs", "0123"]), 1, "names no pack");
}

#[test]
fn a_rewrite_leaves_out_what_should_not_be_there() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&[]);
    ended(&repo.ours(&["rewrite"]), 1, "nothing says what is to change");
    let dry = repo.json(&["rewrite", "--exclude", "*.bin", "--iexclude", "BIG", "--dry-run"]);
    assert_eq!(last(&dry, "summary")["changed_paths"], 2);
    let done = repo.json(&["rewrite", "--exclude", "*.bin", "--iexclude", "BIG", "--new-host", "other"]);
    let new = last(&done, "snapshot")["new_snapshot"].as_str().unwrap().to_owned();
    let listed = repo.json(&["ls", &new]);
    let has = |name: &str| listed.iter().any(|line| line["name"] == name);
    assert!(has("a.txt") && has("deep") && !has("big") && !has("b.bin"), "{listed:?}");
    let all = repo.json(&["snapshots"]);
    let (old, new) = (&all[0][0], &all[0][1]);
    let (old, new) = if old["tags"].is_null() { (old, new) } else { (new, old) };
    assert_eq!((&new["original"], &new["hostname"]), (&old["id"], &"other".into()));
    assert_eq!(new["tags"], serde_json::json!(["rewrite"]));
    let again = repo.json(&["rewrite", "--exclude", "*.bin", "--iexclude", "BIG", "--new-host", "other"]);
    assert_eq!(last(&again, "summary")["snapshots_changed"], 0, "{again:?}");
    whole(&repo);
}

#[test]
fn a_copy_has_another_key_and_the_same_chunks() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&[]);
    let other = Repo::empty();
    let from = |arguments: &[&str]| {
        let mut command = other.command(arguments);
        command.arg("--from-repo").arg(repo.path()).env("RESTIC_FROM_PASSWORD", PASSWORD);
        Ran::of(&mut command)
    };
    ended(&from(&["init", "--copy-chunker-params"]), 0, "made repository");
    ended(&from(&["copy", "--dry-run"]), 0, "would be copied");
    assert!(files(&other, "data").is_empty());
    let done = from(&["copy", "--json"]);
    ended(&done, 0, "");
    let done = lines(&done.out);
    assert_eq!(
        (&last(&done, "summary")["snapshots_copied"], &last(&done, "summary")["blobs_there"]),
        (&1.into(), &0.into())
    );
    ended(&from(&["copy", "--no-lock"]), 0, "was copied before");
    whole(&other);
    let key = |repo: &Repo| std::fs::read(repo.path().join("config")).unwrap();
    assert_ne!(key(&repo), key(&other));
    let config = |repo: &Repo| serde_json::from_str::<Value>(&repo.ours(&["cat", "config"]).out).unwrap();
    let polynomial = |repo: &Repo| config(repo)["chunker_polynomial"].clone();
    assert_eq!(polynomial(&repo), polynomial(&other));
    let same =
        repo.command(&["copy"]).arg("--from-repo").arg(repo.path()).env("RESTIC_FROM_PASSWORD", PASSWORD).output();
    assert_eq!(same.unwrap().status.code(), Some(1));
    let nothing = Ran::of(other.command(&["copy"]).arg("--from-repo").arg(repo.path()));
    ended(&nothing, 1, "nothing says the password of the repository that it comes from");
}

#[test]
fn a_prune_says_what_it_will_ask_and_what_that_costs() {
    let repo = Repo::new();
    repo.make_source();
    let first = repo.backup(&[]);
    repo.change_source();
    repo.backup(&[]);
    repo.json(&["forget", &first]);
    let prices = repo.place.path("prices");
    std::fs::write(&prices, "# a bucket\nput 1000\ndelete 1000\n").unwrap();
    let dry = repo.json(&["prune", "--dry-run", "--max-unused", "0%", "--price-file", "prices"]);
    assert_eq!(dry.len(), 1);
    let requests = &dry[0]["requests"];
    let cost = (requests["put"].as_u64().unwrap() + requests["delete"].as_u64().unwrap()) as f64;
    assert_eq!(dry[0]["cost"].as_f64().unwrap(), cost);
    assert!(cost > 0.0, "{dry:?}");
    let done = repo.json(&["prune", "--max-unused", "0%"]);
    assert_eq!((&done[0]["message_type"], &done[0]["requests"]), (&"plan".into(), requests));
    assert_eq!((&done[1]["message_type"], &done[1]["cost"]), (&"summary".into(), &Value::Null));
    std::fs::write(&prices, "put cheap\n").unwrap();
    ended(&repo.ours(&["prune", "--price-file", "prices"]), 1, "is no price");
    whole(&repo);
}
