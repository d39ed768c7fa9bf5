//! A command under way: in a process group of its own, ended as a whole, its last words kept.
//!
//! What a command wrote is worth something only when it ended well and nobody ended it: [`Process::end`] says so. Who comes
//! in: `archive::command`, which reads one, and `restore::command`, which writes to one.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// Bytes that are kept of what a command says on standard error: its last words are those that tell why it failed.
pub const WORDS_BYTES_MAX: usize = 4 << 10;

/// How long a command that is told to end may take before it is killed: less than the second in which a backup stops.
const GRACE: Duration = Duration::from_millis(400);

/// How long its last words are waited for: what it started itself may hold its standard error open.
const WORDS_WAIT: Duration = Duration::from_millis(500);

/// How often the end of a command is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A command under way; it is ended when this goes away before it has ended.
#[derive(Debug)]
pub struct Process {
    stopper: Stopper,
    words: Arc<Mutex<Vec<u8>>>,
    all_said: Receiver<()>,
    /// Tells whoever watches the time that nobody needs that any more.
    _watched: Sender<()>,
}

/// Ends a command from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Mutex<Running>>);

/// A child is taken note of and signalled under one lock, so that no signal meets another process that got its number.
#[derive(Debug)]
struct Running {
    child: Child,
    /// How it ended, once that was taken note of: from then on its number is not its own.
    ended: Option<ExitStatus>,
    /// Why it was told to end; none when it was not.
    stopped: Option<String>,
}

impl Process {
    /// Starts a command that was put together elsewhere, in a process group of its own. Its standard error is taken here;
    /// `time_limit` ends it when it takes longer.
    ///
    /// # Errors
    /// What the system says when it cannot be started.
    pub fn start(mut command: Command, time_limit: Option<Duration>) -> io::Result<(Self, ChildPipes)> {
        command.stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let pipes = ChildPipes { input: child.stdin.take(), output: child.stdout.take() };
        let errors = child.stderr.take().ok_or_else(|| io::Error::other("the command has no standard error"))?;
        let words = Arc::new(Mutex::new(Vec::new()));
        let (over, all_said) = bounded(1);
        let kept = Arc::clone(&words);
        std::thread::spawn(move || {
            keep_words(errors, &kept);
            // Nobody waits any more when the process was dropped.
            over.send(()).unwrap_or_default();
        });
        let stopper = Stopper(Arc::new(Mutex::new(Running { child, ended: None, stopped: None })));
        let (watched, nobody) = bounded(0);
        if let Some(limit) = time_limit {
            let stopper = stopper.clone();
            std::thread::spawn(move || {
                if nobody.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    stopper.stop_for(&format!("it took longer than its time limit of {} s", limit.as_secs()));
                }
            });
        }
        Ok((Self { stopper, words, all_said, _watched: watched }, pipes))
    }

    /// Returns what ends it from elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end well, or somebody ended it: how, and its last words.
    pub fn end(&self) -> io::Result<()> {
        let status = self.stopper.wait()?;
        let stopped = self.stopper.lock().stopped.clone();
        if status.success() && stopped.is_none() {
            return Ok(());
        }
        self.all_said.recv_timeout(WORDS_WAIT).unwrap_or_default();
        let words = self.words.lock().expect("no holder panics");
        let words = String::from_utf8_lossy(&words);
        let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
        let words = lines.collect::<Vec<_>>().join("; ");
        let how = match (stopped, status.code(), status.signal()) {
            (Some(why), ..) => format!("the command was ended: {why}"),
            (None, Some(code), _) => format!("the command exited with {code}"),
            (None, None, Some(signal)) => format!("the command was ended by signal {signal}"),
            (None, None, None) => "the command failed".to_owned(),
        };
        Err(io::Error::other(if words.is_empty() { how } else { format!("{how} and said: {words}") }))
    }
}

impl Drop for Process {
    /// A command that nobody waits for any more is ended.
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// Its standard input and output, where they were asked for.
#[derive(Debug)]
pub struct ChildPipes {
    /// What it reads.
    pub input: Option<std::process::ChildStdin>,
    /// What it writes.
    pub output: Option<std::process::ChildStdout>,
}

impl Stopper {
    /// Tells it and what it started to end, and kills what has not.
    pub fn stop(&self) {
        self.stop_for("it was asked to stop");
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().expect("no holder panics")
    }

    /// Waits for its end.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            let mut running = self.lock();
            if let Some(status) = running.ended {
                return Ok(status);
            }
            // Whoever stops it takes note of its end, after the last signal to its group.
            if running.stopped.is_none()
                && let Some(status) = running.child.try_wait()?
            {
                running.ended = Some(status);
                return Ok(status);
            }
            drop(running);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn stop_for(&self, why: &str) {
        {
            let mut running = self.lock();
            if running.ended.is_some() || running.stopped.is_some() {
                return;
            }
            running.stopped = Some(why.to_owned());
            running.signal(Signal::TERM);
        }
        for _ in 0..GRACE.as_millis() / LOOK_EVERY.as_millis() {
            if self.lock().has_exited() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let mut running = self.lock();
        // Its number is its own until its end is taken note of: the group is the one that it leads.
        running.signal(Signal::KILL);
        running.ended = running.child.wait().ok().or(Some(ExitStatus::from_raw(Signal::KILL.as_raw())));
    }
}

impl Running {
    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Says whether it has exited, without taking note of it: what it started may still run in its group.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.pid().is_none_or(|pid| !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Nobody may be left: then there is nobody to tell.
            rustix::process::kill_process_group(pid, signal).unwrap_or_default();
        }
    }
}

/// Keeps the last words of a command.
fn keep_words(mut errors: ChildStderr, kept: &Mutex<Vec<u8>>) {
    let mut piece = [0; WORDS_BYTES_MAX];
    loop {
        match errors.read(&mut piece) {
            Ok(0) => return,
            Ok(bytes) => {
                let mut kept = kept.lock().expect("no holder panics");
                kept.extend_from_slice(&piece[..bytes]);
                let much = kept.len().saturating_sub(WORDS_BYTES_MAX);
                kept.drain(..much);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
