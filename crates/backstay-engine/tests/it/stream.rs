//! Streams: standard input and commands become a file, and what fails becomes nothing.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backstay_engine::archive::command::{command_stream, stream_of};
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::Published;
use backstay_engine::archive::stream::{Stream, archive_stream, rehearse_stream};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use jiff::Timestamp;

use super::house::{House, PASSWORD, options};
use super::restic::restics;
use super::tree;

fn stream_options() -> ArchiveOptions {
    ArchiveOptions { roots: Vec::new(), workers: 3, ..options(Path::new("/"), None) }
}

fn save(house: &House, name: &str, stream: Stream, interrupt: &Interrupt) -> Result<Published, EngineError> {
    let (options, progress) = (stream_options(), EngineProgress::default());
    archive_stream(&house.repository, &options, Path::new(name), stream, &progress, interrupt)?
        .publish(Timestamp::now())
}

fn shell(script: &str) -> Stream {
    command_stream(&["/bin/sh", "-c", script].map(OsString::from)).unwrap()
}

fn words(error: &EngineError) -> String {
    backstay_core::managers::job::chain(error)
}

/// Hands over few bytes at a time, as a slow writer does.
struct Drops(io::Cursor<Vec<u8>>);

impl Read for Drops {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(70_001);
        self.0.read(&mut out[..most])
    }
}

#[test]
fn a_stream_is_cut_and_laid_out_as_restic_does_it() {
    let body = [tree::noise(1, 23 << 20), tree::text(2, 9 << 20), vec![0; 20 << 20]].concat();
    let (house, file) = (House::local(), "dumps/all.sql");
    let done = save(&house, file, Stream::new(Drops(io::Cursor::new(body.clone()))), &Interrupt::default()).unwrap();
    assert_eq!(done.summary.total_bytes_processed, body.len() as u64);
    for restic in restics() {
        restic.check(&house);
        let dumped = restic.output(house.home.path(), &["dump", &done.id.to_hex(), &format!("/{file}")]).stdout;
        assert!(dumped == body, "restic {} dumps {} bytes", restic.version, dumped.len());
        let script = format!(
            "head -c 99999999 | \"$0\" --no-cache -r {}/repository backup --stdin --stdin-filename {file} --json",
            house.home.path().display()
        );
        let mut child = Command::new("/bin/sh")
            .args(["-c", &script])
            .arg(restic.program())
            .env("RESTIC_PASSWORD", PASSWORD)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        io::Write::write_all(&mut child.stdin.take().unwrap(), &body).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.contains("\"data_blobs\":0,"), "restic {}: {said}", restic.version);
    }
    let (_, saved) = house.repository.snapshot_read(&done.id.to_hex(), &Interrupt::default()).unwrap();
    assert_eq!(saved.paths, [format!("/{file}")]);
    for restic in restics().iter().filter(|restic| restic.version == "0.19") {
        // The same moment gives the same trees.
        let time = "2024-02-03 04:05:06";
        let ours = ArchiveOptions { started_at: "2024-02-03T04:05:06Z".parse().unwrap(), ..stream_options() };
        let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
        let ours =
            archive_stream(&house.repository, &ours, Path::new("a/b/c"), shell("printf data"), &progress, &interrupt);
        let ours = ours.unwrap().publish(Timestamp::now()).unwrap();
        let before = house.snapshots();
        let arguments =
            ["backup", "--time", time, "--stdin-filename", "a/b/c", "--stdin-from-command", "--", "printf", "data"];
        restic.run(house.home.path(), &arguments);
        let theirs = house.snapshots().into_iter().find(|id| !before.contains(id)).unwrap();
        assert_eq!(house.repository.snapshot_read(&theirs.to_hex(), &Interrupt::default()).unwrap().1.tree, ours.tree);
    }
}

#[test]
fn an_empty_stream_is_an_empty_file() {
    let house = House::local();
    let done = save(&house, "stdin", Stream::new(io::empty()), &Interrupt::default()).unwrap();
    assert_eq!((done.summary.total_bytes_processed, done.summary.data_blobs), (0, 0));
    let nameless = save(&house, "/..", Stream::new(io::empty()), &Interrupt::default());
    assert!(matches!(nameless, Err(EngineError::Source { .. })), "{nameless:?}");
}

