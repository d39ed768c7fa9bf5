//! A command as a stream: what it writes is saved, and a command that fails makes no snapshot.
//!
//! Its end is part of its stream: the reader says that the stream is over only when the command has ended well.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use rustix::process::{Pid, Signal};

use super::stream::Stream;

/// Bytes that are kept of what a command says on standard error: its last words are those that tell why it failed.
pub const WORDS_BYTES_MAX: usize = 4 << 10;

/// How long a command that is told to end may take before it is killed: less than the second in which a backup stops.
const GRACE: Duration = Duration::from_millis(400);

/// How long its last words are waited for: what it started itself may hold its standard error open.
const WORDS_WAIT: Duration = Duration::from_millis(500);

/// How often the end of a command is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Starts a command, a program and its arguments, in a process group of its own, with nothing on its standard input.
///
/// # Errors
/// What the system says when it cannot be started.
pub fn command_stream(arguments: &[OsString]) -> io::Result<Stream> {
    let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "there is no command to start");
    let (program, arguments) = arguments.split_first().ok_or_else(nothing)?;
    let mut command = Command::new(program);
    command.args(arguments);
    stream_of(command)
}

/// Starts a command that was put together elsewhere, with its environment; its standard input, output and error are set
/// here.
///
/// # Errors
/// What the system says when it cannot be started.
pub fn stream_of(mut command: Command) -> io::Result<Stream> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let missing = || io::Error::other("the command has no output");
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    let words = Arc::new(Mutex::new(Vec::new()));
    let (over, all_said) = bounded(1);
    let kept = Arc::clone(&words);
    std::thread::spawn(move || {
        keep_words(errors, &kept);
        // Nobody waits any more when the stream was dropped.
        over.send(()).unwrap_or_default();
    });
    let running = Running(Arc::new(Mutex::new(child)));
    let stop = running.clone();
    let reader = CommandReader { output, running, words, all_said };
    Ok(Stream::with_stop(reader, move || stop.stop()))
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

/// A command under way. It is signalled under the same lock under which its end is taken note of, so that no signal meets
/// another process that got its number.
#[derive(Debug, Clone)]
struct Running(Arc<Mutex<Child>>);

impl Running {
    /// Returns how it ended; none while it runs.
    fn ended(&self) -> io::Result<Option<ExitStatus>> {
        self.0.lock().expect("no holder panics").try_wait()
    }

    /// Waits for its end.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            match self.ended()? {
                Some(status) => return Ok(status),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Tells it and what it started to end, and kills what has not.
    fn stop(&self) {
        self.signal(Signal::TERM);
        for _ in 0..GRACE.as_millis() / LOOK_EVERY.as_millis() {
            if !matches!(self.ended(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.signal(Signal::KILL);
        // Killed, it ends at once; what of that cannot be seen changes nothing.
        self.wait().map_or_else(drop, drop);
    }

    fn signal(&self, signal: Signal) {
        let mut child = self.0.lock().expect("no holder panics");
        if let (Ok(None), Some(pid)) = (child.try_wait(), i32::try_from(child.id()).ok().and_then(Pid::from_raw)) {
            // It may have ended since: then there is nobody to tell.
            rustix::process::kill_process_group(pid, signal).unwrap_or_default();
        }
    }
}

/// The output of a command, which ends well only where the command does.
#[derive(Debug)]
struct CommandReader {
    output: ChildStdout,
    running: Running,
    words: Arc<Mutex<Vec<u8>>>,
    all_said: Receiver<()>,
}

impl Read for CommandReader {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self.output.read(piece)? {
            0 if !piece.is_empty() => self.end().map(|()| 0),
            bytes => Ok(bytes),
        }
    }
}

impl CommandReader {
    fn end(&self) -> io::Result<()> {
        let status = self.running.wait()?;
        if status.success() {
            return Ok(());
        }
        self.all_said.recv_timeout(WORDS_WAIT).unwrap_or_default();
        let words = self.words.lock().expect("no holder panics");
        let words = String::from_utf8_lossy(words.trim_ascii()).into_owned();
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("the command exited with {code}"),
            (None, Some(signal)) => format!("the command was ended by signal {signal}"),
            (None, None) => "the command failed".to_owned(),
        };
        Err(io::Error::other(if words.is_empty() { how } else { format!("{how} and said: {words}") }))
    }
}

impl Drop for CommandReader {
    /// A command whose output nobody wants any more is ended.
    fn drop(&mut self) {
        self.running.stop();
    }
}
