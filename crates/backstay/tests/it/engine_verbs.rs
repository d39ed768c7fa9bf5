//! Each verb of `backstay engine` by its effect and by a failure, its environment and its exit codes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine_support::{PASSWORD, Repo, lines};
use crate::support::{Ran, noise};

/// Asserts how a command ended, and words of its message.
fn ended(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(words), "{}", ran.err);
}

/// Asserts that restic finds nothing wrong.
fn whole(repo: &Repo) {
    if let Some(ran) = repo.theirs(&["check", "--read-data"]) {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_repository_is_made_once() {
    let repo = Repo::empty();
    let made = repo.json(&["init"]);
    assert_eq!((&made[0]["message_type"], made[0]["id"].as_str().unwrap().len()), (&"initialized".into(), 64));
    let before = std::fs::read(repo.path().join("config")).unwrap();
    ended(&repo.ours(&["init"]), 1, "there is a repository in");
    assert_eq!(std::fs::read(repo.path().join("config")).unwrap(), before);
    whole(&repo);
}

#[test]
fn what_was_backed_up_is_restored() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&["--exclude", "b.bin"]);
    let ran = repo.ours(&["restore", "latest:/source", "--target", "out", "--verify"]);
    ended(&ran, 0, "restoring snapshot");
    assert!(ran.out.contains("read 4 files back"), "{}", ran.out);
    let out = repo.place.path("out");
    assert_eq!(std::fs::read(out.join("a.txt")).unwrap(), b"hello\n");
    assert_eq!(std::fs::read(out.join("sub/deep/big")).unwrap(), noise(1, 3 << 20));
    assert!(!out.join("sub/b.bin").exists(), "it was excluded");
    ended(&repo.ours(&["restore", "latest:/nothing", "--target", "else"]), 1, "/nothing in the snapshot");
    ended(&repo.ours(&["restore", "nosuch", "--target", "else"]), 1, "no snapshot's id begins with `nosuch`");
    ended(&repo.ours(&["restore", "latest", "--target", "else", "--include", "["]), 1, "pattern");
    let dry = repo.ours(&["restore", "latest", "--target", "else", "--dry-run", "-vv"]);
    assert!(dry.out.contains("restored  /source/a.txt (6 B)"), "{}", dry.out);
    assert!(!repo.place.path("else").exists(), "nothing was written");
    let one = repo.ours(&["restore", "latest", "--target", "one", "--include", "/source/sub", "--exclude", "deep"]);
    ended(&one, 0, "");
    assert_eq!(std::fs::read_dir(repo.place.path("one/source")).unwrap().count(), 1);
}

#[test]
fn lists_of_paths_say_what_is_backed_up() {
    let repo = Repo::new();
    repo.make_source();
    std::fs::write(repo.place.path("list"), "# a comment\nsource/*.txt\n\n  source/sub/b.bin  \n").unwrap();
    std::fs::write(repo.place.path("raw"), b"source/empty\0source/hard\0").unwrap();
    let ran = repo.ours(&["backup", "--files-from", "list", "--files-from-raw", "raw"]);
    ended(&ran, 0, "");
    let listed = repo.ours(&["ls", "latest"]).out;
    let expected = "/source\n/source/a.txt\n/source/empty\n/source/hard\n/source/sub\n/source/sub/b.bin\n";
    assert_eq!(listed, expected);
    std::fs::write(repo.place.path("raw"), b"source/empty\0source/ha").unwrap();
    ended(&repo.ours(&["backup", "--files-from-raw", "raw"]), 1, "does not end with a zero byte");
    ended(&repo.ours(&["backup"]), 1, "there is nothing to back up");
    ended(&repo.ours(&["backup", "--files-from", "nosuch"]), 1, "the list nosuch cannot be read");
}

