//! Configurations of other programs, as a file of declarations: `backstay import`.
//!
//! [`keys`] reads a value and knows what of it nobody has asked for, [`toml`] and [`ini`] make the trees that YAML's reader
//! makes; [`location`], [`calendar`] and [`pattern`] put the words of others in ours; [`draft`] collects what there shall be,
//! [`terms`] what plans say. `borgmatic`, `backrest`, `resticprofile` and `crestic` each read one program's file.
//!
//! Two rules hold for all. What cannot be carried over is told with its line: nothing is dropped silently. And no secret, nor
//! what may hold one, is written or repeated: the file says where each is found, and a step says how it gets there.
//! Absent on purpose: files of others' files (includes), templates of other languages, and any look at the machine.

mod keys;
mod toml;
mod ini;
mod location;
mod calendar;
mod pattern;
mod draft;
mod terms;
mod borgmatic;
mod backrest;
mod resticprofile;
mod crestic;

use crate::file::Kinds;
use crate::mistake::{Mistake, Place};
use crate::yaml::Node;

use self::draft::Draft;
pub use self::draft::moot;

/// A program whose configuration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `config.yaml` of borgmatic, with or without sections.
    Borgmatic,
    /// `config.json` of Backrest.
    Backrest,
    /// `profiles.yaml`, `.toml` or `.json` of resticprofile.
    Resticprofile,
    /// The INI file of crestic.
    Crestic,
}

impl Program {
    /// Returns its name, as people write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Borgmatic => "borgmatic",
            Self::Backrest => "backrest",
            Self::Resticprofile => "resticprofile",
            Self::Crestic => "crestic",
        }
    }
}

/// What is not in the file itself.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// What people call the file.
    pub name: &'a str,
    /// The time zone of what runs by local time: an IANA name.
    pub time_zone: &'a str,
    /// An absolute folder for repositories that take the place of those that cannot be taken over; none to leave them out.
    pub into: Option<&'a str>,
}

/// How much a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is not in the document.
    Lost,
    /// It is there, and is done in another way here.
    Otherwise,
    /// It is not there, and nobody needs to do anything about it.
    Moot,
}

impl Weight {
    /// Returns its word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "not_carried_over",
            Self::Otherwise => "otherwise_here",
            Self::Moot => "nothing_to_do",
        }
    }
}

/// What became of a line of the file that is not in the document, or not alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where it stands.
    pub at: Place,
    /// How much it is about.
    pub weight: Weight,
    /// What it is, and why; no values of the file. Of what is moot the key alone.
    pub message: String,
    /// What to do instead, or why there is nothing to do; empty where the message says it.
    pub hint: String,
}

/// Something that a person does before or after `apply`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// What is typed.
    pub command: String,
    /// Why, and with what.
    pub why: String,
}

/// What a file of another program has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The document, for `backstay apply`.
    pub text: String,
    /// What of the file is not in it, or not alike, in the order of its lines.
    pub notes: Vec<Note>,
    /// What is done before `apply`.
    pub before: Vec<Task>,
    /// What is done after it.
    pub after: Vec<Task>,
}

/// Reads the file of a program.
///
/// # Errors
/// What of it is no file of its kind.
pub fn import(program: Program, text: &str, options: Options<'_>, kinds: Kinds<'_>) -> Result<Imported, Vec<Mistake>> {
    let node = match program {
        Program::Crestic => ini::read(text)?,
        Program::Resticprofile if toml::is_meant(options.name) => toml::read(text)?,
        Program::Resticprofile if text.lines().any(resticprofile::is_template) => {
            return Err(vec![resticprofile::template_mistake(text)]);
        }
        _ => tree(text)?,
    };
    let mut draft = Draft::new(program, options, kinds);
    match program {
        Program::Borgmatic => borgmatic::read(&mut draft, &node),
        Program::Backrest => backrest::read(&mut draft, &node),
        Program::Resticprofile => resticprofile::read(&mut draft, &node),
        Program::Crestic => crestic::read(&mut draft, &node),
    }
    Ok(draft.finish())
}

/// Reads YAML, of which JSON is a part.
fn tree(text: &str) -> Result<Node, Vec<Mistake>> {
    let (node, mistakes) = crate::yaml::read(text);
    match node {
        Some(node) if mistakes.is_empty() => Ok(node),
        None if mistakes.is_empty() => Err(vec![Mistake::new(Place::new(1, 1, 1), "the file says nothing")]),
        _ => Err(mistakes.into_iter().map(Mistake::secret).collect()),
    }
}
