//! crestic's INI file: presets, which may be halves of a whole (`home@` and `@nas`). Repositories are restic's, and stay.
//!
//! Facts: crestic's own manual and code. A key is an option of restic; what stands in `global`, in the command's section, in a
//! half and in the preset itself holds in this order. When it runs stands in a timer or a crontab.

use std::collections::BTreeSet;

use super::Weight;
use super::draft::{Draft, Password, ResticRepository, SourceName};
use super::keys::{Keys, Known, Line};
use super::resticprofile::{left_out, rules};
use super::terms::Terms;
use crate::mistake::Place;
use crate::row::Record;
use crate::yaml::{Node, Tree, Word};

/// Options of restic that mean nothing here.
const OF_RESTIC: &str = "Nothing to do: it is about how restic runs, which does not run here.";

/// Keys that are known, and what becomes of them.
const KNOWN: &[Known] = &[
    ("cache-dir", OF_RESTIC),
    ("compression", "Nothing to do: everything is compressed with zstd."),
    ("exclude-file", "Write the lines of this file in `exclude`, and import again; until then it is backed up."),
    ("files-from", "Each folder wants a source and a plan of its own. It is NOT backed up."),
    ("group-by", "Rules count for each source by itself."),
    (
        "host",
        "Snapshots carry the name of the agent's machine; `backstay repository adopt NAME --hostname OLD` takes in those of another name.",
    ),
    ("iexclude", "Patterns that let upper and lower case count alike are not here: what they mean is backed up."),
    ("iexclude-file", "Patterns that let upper and lower case count alike are not here: what they mean is backed up."),
    ("limit-download", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("limit-upload", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("no-cache", OF_RESTIC),
    ("prune", "Nothing to do: what was forgotten is removed, once a day."),
    ("quiet", OF_RESTIC),
    ("tag", "Snapshots carry their plan's tag, and none of your own."),
    ("verbose", OF_RESTIC),
    ("_workdir", "Paths are absolute here."),
];

/// Names of what is backed up, by versions.
const ARGUMENTS: [&str; 3] = ["_arguments", "arguments", "params"];

/// A section: its preset, its command, and whether it has variables.
struct Section<'n> {
    word: &'n Word,
    node: &'n Node,
    preset: String,
    command: String,
    is_environ: bool,
}

/// Reads the file.
pub(super) fn read(draft: &mut Draft<'_>, node: &Node) {
    let mut top = Keys::of(draft, "", node);
    let sections: Vec<Section<'_>> = top.take_all().into_iter().map(|(word, node)| section(word, node)).collect();
    let mut plans = 0;
    for preset in presets(&sections) {
        plans += usize::from(one(draft, &preset, &sections));
    }
    for section in &sections {
        if !matches!(section.command.as_str(), "" | "backup" | "forget") {
            let told = format!("section {} is not carried over", section.word.text);
            let hint =
                "Repositories are pruned and verified by themselves; other commands of restic are `backstay engine …`.";
            draft.note(Weight::Lost, section.word.at, told, hint);
        }
    }
    if plans > 0 {
        draft.no_schedule(Place::new(1, 1, 1), "when crestic runs stands in a timer or a crontab, and not in its file");
    }
}

fn section<'n>(word: &'n Word, node: &'n Node) -> Section<'n> {
    let (name, is_environ) = match word.text.strip_suffix(".environ") {
        Some(name) => (name, true),
        None => (word.text.as_str(), false),
    };
    let (preset, command) = name.split_once('.').unwrap_or((name, ""));
    Section { word, node, preset: preset.to_owned(), command: command.to_owned(), is_environ }
}

/// Returns the presets that can be run: whole ones, and each first half with each second one.
fn presets(sections: &[Section<'_>]) -> BTreeSet<String> {
    let names: BTreeSet<&str> =
        sections.iter().map(|section| section.preset.as_str()).filter(|name| *name != "global").collect();
    let is_half = |name: &&&str| name.starts_with('@') || name.ends_with('@');
    let whole = names.iter().filter(|name| !is_half(name)).map(ToString::to_string);
    let first = names.iter().filter(|name| name.ends_with('@'));
    let second: Vec<&&str> = names.iter().filter(|name| name.starts_with('@')).collect();
    let pairs =
        first.flat_map(|first| second.iter().map(move |second| format!("{first}{}", second.trim_start_matches('@'))));
    whole.chain(pairs).collect()
}

/// Returns what holds for a command of a preset; of keys of one name the last.
fn holding(sections: &[Section<'_>], preset: &str, command: &str, is_environ: bool) -> Vec<(Word, Node)> {
    let halves = preset.split_once('@').map(|(first, second)| (format!("{first}@"), format!("@{second}")));
    let mut names = vec!["global".to_owned()];
    names.extend(halves.into_iter().flat_map(|(first, second)| [first, second]));
    names.push(preset.to_owned());
    let mut all: Vec<(Word, Node)> = Vec::new();
    for name in names {
        for of in ["", command] {
            let of_it = |section: &&Section<'_>| {
                section.preset == name && section.command == of && section.is_environ == is_environ
            };
            for (word, node) in sections.iter().filter(of_it).flat_map(|section| keys_of(section.node)) {
                all.retain(|(other, _)| other.text != word.text);
                all.push((word.clone(), node.clone()));
            }
        }
    }
    all
}

fn keys_of(node: &Node) -> &[(Word, Node)] {
    match &node.tree {
        Tree::Map(map) => map,
        _ => &[],
    }
}

/// Takes in a preset that backs something up. Says whether it does.
fn one(draft: &mut Draft<'_>, preset: &str, sections: &[Section<'_>]) -> bool {
    let is_of_it = |section: &&Section<'_>| {
        section.preset == preset || section.preset.ends_with('@') && preset.starts_with(&section.preset)
    };
    let at = sections.iter().find(is_of_it).map_or(Place::new(1, 1, 1), |section| section.word.at);
    let backup = holding(sections, preset, "backup", false);
    let mut keys = Keys::from_all(at, backup.iter().map(|(word, node)| (word, node)).collect());
    let folders: Vec<Line> = ARGUMENTS.iter().flat_map(|key| keys.texts(draft, key)).collect();
    if folders.is_empty() {
        let told = format!("preset {preset} backs nothing up: its `backup` has no arguments");
        draft.note(Weight::Lost, at, told, "What its commands are given by hand is not in this file.");
        return false;
    }
    let environ = holding(sections, preset, "backup", true);
    let repository = repository(draft, preset, at, &mut keys, &environ);
    let (mut terms, mut settings) = (Terms::default(), Record::new());
    let excludes = left_out(draft, &mut keys, &mut settings, &mut terms);
    keys.rest(draft, KNOWN);
    forget(draft, preset, at, sections, &mut terms);
    let mut sources: Vec<SourceName> = Vec::new();
    for folder in &folders {
        sources.extend(draft.folder(folder, &excludes, &settings));
    }
    if sources.len() > 1 {
        super::backrest::several(draft, at, preset, sources.len());
    }
    let Some(repository) = repository else { return false };
    !draft.plans(preset, &sources, &[repository], &terms).is_empty()
}

