//! `backstay snapshot cat`: the bytes of one file of a snapshot, piece by piece.
//!
//! Of a file that cannot be read to its end some bytes are written before that is known: the error says so, and the exit code
//! is not zero.

use std::io::{self, IsTerminal as _};

use backstay_api::types::snapshot::{EntryQuery, EntryView, PieceView, ReadQuery};
use backstay_api::{Client, ClientError};
use backstay_declare::mistake::nearest;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::{Screen, unwritten};
use super::snapshot::find;

/// What is written out.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
    snapshot: String,
    /// Absolute path of a file in the snapshot
    path: String,
    /// Write to a terminal what is no text
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(common: &Common, verb: &Cat, screen: &Screen) -> Result<Exit, CliError> {
    if screen.json() {
        return Err(CliError::new(Exit::Input, "a file's bytes are no JSON").hint("Leave --json out."));
    }
    look(common, async |client| {
        let id = find(client, &verb.snapshot).await?;
        let (mut written_bytes, only_text) = (0, io::stdout().is_terminal() && !verb.force);
        match write_out(client, &id, &verb.path, only_text, screen, &mut written_bytes).await {
            Err(Ended::Answer(ClientError::Problem { problem })) if problem.code == "no_path" => {
                Err(missing(client, verb, &id).await)
            }
            Err(ended) => ended.told(written_bytes),
            Ok(()) => Ok(Exit::Done),
        }
    })
    .await
}

/// Why a file was not written to its end.
#[derive(Debug)]
enum Ended {
    /// The server did not give the next piece.
    Answer(ClientError),
    /// It gave one that is none.
    Broken,
    /// A terminal would obey what is in it.
    NoText,
    /// Nobody takes it.
    Output(io::Error),
}

/// Writes a file out, and counts what was written.
async fn write_out(
    client: &Client,
    id: &str,
    path: &str,
    only_text: bool,
    screen: &Screen,
    written_bytes: &mut u64,
) -> Result<(), Ended> {
    loop {
        let query = ReadQuery { path: path.to_owned(), offset_bytes: Some(*written_bytes) };
        let piece: PieceView = client.snapshot_read(id, &query).await.map_err(Ended::Answer)?;
        let bytes = piece.bytes().ok_or(Ended::Broken)?;
        if only_text && !is_text(&bytes) {
            return Err(Ended::NoText);
        }
        screen.bytes(&bytes).map_err(Ended::Output)?;
        *written_bytes += bytes.len() as u64;
        match (piece.is_end, bytes.is_empty()) {
            (true, _) => return Ok(()),
            // It would be asked for for ever.
            (false, true) => return Err(Ended::Broken),
            (false, false) => {}
        }
    }
}

impl Ended {
    /// Says how it ended after so many bytes. A reader that went away (`| head`) is no error.
    fn told(self, written_bytes: u64) -> Result<Exit, CliError> {
        let error = match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Self::Output(error) => unwritten(&error)
                .under("what was read could not be written to standard output".to_owned())
                .hint("Write it where there is room."),
            Self::Answer(error) => error.into(),
            Self::Broken => CliError::new(Exit::Failed, "the server gave a piece that is none")
                .hint("Is there a proxy between here and the server?"),
            Self::NoText => CliError::new(Exit::Input, "the file is no text, and standard output is a terminal")
                .hint("Write it to a file with > FILE, or to the terminal all the same with --force."),
        };
        Err(match written_bytes {
            0 => error,
            _ => error.also(&format!("Do not use what was written, {written_bytes} bytes: it is not the whole file.")),
        })
    }
}

/// Says whether a terminal shows bytes and obeys none of them. A letter may be cut at either end.
fn is_text(bytes: &[u8]) -> bool {
    let cut = bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let bytes = &bytes[cut..];
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t' | '\x0c'))
}

/// Says why a path names no file, and which one was most likely meant.
async fn missing(client: &Client, verb: &Cat, id: &str) -> CliError {
    let error = |heading: String| CliError::new(Exit::NotFound, heading);
    let names: Vec<&str> = verb.path.split('/').filter(|name| !name.is_empty()).collect();
    // From the root on: the first name that is not there is the wrong one.
    let mut folder = String::new();
    for name in &names {
        let Ok(entries) = entries(client, id, &folder).await else { break };
        let path = format!("{folder}/{name}");
        let Some(entry) = entries.iter().find(|entry| entry.name == *name) else {
            let heading = format!("the snapshot has no {path}");
            return match nearest(name, entries.iter().map(|entry| entry.name.as_str())) {
                Some(near) => error(heading).hint(&format!("Did you mean {folder}/{near}?")),
                None => error(heading).hint(&format!("{} lists what is there.", listing(verb, &folder))),
            };
        };
        if entry.kind != "dir" {
            return error(format!("{path} is no file: it is a {}", entry.kind));
        }
        folder = path;
    }
    error(format!("{} is a folder", if folder.is_empty() { "/" } else { &folder })).hint(&format!(
        "{} lists it; `backstay snapshot restore {} --path {folder} --target DIR` brings it back.",
        listing(verb, &folder),
        verb.snapshot
    ))
}

/// Returns the command that lists a folder.
fn listing(verb: &Cat, folder: &str) -> String {
    format!("`backstay snapshot ls {} {}`", verb.snapshot, if folder.is_empty() { "/" } else { folder })
}

async fn entries(client: &Client, id: &str, folder: &str) -> Result<Vec<EntryView>, ClientError> {
    let path = if folder.is_empty() { "/" } else { folder };
    let list = async |client: &Client, query: &EntryQuery| client.snapshot_entries(id, query).await;
    Ok(client.all(EntryQuery::of(path), list).await?.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a terminal gets what it would obey, or when a text is refused for where it was cut.
    #[test]
    fn a_terminal_gets_text() {
        let check = |bytes: &[u8], expected: bool| assert_eq!(is_text(bytes), expected, "{bytes:?}");
        let word = "gr\u{fc}n\n".as_bytes();
        check(b"", true);
        check(b"a\tb\r\n", true);
        check(word, true);
        check(&word[..3], true);
        check(&word[3..], true);
        check(b"a\0b", false);
        check(b"\x1b[2J", false);
        check(b"\xff\xfe", false);
        check("\u{9b}2J".as_bytes(), false);
    }

    /// Red when what is not whole is called whole.
    #[test]
    fn what_was_written_and_is_not_whole_is_said() {
        let told = |ended: Ended, written_bytes| ended.told(written_bytes).unwrap_err();
        assert!(format!("{:?}", told(Ended::Broken, 7)).contains("7 bytes: it is not the whole file"));
        assert!(!format!("{:?}", told(Ended::Broken, 0)).contains("not the whole file"));
        assert_eq!(told(Ended::NoText, 0).exit(), Exit::Input);
        assert_eq!(Ended::Output(io::ErrorKind::BrokenPipe.into()).told(7).unwrap(), Exit::Done);
    }
}