#[test]
fn entries_that_cannot_be_read_make_it_partial_and_a_missing_source_makes_none() {
    let repo = Repo::new();
    repo.make_source();
    let ran = repo.ours(&["backup", "source", "nosuch", "--json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    let told = lines(&ran.err);
    assert_eq!((&told[0]["message_type"], &told[0]["during"]), (&"error".into(), &"archival".into()));
    assert!(told[0]["item"].as_str().unwrap().ends_with("nosuch"), "{told:?}");
    assert_eq!((&told[1]["message_type"], &told[1]["code"]), (&"exit_error".into(), &3.into()));
    assert!(lines(&ran.out).pop().unwrap()["snapshot_id"].is_string(), "there is a snapshot");
    let ran = repo.ours(&["backup", "nosuch", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_eq!(repo.json(&["snapshots"])[0].as_array().unwrap().len(), 1, "no other snapshot");
}

#[test]
fn nothing_is_written_by_a_dry_run_and_nothing_new_when_unchanged() {
    let repo = Repo::new();
    repo.make_source();
    let dry = repo.json(&["backup", "source", "--dry-run"]).pop().unwrap();
    assert_eq!((&dry["dry_run"], &dry["files_new"]), (&true.into(), &5.into()), "{dry}");
    assert!(dry["data_added"].as_u64().unwrap() > 3 << 20);
    assert!(
        !repo.path().join("data").exists()
            || std::fs::read_dir(repo.path().join("snapshots")).into_iter().flatten().count() == 0
    );
    repo.backup(&[]);
    let again = repo.json(&["backup", "source", "--skip-if-unchanged"]).pop().unwrap();
    assert_eq!((&again["files_unmodified"], &again["snapshot_id"]), (&5.into(), &Value::Null), "{again}");
    let forced = repo.json(&["backup", "source", "--force"]).pop().unwrap();
    assert_eq!((&forced["files_new"], &forced["data_blobs"]), (&5.into(), &0.into()), "{forced}");
}

#[test]
fn a_stream_is_saved_and_a_command_that_fails_makes_no_snapshot() {
    let repo = Repo::new();
    let ran = repo.ours(&["backup", "--stdin-from-command", "--stdin-filename", "db.sql", "--", "printf", "abc"]);
    ended(&ran, 0, "");
    assert_eq!(repo.ours(&["dump", "latest", "/db.sql"]).out, "abc");
    let failing = ["backup", "--stdin-from-command", "--json", "--", "sh", "-c", "echo half; echo why >&2; exit 4"];
    let ran = repo.ours(&failing);
    ended(&ran, 1, "exited with 4 and said: why");
    assert_eq!(lines(&ran.err).pop().unwrap()["message_type"], "exit_error");
    ended(&repo.ours(&["backup", "--stdin-from-command", "--", "/nosuch"]), 1, "the command did not start");
    assert_eq!(repo.json(&["snapshots"])[0].as_array().unwrap().len(), 1, "none of the failed ones");
    let mut child = repo
        .command(&["backup", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(repo.ours(&["dump", "latest", "stdin"]).out, "typed");
}

#[test]
fn objects_are_printed() {
    let repo = Repo::new();
    repo.make_source();
    let id = repo.backup(&[]);
    let json = |words: &[&str]| serde_json::from_str::<Value>(&repo.ours(words).out).unwrap();
    assert_eq!(json(&["cat", "config"])["version"], 2);
    assert_eq!(json(&["cat", "snapshot", &id[..8]])["hostname"], json(&["cat", "snapshot", "latest"])["hostname"]);
    let tree = json(&["cat", "tree", "latest:/source"]);
    let node = tree["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "a.txt").unwrap().clone();
    assert_eq!(repo.ours(&["cat", "blob", node["content"][0].as_str().unwrap()]).out, "hello\n");
    let name = |folder: &str| {
        let entry = std::fs::read_dir(repo.path().join(folder)).unwrap().next().unwrap().unwrap();
        entry.file_name().into_string().unwrap()
    };
    assert!(json(&["cat", "index", &name("index")])["packs"].is_array());
    assert_eq!(json(&["cat", "key", &name("keys")[..10]])["kdf"], "scrypt");
    // Ids are as good as random: one of a few packs may begin with any two digits.
    let packs = |digits: &String| std::fs::read_dir(repo.path().join("data").join(digits));
    let is_free = |digits: &String| packs(digits).map_or(true, |mut packs| packs.next().is_none());
    let digits = (0..256).map(|number| format!("{number:02x}")).find(is_free).unwrap();
    ended(&repo.ours(&["cat", "pack", &digits]), 1, &format!("no pack id begins with `{digits}`"));
    ended(&repo.ours(&["cat", "snapshot"]), 1, "no id is given");
    ended(&repo.ours(&["cat", "blob", "ab"]), 1, "no whole id");
    ended(&repo.ours(&["dump", "latest", "/nosuch"]), 1, "nosuch");
    ended(&repo.ours(&["find", "["]), 1, "pattern");
    ended(&repo.ours(&["stats", "--mode", "none"]), 2, "invalid value");
    ended(&repo.ours(&["diff", &id, "nosuch"]), 1, "nosuch");
}

#[test]
fn a_folder_is_dumped_as_an_archive() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&[]);
    ended(&repo.ours(&["dump", "latest", "/source/sub", "--target", "sub.tar"]), 0, "");
    let names = Ran::of(Command::new("tar").arg("tf").arg(repo.place.path("sub.tar"))).out;
    assert!(names.contains("source/sub/deep/big"), "{names}");
}

#[test]
fn harm_is_found_and_named() {
    let repo = Repo::new();
    repo.make_source();
    repo.backup(&[]);
    let checked = repo.json(&["check", "--read-data"]).pop().unwrap();
    assert_eq!((&checked["message_type"], &checked["num_errors"]), (&"summary".into(), &0.into()));
    let data = repo.path().join("data");
    let packs = std::fs::read_dir(data).unwrap().flatten().flat_map(|folder| std::fs::read_dir(folder.path()).unwrap());
    let pack = packs.flatten().map(|entry| entry.path()).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[1_000] ^= 1;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    ended(&repo.ours(&["check"]), 0, "");
    let ran = repo.ours(&["check", "--read-data", "--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let summary = lines(&ran.out).pop().unwrap();
    assert_eq!(summary["broken_packs"][0], pack.file_name().unwrap().to_str().unwrap(), "{summary}");
    assert!(ran.err.contains("/source/sub/deep/big"), "{}", ran.err);
    let ran = repo.ours(&["restore", "latest", "--target", "out"]);
    ended(&ran, 1, "could not be restored");
    assert_eq!(std::fs::read(repo.place.path("out/source/a.txt")).unwrap(), b"hello\n", "what is whole is there");
    assert!(!repo.place.path("out/source/sub/deep/big").exists(), "no wrong byte");
}

#[test]
fn snapshots_are_forgotten_and_their_data_pruned() {
    let repo = Repo::new();
    repo.make_source();
    let first = repo.backup(&[]);
    std::fs::remove_file(repo.place.source().join("sub/deep/big")).unwrap();
    let second = repo.backup(&[]);
    ended(&repo.ours(&["forget"]), 1, "no rule is given");
    ended(&repo.ours(&["forget", "--keep-last", "1", "--dry-run"]), 0, "would remove 1 snapshot");
    ended(&repo.ours(&["forget", "--keep-tag", "nosuch"]), 1, "would remove every snapshot");
    assert_eq!(repo.json(&["snapshots"])[0].as_array().unwrap().len(), 2);
    let ran = repo.ours(&["forget", "--keep-last", "1"]);
    ended(&ran, 0, "");
    assert!(ran.out.contains("last snapshot") && ran.out.contains("removed 1 snapshot"), "{}", ran.out);
    let left = repo.json(&["snapshots"]);
    assert_eq!((left[0].as_array().unwrap().len(), &left[0][0]["id"]), (1, &second.as_str().into()), "{first}");
    let dry = repo.json(&["prune", "--dry-run", "--grace", "0s", "--max-unused", "0%"]).pop().unwrap();
    assert_eq!(dry["dry_run"], true);
    let size = || repo.json(&["stats", "--mode", "raw-data"])[0]["total_size"].as_u64().unwrap();
    let before = size();
    // The storage's clock tells seconds: a prune within the same one removes nothing yet.
    let prune = || repo.json(&["prune", "--grace", "0s", "--max-unused", "0%"]).pop().unwrap();
    assert_eq!(prune()["packs_removed"], 0, "first they are marked");
    assert!((0..30).any(|_| prune()["packs_removed"] != 0), "what was marked goes");
    assert_eq!(size(), before, "what is needed stays");
    let stored: u64 = walk(&repo.path().join("data"));
    assert!(stored < 1 << 20, "{stored} bytes are left");
    whole(&repo);
    ended(&repo.ours(&["forget", "--keep-last", "1", "--no-lock"]), 1, "forget needs its lock");
    ended(&repo.ours(&["prune", "--no-lock"]), 1, "prune needs its lock");
    ended(&repo.ours(&["prune", "--max-unused", "100%"]), 2, "is no share");
}

fn walk(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

#[test]
fn keys_are_added_listed_changed_and_removed() {
    let repo = Repo::new();
    std::fs::write(repo.place.path("other"), "other\n").unwrap();
    ended(&repo.ours(&["key", "add", "--new-password-file", "other", "--user", "ada"]), 0, "");
    let keys = repo.json(&["key", "list"]).pop().unwrap();
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 2);
    let of = |current: bool| keys.iter().find(|key| key["current"] == current).unwrap();
    assert_eq!(of(false)["userName"], "ada");
    ended(&repo.ours(&["key", "remove", of(true)["id"].as_str().unwrap()]), 1, "is the one in use");
    let mut other = repo.command(&["key", "remove", &of(true)["id"].as_str().unwrap()[..8]]);
    ended(&Ran::of(other.env("RESTIC_PASSWORD", "other")), 0, "");
    ended(&repo.ours(&["snapshots"]), 12, "opens no key");
    std::fs::write(repo.place.path("third"), "third\n").unwrap();
    let mut passwd = repo.command(&["key", "passwd", "--new-password-file", "third"]);
    ended(&Ran::of(passwd.env("RESTIC_PASSWORD", "other")), 0, "");
    ended(&Ran::of(repo.command(&["snapshots"]).env("RESTIC_PASSWORD", "other")), 12, "");
    ended(&Ran::of(repo.command(&["snapshots"]).env("RESTIC_PASSWORD", "third")), 0, "");
    ended(&Ran::of(repo.command(&["key", "add"]).env("RESTIC_PASSWORD", "third")), 1, "nothing says the new password");
}

/// Red when a half cannot run again after it was cut off at any of its steps, or when the password file opens nothing in
/// between.
#[test]
fn a_password_in_a_file_is_rotated_and_nobody_is_locked_out() {
    let repo = Repo::new();
    let file = |end: &str| repo.place.path(&format!("home.key{end}"));
    std::fs::write(file(""), format!("{PASSWORD}\n")).unwrap();
    let call = |words: &[&str]| {
        let mut command = repo.command(words);
        Ran::of(command.env_remove("RESTIC_PASSWORD").args(["--password-file", file("").to_str().unwrap()]))
    };
    let (begin, finish) = (["key", "rotate"], ["key", "rotate", "--finish"]);
    let keys = || call(&["key", "list"]).out.lines().count() - 1;
    ended(&call(&finish), 1, "nothing to finish");
    ended(&repo.ours(&begin), 1, "only a password that is in a file");

    // Cut off while the new password was written; after it was; after a key was made of it; before the files were changed.
    std::fs::write(file(".new"), "ha").unwrap();
    ended(&call(&begin), 0, "");
    let new = std::fs::read_to_string(file("")).unwrap();
    assert_eq!((new.trim().len(), keys(), file(".new").exists()), (52, 2, false));
    assert_eq!(std::fs::read_to_string(file(".old")).unwrap().trim(), PASSWORD);
    std::fs::rename(file(""), file(".new")).unwrap();
    std::fs::rename(file(".old"), file("")).unwrap();
    std::fs::hard_link(file(""), file(".old")).unwrap();
    ended(&call(&["snapshots"]), 0, "");
    ended(&call(&finish), 1, "nothing to finish");
    ended(&call(&begin), 0, "");
    assert_eq!((std::fs::read_to_string(file("")).unwrap(), keys()), (new.clone(), 2), "no further key was made");
    ended(&call(&begin), 0, "");
    assert_eq!((std::fs::read_to_string(file("")).unwrap(), keys()), (new.clone(), 2), "it is done already");
    ended(&repo.ours(&["snapshots"]), 0, "");

    // Cut off when the key was gone and the file was not.
    std::fs::copy(file(".old"), file(".kept")).unwrap();
    ended(&call(&finish), 0, "");
    assert_eq!((keys(), file(".old").exists()), (1, false));
    std::fs::rename(file(".kept"), file(".old")).unwrap();
    ended(&call(&finish), 0, "");
    ended(&repo.ours(&["snapshots"]), 12, "opens no key");
    ended(&call(&["snapshots"]), 0, "");
    let restic = |program: &std::path::PathBuf| {
        let mut restic = std::process::Command::new(program);
        repo.set(&mut restic);
        restic.env_remove("RESTIC_PASSWORD").arg("-p").arg(file("")).args(["check", "--no-cache"]);
        Ran::of(&mut restic)
    };
    for program in crate::support::restics() {
        ended(&restic(&program), 0, "");
    }
}

#[test]
fn repository_and_password_come_from_where_restic_takes_them() {
    let repo = Repo::new();
    std::fs::write(repo.place.path("password"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(repo.place.path("where"), format!("{}\n", repo.path().display())).unwrap();
    let code = |set: &[(&str, &str)], words: &[&str]| {
        let mut command = repo.command(&[words, &["snapshots"]].concat());
        command.env_remove("RESTIC_PASSWORD").env_remove("RESTIC_REPOSITORY");
        for (name, value) in set {
            command.env(name, value);
        }
        Ran::of(&mut command)
    };
    let file = ("RESTIC_PASSWORD_FILE", "password");
    ended(&code(&[("RESTIC_REPOSITORY_FILE", "where"), file], &[]), 0, "");
    ended(&code(&[file], &["--repository-file", "where"]), 0, "");
    ended(&code(&[file], &["--repository", "repository"]), 0, "");
    ended(&code(&[], &["-r", "local:repository", "-p", "password"]), 0, "");
    let command = format!("printf '{PASSWORD}'");
    ended(&code(&[("RESTIC_PASSWORD_COMMAND", &command)], &["-r", "repository"]), 0, "");
    ended(&code(&[], &["-r", "repository", "--password-command", "cat password"]), 0, "");
    ended(&code(&[], &["-r", "repository", "--password-command", "false"]), 1, "ended with");
    ended(&code(&[], &["-r", "repository"]), 1, "nothing says the password");
    ended(&code(&[("RESTIC_PASSWORD", "")], &["-r", "repository"]), 1, "nothing says the password");
    ended(&code(&[file], &[]), 1, "no repository is named");
    ended(&code(&[file], &["-r", "sftp:host:/x"]), 1, "cannot be opened by this program");
    ended(&code(&[file], &["-r", "nosuch"]), 10, "nosuch is not there");
    ended(&code(&[], &["-r", "repository", "--password", "x"]), 2, "unexpected argument");
    repo.make_source();
    let mut backup = repo.command(&["backup", "source"]);
    assert_eq!(Ran::of(backup.env("RESTIC_HOST", "elsewhere")).code, Some(0));
    assert_eq!(repo.json(&["snapshots"])[0][0]["hostname"], "elsewhere");
    let mut list = repo.command(&["snapshots", "--json"]);
    assert_eq!(Ran::of(list.env("RESTIC_HOST", "other")).out.trim(), "[]");
}

#[test]
fn a_lock_of_restic_keeps_us_out_where_it_must() {
    let repo = Repo::new();
    let mut held = repo.command(&["backup", "--stdin"]);
    let mut held = held.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while std::fs::read_dir(repo.path().join("locks")).into_iter().flatten().count() == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "no lock was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    for verb in [&["prune"][..], &["forget", "--keep-last", "1"], &["check"]] {
        let ran = repo.ours(&[verb, &["--json"]].concat());
        assert_eq!(ran.code, Some(11), "{}", ran.err);
        assert_eq!(lines(&ran.err).pop().unwrap()["code"], 11);
    }
    if let Some(ran) = repo.theirs(&["prune"]) {
        assert_eq!(ran.code, Some(11), "restic honours ours: {}", ran.err);
    }
    ended(&repo.ours(&["snapshots"]), 0, "");
    ended(&repo.ours(&["unlock"]), 0, "--remove-all");
    ended(&repo.ours(&["prune"]), 11, "is locked by process");
    std::io::Write::write_all(&mut held.stdin.take().unwrap(), b"x").unwrap();
    assert!(held.wait().unwrap().success());
    ended(&repo.ours(&["prune"]), 0, "");
    assert_eq!(std::fs::read_dir(repo.path().join("locks")).unwrap().count(), 0);
}

#[test]
fn a_signal_ends_a_backup_without_a_snapshot() {
    let repo = Repo::new();
    let mut child = repo.command(&["backup", "--stdin"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while std::fs::read_dir(repo.path().join("locks")).into_iter().flatten().count() == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "no lock was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    let input = child.stdin.take();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
    let ran = repo.ours(&["snapshots", "--json"]);
    assert_eq!(ran.out.trim(), "[]");
    // Whatever lock it left is seen to be dead.
    ended(&repo.ours(&["prune"]), 0, "");
    whole(&repo);
}

#[test]
fn names_are_never_printed_raw() {
    let repo = Repo::new();
    std::fs::create_dir(repo.place.source()).unwrap();
    std::fs::write(repo.place.source().join("a\x1b]0;pwn\x07\nb"), "x").unwrap();
    repo.backup(&["--tag", "t\x1b[2J", "--host", "h\x07"]);
    for words in [
        &["snapshots"][..],
        &["ls", "latest"],
        &["ls", "-l", "latest"],
        &["find", "a*"],
        &["diff", "latest", "latest:/source"],
        &["forget", "--keep-last", "1", "--dry-run"],
        &["restore", "latest", "--target", "out", "--dry-run", "-vv"],
    ] {
        let ran = repo.ours(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
        let raw = |text: &str| text.chars().any(|letter| letter.is_control() && letter != '\n');
        assert!(!raw(&ran.out) && !raw(&ran.err), "{words:?}: {:?} {:?}", ran.out, ran.err);
    }
}