/// Red when the snapshot is made before the command has ended, or whatever its end was.
#[test]
fn a_command_that_fails_makes_no_snapshot_and_its_last_words_are_told() {
    let house = House::local();
    for (script, parts) in [
        (
            "head -c 30000000 /dev/zero; echo 'the table is gone' >&2; exit 3",
            &["exited with 3", "the table is gone"][..],
        ),
        ("echo data; kill -9 $$", &["ended by signal 9"]),
        ("exit 1", &["exited with 1"]),
        ("echo data; exec >&-; sleep 0.3; exit 7", &["exited with 7"]),
    ] {
        let done = save(&house, "dump", shell(script), &Interrupt::default());
        let error = done.expect_err(script);
        assert!(matches!(error, EngineError::Source { .. }), "{error:?}");
        for part in parts {
            assert!(words(&error).contains(part), "{}", words(&error));
        }
    }
    let many = "for n in $(seq 5000); do echo \"word $n\" >&2; done; exit 2";
    let error = save(&house, "dump", shell(many), &Interrupt::default()).unwrap_err();
    let told = words(&error);
    assert!(told.contains("word 5000") && !told.contains("word 1;") && told.len() < 5_000, "{}", told.len());
    assert!(house.snapshots().is_empty());
    assert!(command_stream(&[]).is_err() && command_stream(&["/no/such/program".into()]).is_err());
    // One that says much and ends well is no failure.
    let done = save(&house, "dump", shell("echo careful >&2; echo data"), &Interrupt::default()).unwrap();
    assert_eq!(done.summary.total_bytes_processed, 5);
}

#[test]
fn a_reader_that_fails_in_the_middle_makes_no_snapshot() {
    let house = House::local();
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                40 => Err(io::Error::other("the line is cut")),
                41.. => Ok(0),
                _ => {
                    out.fill(self.0 as u8);
                    Ok(out.len())
                }
            }
        }
    }
    let error = save(&house, "stdin", Stream::new(Broken(0)), &Interrupt::default()).unwrap_err();
    assert!(words(&error).contains("the line is cut"), "{}", words(&error));
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a fault of the reader");
        }
    }
    let error = save(&house, "stdin", Stream::new(Panics), &Interrupt::default()).unwrap_err();
    assert!(matches!(error, EngineError::Panicked { .. }), "{error:?}");
    assert!(house.snapshots().is_empty());
}

/// Red when a wish to stop waits for the command: this one says nothing, and ignores the first signal.
#[test]
fn a_stream_that_hangs_is_left_when_somebody_asks_to_stop() {
    let house = House::local();
    let mark = house.home.path().join("mark");
    let script = format!("trap '' TERM; sleep 1000 & echo $! $$ > {}; while :; do sleep 1; done", mark.display());
    let interrupt = Interrupt::default();
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while std::fs::read_to_string(&mark).map_or(true, |text| !text.ends_with('\n')) {
                std::thread::sleep(Duration::from_millis(5));
            }
            interrupt.raise();
        });
        save(&house, "dump", shell(&script), &interrupt)
    });
    assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "the command would have run for a thousand seconds");
    let pids = std::fs::read_to_string(&mark).unwrap();
    for pid in pids.split_whitespace() {
        let alive = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        let mut looks = 0;
        while alive() {
            looks += 1;
            assert!(looks < 500, "{pid} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert!(house.snapshots().is_empty());
}

#[test]
fn a_rehearsed_stream_is_counted_and_writes_nothing() {
    let (house, storage) = House::fake();
    let before = storage.keys();
    let body = tree::noise(3, 20 << 20);
    let (options, progress) = (stream_options(), EngineProgress::default());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "head -c 20971520 /dev/zero"]).arg0("sh");
    for stream in [Stream::new(io::Cursor::new(body)), stream_of(command).unwrap()] {
        let interrupt = Interrupt::default();
        let name = Path::new("x");
        let done = rehearse_stream(&house.repository, &options, name, stream, &progress, &interrupt).unwrap();
        assert_eq!((done.summary.total_bytes_processed, done.bytes_stored), (20 << 20, 0));
        assert!(done.summary.data_added > 0);
    }
    assert_eq!(storage.keys(), before);
}
