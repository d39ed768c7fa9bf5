//! A command as the place where a stream goes: it gets the bytes on its standard input.

use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::process::Process;

/// The input of a command. A command whose input nobody finishes is ended.
#[derive(Debug)]
pub struct CommandWriter {
    /// The command. Dropped before its input: one that is given up must not take the end of its input for the end of all.
    pub process: Process,
    input: Option<ChildStdin>,
}

impl CommandWriter {
    /// Starts a command that was put together elsewhere; its standard input, output and error are set here. `time_limit`
    /// ends it when it takes longer, and then it fails.
    ///
    /// # Errors
    /// What the system says when it cannot be started.
    pub fn start(mut command: Command, time_limit: Option<Duration>) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let (process, pipes) = Process::start(command, time_limit)?;
        Ok(Self { process, input: pipes.input })
    }

    /// Says that all was written, and waits for its end.
    ///
    /// # Errors
    /// It did not end well.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.input.take());
        self.process.end()
    }
}

impl Write for CommandWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match input.write(bytes) {
            // It reads no more: its own words say why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                drop(self.input.take());
                Err(self
                    .process
                    .end()
                    .err()
                    .unwrap_or_else(|| io::Error::other("the command ended before it had read all")))
            }
            answer => answer,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}
