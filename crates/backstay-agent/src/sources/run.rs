//! Running the programs of kinds: streams of what they write, and places that take a stream.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use backstay_core::ports::source::{SourceError, StreamReader, StreamSink};
use backstay_engine::archive::command::CommandReader;
use backstay_engine::restore::command::CommandWriter;

/// What variables of this program begin with: some hold secrets, and none is meant for the programs that it runs.
const OWN_VARIABLES: &[u8] = b"BACKSTAY_";

/// Keeps this program's own variables from a command, except those that it was given by name.
pub(crate) fn closed(mut command: Command) -> Command {
    let given: Vec<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    let own = std::env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| name.as_bytes().starts_with(OWN_VARIABLES) && !given.contains(name)) {
        command.env_remove(name);
    }
    command
}

/// Begins a stream of what a command writes.
pub(super) fn begun(command: Command, time_limit: Option<Duration>) -> io::Result<StreamReader> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = CommandReader::start(closed(command), time_limit);
    let reader = started.map_err(|error| io::Error::new(error.kind(), format!("{program} does not start: {error}")))?;
    let stopper = reader.process.stopper();
    Ok(StreamReader { reader: Box::new(reader), stop: Box::new(move || stopper.stop()) })
}

/// Makes sure that a program is there: by its path, or in `PATH`.
pub(super) fn found(program: &str) -> Result<PathBuf, SourceError> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let mut places: Box<dyn Iterator<Item = PathBuf>> = match program.contains('/') {
        true => Box::new(std::iter::once(Path::new("/").join(program))),
        false => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            Box::new(std::env::split_paths(&path).map(|folder| folder.join(program)).collect::<Vec<_>>().into_iter())
        }
    };
    places.find(is_program).ok_or_else(|| SourceError::Missing { place: format!("the program {program}") })
}

/// Makes sure that another project's tool is there; what is missing is named with the package that has it.
pub(super) fn tool(program: &str, package: &str) -> Result<(), SourceError> {
    let told = |_| SourceError::Missing { place: format!("the program {program} (Debian's package {package} has it)") };
    found(program).map(drop).map_err(told)
}

/// A command that takes a stream.
#[derive(Debug)]
pub(super) struct Sink(CommandWriter);

impl Sink {
    /// Starts it.
    pub(super) fn start(command: Command, time_limit: Option<Duration>) -> Result<Self, SourceError> {
        let what = format!("{} does not start", command.get_program().to_string_lossy());
        CommandWriter::start(closed(command), time_limit)
            .map(Self)
            .map_err(|source| SourceError::Failed { what, source })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StreamSink for Sink {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()
    }

    fn stopper(&self) -> Box<dyn FnOnce() + Send> {
        let stopper = self.0.process.stopper();
        Box::new(move || stopper.stop())
    }
}

/// Units of lengths of time, the longest first.
const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

/// Reads a length of time such as `90s`, `30m`, `6h` or `1d`; none for anything else, and for nothing.
pub(super) fn length(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let (seconds, _) = UNITS.into_iter().find(|(_, letter)| *letter == unit)?;
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    count.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Writes a length of time in the longest unit that leaves no rest.
pub(super) fn length_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, letter) = unit.expect("a second leaves no rest of seconds");
    format!("{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_alike() {
        for text in ["90s", "30m", "6h", "1d", "61s"] {
            assert_eq!(length_words(length(text).unwrap()), text);
        }
        assert_eq!(length_words(length("120m").unwrap()), "2h");
        for wrong in ["", "0s", "5", "m", "-1m", "1.5h", "99999999999999999999d", "5µ"] {
            assert_eq!(length(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_program_is_found_by_its_path_or_its_name() {
        assert!(found("sh").is_ok() && found("/bin/sh").is_ok());
        for missing in ["no-such-program", "/etc/passwd", "/etc"] {
            let told = found(missing).unwrap_err().to_string();
            assert_eq!(told, format!("the program {missing} does not exist"));
        }
    }
}
