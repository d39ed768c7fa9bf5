//! What goes wrong, one thing after another: the state, the class, the exit code, the words, what to do next and the event of
//! each, and that the next run is well once it is mended. `docs/reference/failures.md` says the same to people, row by row.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use backstay_testkit::fakes::proxy::{Fault, FaultProxy};
use backstay_testkit::peers::database::Engine;
use backstay_testkit::peers::s3::moto;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cable::Cable;
use crate::fleet::{MUCH, repository};
use crate::fleet_support::{Fleet, private, wait_for};
use crate::quickstart::half_readable;
use crate::support::{Place, Ran, is_root, make_tree, noise, restics};
use crate::verbs::{protected, rows, up};

/// What a person meets: a row of the page's second table.
struct Case {
    failure: &'static str,
    /// `class` and `state` of the job; `-` when there is none.
    class: &'static str,
    state: &'static str,
    /// Of the verb; of one that waits for a job, when the job has ended.
    code: i32,
    says: &'static str,
    next: &'static str,
}

const fn case(
    failure: &'static str,
    (class, state, code): (&'static str, &'static str, i32),
    (says, next): (&'static str, &'static str),
) -> Case {
    Case { failure, class, state, code, says, next }
}

const CASES: [Case; 20] = [
    case(
        "the folder is not there",
        ("source", "failed", 20),
        ("does not exist", "Look whether it is there and may be read where the agent runs."),
    ),
    case(
        "a command ends with an error",
        ("source", "failed", 20),
        ("exited with 3 and said: no table", "Look whether it is there and may be read where the agent runs."),
    ),
    case(
        "an entry cannot be read",
        ("-", "succeeded (partial)", 3),
        ("1 entries could not be read", "Let the agent read them, or say that they may be missing:"),
    ),
    case(
        "a file vanishes while it is read",
        ("-", "succeeded (partial)", 3),
        ("1 entries could not be read", "Let the agent read them, or say that they may be missing:"),
    ),
    case(
        "the hook `before` ends with an error",
        ("hook", "failed", 1),
        (
            "the command exited with 3 and said: still open",
            "Run the hook by hand, as the agent's user, until it works.",
        ),
    ),
    case(
        "the tenant's quota is used up",
        ("-", "-", 1),
        (
            "that its quota allows",
            "`backstay quota show` says how near it is; who oversees the installation raises it: backstay quota set.",
        ),
    ),
    case(
        "a command writes nothing for longer than the stall limit",
        ("stalled", "waiting", 130),
        ("made no progress for 5 s", "Look what it waits for there; `backup.stall_limit` gives it longer."),
    ),
    case(
        "the disk is full",
        ("storage_full", "failed", 23),
        ("is full", "Free some space there, or choose another place; what was saved stays."),
    ),
    case(
        "the disk is read-only",
        ("storage", "failed", 1),
        ("Read-only file system", "Look whether the storage answers and may be written."),
    ),
    case(
        "S3 answers 503 for a minute",
        ("storage", "waiting", 0),
        ("is busy", "Look whether the storage answers and may be written."),
    ),
    case(
        "the disk is not mounted",
        ("repository_missing", "failed", 10),
        ("is not there", "Is the disk mounted? Nothing was made in its place."),
    ),
    case(
        "the password is wrong",
        ("password", "failed", 12),
        ("opens no key", "Put the right recovery key back, from the copy that you keep elsewhere."),
    ),
    case(
        "the key file is gone",
        ("password", "failed", 12),
        ("keys/local.key", "Put the right recovery key back, from the copy that you keep elsewhere."),
    ),
    case(
        "plain restic works alone for longer than a minute",
        ("repository", "waiting", 130),
        ("which works alone", "It goes on when the other program there has ended."),
    ),
    case(
        "the agent's process is killed",
        ("agent_lost", "queued", 0),
        ("is back in the queue: the heartbeat of its agent", "Look whether its agent runs."),
    ),
    case(
        "what was saved is not what it was",
        ("-", "damaged", 24),
        (
            "1 things are not as they were saved",
            "`backstay evidence list` has the record of what is not as it was saved.",
        ),
    ),
    case(
        "a restore's folder is not empty",
        ("target", "failed", 1),
        ("is not empty", "Empty the target, or name another one."),
    ),
    case(
        "the database does not answer",
        ("-", "-", 1),
        (
            "the database did not answer",
            "Ask again; if it stays so, look at the server's log and at the database's disk.",
        ),
    ),
    case(
        "the database server that `backstay up` is told of is not there",
        ("-", "-", 1),
        (
            "because: the database cannot be reached",
            "Is the server running, and are host, port and TLS right? Starting again is safe.",
        ),
    ),
    case("the mail server is down", ("-", "-", 1), ("did not answer", "Mend what it says")),
];

