//! `backstay engine cat`: prints an object of the repository.

use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::lock::LockMode;
use backstay_engine::select::{self, Filter};
use backstay_engine::{EngineError, Repository};
use backstay_storage::{ObjectKey, ReadCache};
use futures::executor::block_on;
use serde_json::Value;

use super::context::{Context, Opened};
use super::error;
use crate::cli::error::{CliError, Exit};

/// What is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// What it is
    #[arg(value_enum)]
    kind: Kind,
    /// Its id or the beginning of it; for a tree SNAPSHOT:FOLDER
    id: Option<String>,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Config,
    Index,
    Snapshot,
    Key,
    Pack,
    Blob,
    Tree,
    Lock,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let needed = || error::input("no id is given", "Say which one: `backstay engine cat KIND ID`.");
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let repository = &opened.repository;
    let engine = |error: EngineError| error::engine(&error);
    if verb.kind == Kind::Config {
        return pretty(context, &repository.config_plain());
    }
    let word = verb.id.as_deref().ok_or_else(needed)?;
    match verb.kind {
        Kind::Config => {}
        Kind::Snapshot => {
            let found = select::one(repository, word, &Filter::default(), &context.interrupt);
            return pretty(context, &found.map_err(|error| error::select(&error))?.plain);
        }
        Kind::Index => {
            let id = file_id(context, repository, FileKind::Index, word)?;
            context
                .output
                .bytes(&with_end(repository.file_read(FileKind::Index, &id, &context.interrupt).map_err(engine)?))?;
        }
        Kind::Key => {
            let id = file_id(context, repository, FileKind::Key, word)?;
            return pretty(context, &raw(&opened, &FileKind::Key.key(&id))?);
        }
        Kind::Lock => {
            let id = file_id(context, repository, FileKind::Lock, word)?;
            return pretty(context, &repository.file_read(FileKind::Lock, &id, &context.interrupt).map_err(engine)?);
        }
        Kind::Pack => {
            let id = file_id(context, repository, FileKind::Pack, word)?;
            let bytes = raw(&opened, &FileKind::Pack.key(&id))?;
            if Id::of(&bytes) != id {
                context.output.warn("reading a pack", &id.to_hex(), "its bytes do not hash to its name");
                context.output.bytes(&bytes)?;
                return Ok(Exit::Failed);
            }
            context.output.bytes(&bytes)?;
        }
        Kind::Blob => {
            let index = opened.index(&context.interrupt)?;
            let id = Id::from_hex(word).ok_or_else(|| whole(word))?;
            let kind = if index.contains(BlobKind::Data, &id) { BlobKind::Data } else { BlobKind::Tree };
            context.output.bytes(&opened.blobs(&index, &context.interrupt).read(kind, &id).map_err(engine)?)?;
        }
        Kind::Tree => {
            let index = opened.index(&context.interrupt)?;
            let mut blobs = opened.blobs(&index, &context.interrupt);
            let tree = match Id::from_hex(word).filter(|id| index.contains(BlobKind::Tree, id)) {
                Some(id) => id,
                None => {
                    let (snapshot, folder) = opened.snapshot(word, &Filter::default(), &context.interrupt)?;
                    select::tree_of(repository, &mut blobs, &snapshot, &folder).map_err(engine)?
                }
            };
            context.output.bytes(&blobs.read(BlobKind::Tree, &tree).map_err(engine)?)?;
        }
    }
    Ok(Exit::Done)
}

fn whole(word: &str) -> CliError {
    error::input(format!("`{word}` is no whole id"), "Give all 64 digits.")
}

/// Returns the one file of a kind whose id begins like this.
fn file_id(context: &Context, repository: &Repository, kind: FileKind, word: &str) -> Result<Id, CliError> {
    let ids = repository.file_list(kind, &context.interrupt).map_err(|error| error::engine(&error))?;
    let found = select::expand(&ids, word);
    found.map_err(|wrong| match wrong {
        select::SelectError::Ambiguous { count, .. } => {
            error::input(format!("{count} {} ids begin with `{word}`", kind.word()), "Give more digits.")
        }
        _ => error::input(format!("no {} id begins with `{word}`", kind.word()), "Give another one."),
    })
}

/// Returns an object as it lies in the storage.
fn raw(opened: &Opened, key: &ObjectKey) -> Result<Vec<u8>, CliError> {
    let bytes = block_on(opened.storage.object_get(key, None, ReadCache::Use));
    Ok(bytes.map_err(|error| error::storage(&error))?.to_vec())
}

fn with_end(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

/// Prints JSON on many lines.
fn pretty(context: &Context, text: &[u8]) -> Result<Exit, CliError> {
    serde_json::from_slice::<Value>(text)
        .map_err(|error| CliError::new(Exit::Failed, format!("it is no JSON: {error}")))?;
    context.output.bytes(&with_end(indented(text)))?;
    Ok(Exit::Done)
}

/// Returns JSON with a line for each value, fields in the order in which they are stored.
fn indented(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let (mut depth, mut inside, mut escaped) = (0, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * depth));
    };
    for (at, byte) in text.iter().enumerate() {
        match (inside, byte) {
            (true, _) => {
                out.push(*byte);
                inside = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
            }
            (false, b' ' | b'\n' | b'\r' | b'\t') => {}
            (false, b'{' | b'[') => {
                out.push(*byte);
                let next = text[at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
                depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            (false, b'}' | b']') => {
                depth -= 1;
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(*byte);
            }
            (false, b',') => {
                out.push(*byte);
                line(&mut out, depth);
            }
            (false, b':') => out.extend_from_slice(b": "),
            (false, _) => {
                out.push(*byte);
                inside = *byte == b'"';
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_in_its_own_order() {
        let text = br#"{"b":[1,"x\\\",{"],"a":{},"c":[] ,"d":"\\"}"#;
        let expected =
            "{\n  \"b\": [\n    1,\n    \"x\\\\\\\",{\"\n  ],\n  \"a\": {},\n  \"c\": [],\n  \"d\": \"\\\\\"\n}";
        assert_eq!(String::from_utf8(indented(text)).unwrap(), expected);
    }
}