fn repository(
    draft: &mut Draft<'_>,
    preset: &str,
    at: Place,
    keys: &mut Keys<'_>,
    environ: &[(Word, Node)],
) -> Option<String> {
    let mut given = ResticRepository {
        name: preset.to_owned(),
        location: Line { text: String::new(), at },
        password: Password::Unsaid,
        region: None,
        key_at: None,
    };
    for (word, node) in environ {
        let value = super::keys::line(node).map(|line| line.text).unwrap_or_default();
        if word.text == "RESTIC_REPOSITORY" {
            given.location = Line { text: value, at: word.at };
        } else {
            super::backrest::variable(draft, &Line { text: format!("{}={value}", word.text), at: word.at }, &mut given);
        }
    }
    if let Some(line) = keys.text(draft, "repo").or_else(|| keys.text(draft, "r")) {
        given.location = line;
    }
    if let Some(line) = keys.text(draft, "password-command") {
        given.password = Password::Command(line.at);
    }
    if let Some(line) = keys.text(draft, "password-file").or_else(|| keys.text(draft, "p")) {
        given.password = Password::File(line);
    }
    if given.location.text.is_empty() {
        draft.note(
            Weight::Lost,
            at,
            format!("preset {preset} has no `repo`"),
            "It is NOT backed up: declare its plan by hand.",
        );
        return None;
    }
    Some(draft.repository(&given))
}

/// Takes in the rules of `forget`. What holds for all commands is not its own.
fn forget(draft: &mut Draft<'_>, preset: &str, at: Place, sections: &[Section<'_>], terms: &mut Terms) {
    let said = holding(sections, preset, "forget", false);
    let of_all = holding(sections, preset, "", false);
    let own = said.iter().filter(|(word, _)| !of_all.iter().any(|(other, _)| other.text == word.text));
    let mut keys = Keys::from_all(at, own.map(|(word, node)| (word, node)).collect());
    if rules(draft, &mut keys, terms) > 0 {
        let told = "rules of `forget` run here by themselves, once a day";
        draft.note(Weight::Otherwise, at, told, "Take `retention` out of the document if nothing is to go.");
    }
    keys.rest(draft, KNOWN);
}