fn case_of(failure: &str) -> &'static Case {
    CASES.iter().find(|case| case.failure == failure).unwrap_or_else(|| panic!("{failure} is no case"))
}

/// Asserts what a person reads when a verb has ended.
pub(crate) fn said(failure: &str, ran: &Ran) {
    let case = case_of(failure);
    assert_eq!(ran.code, Some(case.code), "{failure}: {ran:?}");
    for words in [case.says.to_owned(), format!("next: {}", case.next)] {
        assert!(ran.err.contains(&words) || ran.out.contains(&words), "{failure}: `{words}` is not in {ran:?}");
    }
}

/// Asserts what is written of the newest job, and that what did not go well is an event that says why.
fn written(failure: &str, place: &Place) {
    let case = case_of(failure);
    let job = rows(&place.json(&["job", "list"]))[0].clone();
    let (state, outcome) =
        case.state.strip_suffix(" (partial)").map_or((case.state, None), |state| (state, Some("partial")));
    assert_eq!((job["state"].as_str(), job["outcome"].as_str()), (Some(state), outcome), "{failure}: {job:#}");
    assert_eq!(job["failure_class"].as_str().unwrap_or("-"), case.class, "{failure}: {job:#}");
    let events = place.json(&["event", "list"]);
    let mut told = rows(&events).iter().filter(|event| event["job_id"] == job["id"] && event["kind"] == state);
    let is_told = told.any(|event| event["message"].as_str().unwrap().contains(case.says));
    assert!(is_told, "{failure}: no event says so: {events:#}");
}

/// Runs the plan in the disturbed place, and once more when it is mended.
fn met(place: &Place, plan: &str, failure: &str, mend: impl FnOnce()) {
    said(failure, &place.run(&["plan", "run", plan]));
    written(failure, place);
    mend();
    let ran = place.run(&["plan", "run", plan]);
    assert_eq!(ran.code, Some(0), "{failure}, mended: {ran:?}");
}

