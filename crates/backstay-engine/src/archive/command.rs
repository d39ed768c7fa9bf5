//! A command as a stream: what it writes is saved, and a command that fails makes no snapshot.
//!
//! Its end is part of its stream: the reader says that the stream is over only when the command has ended well.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use super::stream::Stream;
use crate::process::Process;

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
pub fn stream_of(command: Command) -> io::Result<Stream> {
    let reader = CommandReader::start(command, None)?;
    let stopper = reader.process.stopper();
    Ok(Stream::with_stop(reader, move || stopper.stop()))
}

/// The output of a command, which ends well only where the command does. A command whose output nobody wants any more is
/// ended.
#[derive(Debug)]
pub struct CommandReader {
    output: ChildStdout,
    /// The command.
    pub process: Process,
}

impl CommandReader {
    /// Starts a command that was put together elsewhere; its standard input, output and error are set here. `time_limit`
    /// ends it when it takes longer, and then it fails.
    ///
    /// # Errors
    /// What the system says when it cannot be started.
    pub fn start(mut command: Command, time_limit: Option<Duration>) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (process, pipes) = Process::start(command, time_limit)?;
        let output = pipes.output.ok_or_else(|| io::Error::other("the command has no output"))?;
        Ok(Self { output, process })
    }
}

impl Read for CommandReader {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self.output.read(piece)? {
            0 if !piece.is_empty() => self.process.end().map(|()| 0),
            bytes => Ok(bytes),
        }
    }
}