fn mount(words: &[&str], path: &Path) {
    let ran = Ran::of(Command::new("mount").args(words).arg(path));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

fn unmount(path: &Path) {
    Ran::of(Command::new("umount").arg("-l").arg(path));
}

/// Takes a path away; what is returned puts it back.
fn away(path: &Path) -> impl FnOnce() + use<> {
    let (path, other) = (path.to_owned(), path.with_extension("away"));
    std::fs::rename(&path, &other).unwrap();
    move || std::fs::rename(other, path).unwrap()
}

/// A place with a tree that is backed up once, and its plan.
fn place() -> (Place, String) {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    (place, plan)
}

/// Declares more sources and plans.
fn apply(place: &Place, file: &Value) {
    let path = place.path("more.yaml");
    std::fs::write(&path, file.to_string()).unwrap();
    let ran = place.run(&["apply", "-f", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Red when a failure is told as another one, or as none.
#[test]
fn each_failure_has_its_class_its_words_and_its_way_out() {
    let (place, plan) = place();
    met(&place, &plan, "the folder is not there", away(&place.source()));
    let repository = place.data().join("repositories/local");
    met(&place, &plan, "the disk is not mounted", away(&repository));
    let key = place.data().join("keys/local.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "wrong\n").unwrap();
    met(&place, &plan, "the password is wrong", || std::fs::write(&key, right).unwrap());
    met(&place, &plan, "the key file is gone", away(&key));

    let odd = place.source().join("odd");
    half_readable(&odd);
    met(&place, &plan, "an entry cannot be read", || std::fs::remove_file(&odd).unwrap());
    a_file_vanishes(&place);

    let hook = json!(["sh", "-c", "echo still open >&2; exit 3"]).to_string();
    place.json(&["plan", "update", &plan, "--hook-before", &hook]);
    met(&place, &plan, "the hook `before` ends with an error", || {
        place.json(&["plan", "update", &plan, "--hook-before", ""]);
    });
    let mark = place.path("there");
    let script = format!("test -e {} || {{ echo no table >&2; exit 3; }}", mark.display());
    apply(
        &place,
        &json!({
            "sources": { "dump": { "kind": "command", "settings": { "argv": ["sh", "-c", script], "filename": "dump" } } },
            "plans": { "dump": { "source": "dump", "repository": "local" } },
        }),
    );
    met(&place, "dump", "a command ends with an error", || std::fs::write(mark, "").unwrap());

    place.json(&["quota", "set", "default", "--bytes", "1"]);
    said("the tenant's quota is used up", &place.run(&["plan", "run", &plan]));
    place.json(&["quota", "set", "default", "--bytes", "none"]);
    assert_eq!(place.run(&["plan", "run", &plan]).code, Some(0));

    if is_root("a storage that cannot be written") {
        std::fs::write(place.source().join("one"), "changed").unwrap();
        mount(&["--bind", repository.to_str().unwrap()], &repository);
        mount(&["-o", "remount,bind,ro"], &repository);
        met(&place, &plan, "the disk is read-only", || unmount(&repository));
        the_disk_is_full(&place);
    }
    not_the_plans_own();
}

/// Holds a backup where its first pack is written, and takes a file away that it has listed and not read.
fn a_file_vanishes(place: &Place) {
    let failure = "a file vanishes while it is read";
    let folder = place.path("vanishing");
    std::fs::create_dir(&folder).unwrap();
    // Two workers fill a pack of 16 MiB each before one is written: what lies behind that is not read yet.
    (10..24).for_each(|number| std::fs::write(folder.join(number.to_string()), noise(number, 4 << 20)).unwrap());
    apply(
        place,
        &json!({
            "sources": { "vanishing": { "settings": { "path": folder } } },
            "plans": { "vanishing": { "source": "vanishing", "repository": "local" } },
        }),
    );
    let mut run = place.command(&["plan", "run", "vanishing"]);
    run.env("BACKSTAY_FAIL_POINT", "pack.before:1:hold").stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = run.spawn().unwrap();
    wait_for("a backup at its first pack", || is_held(&run).then_some(()));
    std::fs::remove_file(folder.join("23")).unwrap();
    kill_process(Pid::from_child(&run), Signal::CONT).unwrap();
    said(failure, &ended(run));
    written(failure, place);
    assert_eq!(place.run(&["plan", "run", "vanishing"]).code, Some(0), "the next one knows nothing of it");
}

/// Says whether a process stands still.
pub(crate) fn is_held(process: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Waits for a process's end.
fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A disk of which another program takes the rest.
fn the_disk_is_full(place: &Place) {
    let disk = place.path("disk");
    std::fs::create_dir(&disk).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &disk);
    let (little, rest) = (place.path("little"), disk.join("rest"));
    std::fs::create_dir(&little).unwrap();
    std::fs::write(little.join("noise"), noise(1, 2 << 20)).unwrap();
    let storage = json!({ "kind": "local", "settings": { "path": disk.join("kept") } });
    apply(
        place,
        &json!({
            "repositories": { "disk": { "storage": storage, "password": "file:keys/local.key" } },
            "sources": { "little": { "settings": { "path": little } } },
            "plans": { "little": { "source": "little", "repository": "disk" } },
        }),
    );
    std::fs::write(&rest, noise(2, 7 << 20)).unwrap();
    met(place, "little", "the disk is full", || std::fs::remove_file(&rest).unwrap());
    unmount(&disk);
}

/// What goes wrong with restores, verifies and mails.
fn not_the_plans_own() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("noise"), noise(1, 1 << 20)).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let full = place.path("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "mine").unwrap();
    let failure = "a restore's folder is not empty";
    said(failure, &place.run(&["snapshot", "restore", "latest", "--target", full.to_str().unwrap()]));
    written(failure, &place);
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1, "what is there stays as it is");

    let settings = ["host=localhost", "port=1", "from=a@test.example", "to=b@test.example"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let words: Vec<&str> =
        ["channel", "create", "mail", "--kind", "smtp", "--severity", "error"].into_iter().chain(settings).collect();
    place.json(&words);
    said("the mail server is down", &place.run(&["channel", "test", "mail"]));

    let pack = large_pack(&place.data().join("repositories/local/data"));
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[1_000] ^= 1;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    let failure = "what was saved is not what it was";
    said(failure, &place.run(&["snapshot", "verify", "latest", "--percent", "100"]));
    written(failure, &place);
}

/// Returns the largest pack.
fn large_pack(data: &Path) -> PathBuf {
    let ran = Ran::of(Command::new("find").arg(data).args(["-type", "f", "-printf", "%s %p\\n"]));
    let sized = ran.out.lines().filter_map(|line| line.split_once(' '));
    let largest = sized.max_by_key(|(size, _)| size.parse::<u64>().unwrap()).unwrap();
    PathBuf::from(largest.1)
}

/// What is waited for takes a minute: all at once. Red when such a job fails at once, is told as a failure while it may
/// pass, or does not go on by itself.
#[test]
fn what_may_pass_is_waited_for() {
    std::thread::scope(|scope| {
        scope.spawn(s3_is_busy);
        scope.spawn(another_program_works_alone);
        scope.spawn(a_command_hangs);
        scope.spawn(an_agent_is_killed);
    });
}

/// Asks for a backup and waits for it beside the test.
fn asked(place: &Place, plan: &str) -> Child {
    let mut command = place.command(&["plan", "run", plan, "--wait"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the newest job waits, and asserts what is written and shown of it meanwhile.
fn waits(failure: &str, place: &Place) -> Value {
    let case = case_of(failure);
    let job = wait_for(failure, || {
        let job = rows(&place.json(&["job", "list"])).first()?.clone();
        (job["state"] == case.state).then_some(job)
    });
    assert_eq!(job["failure_class"], case.class, "{failure}: {job:#}");
    let shown = place.run(&["job", "show", job["id"].as_str().unwrap()]);
    assert!(shown.out.contains(case.says) && shown.out.contains(&format!("next: {}", case.next)), "{shown:?}");
    assert!(shown.out.contains("It is tried again by itself."), "{shown:?}");
    let events = place.json(&["event", "list"]);
    let told = rows(&events).iter().filter(|event| event["job_id"] == job["id"]);
    assert!(told.clone().all(|event| event["kind"] == "enqueued"), "{failure}: nobody is woken for it: {events:#}");
    job
}

fn s3_is_busy() {
    let failure = "S3 answers 503 for a minute";
    let Some(peer) = moto() else { return };
    let (place, bucket, key) = (protected(), peer.bucket(), peer.key());
    assert_eq!(peer.request("PUT", &format!("/{bucket}"), &[]), 200);
    let proxy = FaultProxy::start(&peer.endpoint);
    let text = json!({ "access_key_id": key.id, "secret_access_key": key.secret.expose_secret() }).to_string();
    std::fs::write(place.path("s3.json"), text).unwrap();
    place.json(&["secret", "put", "s3", "--from-file", place.path("s3.json").to_str().unwrap()]);
    let settings = json!({ "endpoint": proxy.endpoint(), "bucket": bucket });
    let storage = json!({ "kind": "s3", "settings": settings });
    apply(
        &place,
        &json!({
            "repositories": { "far": { "storage": storage, "password": "file:keys/local.key", "credentials": "sealed:s3" } },
            "plans": { "far": { "source": "source", "repository": "far" } },
        }),
    );
    assert_eq!(place.run(&["plan", "run", "far"]).code, Some(0));
    let _up = up(&place);
    ["GET", "LIST", "PUT", "HEAD", "DELETE"].iter().for_each(|verb| proxy.harm_all(verb, Fault::Status(503)));
    let run = asked(&place, "far");
    waits(failure, &place);
    proxy.heal();
    let ran = ended(run);
    assert_eq!(ran.code, Some(case_of(failure).code), "{ran:?}");
    assert!(ran.err.contains("waits and will try again") || ran.out.contains("succeeded"), "{ran:?}");
}

fn another_program_works_alone() {
    let failure = "plain restic works alone for longer than a minute";
    let Some(restic) = restics().pop() else { return };
    let (place, plan) = place();
    let repository = place.data().join("repositories/local");
    let mut check = Command::new(restic);
    check.args(["--no-cache", "-r"]).arg(&repository).arg("-p").arg(place.data().join("keys/local.key"));
    let mut check = check.args(["check", "--read-data"]).stdout(Stdio::null()).spawn().unwrap();
    wait_for("restic's lock", || {
        let names = std::fs::read_dir(repository.join("locks")).unwrap();
        // Another name is its beginning, which is no lock yet.
        names.flatten().any(|name| name.file_name().len() == 64).then_some(())
    });
    kill_process(Pid::from_child(&check), Signal::STOP).unwrap();
    let _up = up(&place);
    let run = asked(&place, &plan);
    let job = waits(failure, &place);
    place.json(&["job", "cancel", job["id"].as_str().unwrap()]);
    let ran = ended(run);
    assert_eq!(ran.code, Some(case_of(failure).code), "{ran:?}");
    kill_process(Pid::from_child(&check), Signal::CONT).unwrap();
    assert!(check.wait().unwrap().success(), "nobody took anything from under it");
    assert_eq!(ended(asked(&place, &plan)).code, Some(0));
}

fn a_command_hangs() {
    let failure = "a command writes nothing for longer than the stall limit";
    let (place, mark) = (protected(), "there");
    let script = format!("echo data; test -e {} || sleep 1000", place.path(mark).display());
    apply(
        &place,
        &json!({
            "sources": { "hangs": { "kind": "command", "settings": { "argv": ["sh", "-c", script], "filename": "dump" } } },
            "plans": { "hangs": { "source": "hangs", "repository": "local", "backup": { "stall_limit": "5s" } } },
        }),
    );
    let _up = up(&place);
    let run = asked(&place, "hangs");
    let job = waits(failure, &place);
    place.json(&["job", "cancel", job["id"].as_str().unwrap()]);
    let ran = ended(run);
    assert_eq!(ran.code, Some(case_of(failure).code), "{ran:?}");
    std::fs::write(place.path(mark), "").unwrap();
    assert_eq!(ended(asked(&place, "hangs")).code, Some(0));
}

fn an_agent_is_killed() {
    let failure = "the agent's process is killed";
    let case = case_of(failure);
    let Some(server) = Engine::Postgresql.up() else { return };
    let mut fleet = Fleet::new(server.create());
    let mut replica = fleet.replica("127.0.0.1:0");
    fleet.urls = vec![replica.heard("answers at ")];
    fleet.first_token();
    let (repository, source) = (repository(&fleet), fleet.place.path("much"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("noise"), noise(7, MUCH)).unwrap();
    let plan = fleet.plan("much", &source, &repository, &[]);
    let token = fleet.json(&["token", "create", "hands", "--role", "agent"]);
    let token = token["secret"].as_str().unwrap();
    let (mut agent, _) = fleet.agent(token, 0);
    let mut run = fleet.command(&["plan", "run", &plan, "--wait"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = wait_for("a job", || {
        let jobs = fleet.json(&["job", "list"]);
        Some(rows(&jobs).first()?["id"].as_str().unwrap().to_owned())
    });
    fleet.at_work(&id);
    agent.kill();
    let job = wait_for(failure, || Some(fleet.job(&id)["job"].clone()).filter(|job| job["state"] == case.state));
    assert_eq!(job["failure_class"], case.class, "{job:#}");
    let shown = Ran::of(&mut fleet.command(&["job", "show", &id]));
    assert!(shown.out.contains(&format!("next: {} It is tried again by itself.", case.next)), "{shown:?}");
    let told = fleet.events();
    let mut told = told.iter().filter(|event| event["job_id"] == id.as_str() && event["kind"] == "rescued");
    assert!(told.any(|event| event["message"].as_str().unwrap().contains(case.says)), "no event says so");
    let _other = fleet.agent(token, 0);
    let ran = ended(run);
    assert_eq!(ran.code, Some(case.code), "{ran:?}");
}

/// Red when a server dies with its database, does not say what is wrong, or does not go on by itself.
#[test]
fn a_database_that_is_away_is_said_and_waited_for() {
    let failure = "the database does not answer";
    let Some(server) = Engine::Postgresql.up() else { return };
    let mut fleet = Fleet::new(server.create());
    let cable = Cable::to(fleet.database.port());
    let address = fleet.database.address_through(cable.port);
    private(&fleet.place.path("database.url"), &format!("{address}\n"));
    let mut replica = fleet.replica("127.0.0.1:0");
    fleet.urls = vec![replica.heard("answers at ")];
    fleet.first_token();
    cable.pull();
    said(failure, &Ran::of(&mut fleet.command(&["plan", "list"])));
    cable.plug();
    wait_for("the database", || (Ran::of(&mut fleet.command(&["plan", "list"])).code == Some(0)).then_some(()));
    assert!(replica.up.0.try_wait().unwrap().is_none(), "it is the same process");
}

/// Red when the page says something else than was seen, or leaves a class or a case out.
#[test]
fn the_page_says_what_was_seen() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/failures.md"))
        .unwrap();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let found: Vec<Vec<String>> =
        page.lines().filter(|line| line.starts_with("| ")).map(cells).filter(|row| row.len() == 6).skip(2).collect();
    let wanted: Vec<Vec<String>> = CASES
        .iter()
        .map(|case| {
            [case.failure, case.class, case.state, &case.code.to_string(), case.says, case.next]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    assert_eq!(found, wanted);
}
