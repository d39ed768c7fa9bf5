//! Rules about Rust files: doorways, length, reach, leftovers, unsafe code, and what the core may not sense.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::Violation;
use crate::tree::File;

/// Lines of a room's doorway: fewer say nothing, more are a manual.
const DOORWAY_LINES: RangeInclusive<usize> = 3..=12;
/// Lines of a delicate room's doorway, one with its states drawn: a page.
const DRAWN_DOORWAY_LINES: RangeInclusive<usize> = 3..=60;
/// Lines of a file: past 600 one asks whether it holds two nouns, here one has the answer.
const FILE_LINES_MAX: usize = 700;

/// Files that may hold unsafe code, each with the reason and where its proof stands. Empty is best.
const UNSAFE_FILES: &[(&str, &str)] = &[];

/// Ways to sense or touch the outside, which the core does through ports and arguments.
const SENSES: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::now",
    "Uuid::new_v4",
    "println!",
];

/// Finds files that do not say what they are: a room (crate, `mod.rs`, a file with a folder of its own) in 3 to 12
/// lines, or a page when a drawing is among them; any other file in one line at least.
pub(crate) fn doorways(sources: &[File]) -> Vec<Violation> {
    let paths: Vec<&str> = sources.iter().map(|file| file.path.as_str()).collect();
    let is_room = |path: &str| {
        let stem = path.trim_end_matches(".rs");
        let is_named_so = ["/src/lib.rs", "/src/main.rs", "/mod.rs"].iter().any(|name| path.ends_with(name));
        is_named_so || paths.iter().any(|other| other.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/')))
    };
    let mut found = Vec::new();
    for file in sources {
        let doorway: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let allowed = match (is_room(&file.path), doorway.iter().any(|line| line.starts_with("//! ```"))) {
            (false, _) => 1..=*DRAWN_DOORWAY_LINES.end(),
            (true, false) => DOORWAY_LINES,
            (true, true) => DRAWN_DOORWAY_LINES,
        };
        if !allowed.contains(&doorway.len()) {
            let advice = format!(
                "the doorway (`//!` from the first line on) has {} lines, not {} to {}: say what lives here, what is \
                 absent on purpose, who comes in",
                doorway.len(),
                allowed.start(),
                allowed.end()
            );
            found.push(Violation::new(&file.path, 1, advice));
        }
    }
    found
}

/// Finds files that are too long.
pub(crate) fn lengths(sources: &[File]) -> Vec<Violation> {
    let long = sources.iter().filter(|file| file.text.lines().count() > FILE_LINES_MAX);
    long.map(|file| {
        let advice =
            format!("{} lines, at most {FILE_LINES_MAX}: which two nouns are in it?", file.text.lines().count());
        Violation::new(&file.path, FILE_LINES_MAX + 1, advice)
    })
    .collect()
}

/// Finds files that no `mod` line leads to, so that nobody compiles them.
pub(crate) fn unreached(sources: &[File]) -> Vec<Violation> {
    let files: BTreeMap<&str, &File> = sources.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = sources.iter().map(|file| file.path.clone()).filter(|path| is_root(path)).collect();
    while let Some(path) = open.pop() {
        if let Some(file) = files.get(path.as_str())
            && reached.insert(path.clone())
        {
            open.extend(children(file));
        }
    }
    let lost = sources.iter().filter(|file| !reached.contains(&file.path));
    lost.map(|file| Violation::new(&file.path, 1, "no `mod` line leads here: add one or remove the file")).collect()
}

/// Says whether cargo starts a target at this file.
fn is_root(path: &str) -> bool {
    let inside: Vec<&str> = path.split('/').skip(2).collect();
    matches!(
        inside.as_slice(),
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["tests" | "benches" | "examples", _]
            | ["tests" | "benches" | "examples", _, "main.rs"]
    )
}

/// Returns the files that the `mod` lines of a file can mean, existing or not.
fn children(file: &File) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let owns_folder = name == "mod.rs" || is_root(&file.path);
    let below = if owns_folder { folder.to_owned() } else { format!("{folder}/{}", name.trim_end_matches(".rs")) };
    let mut found = Vec::new();
    let mut given_path = None;
    for (_, line) in file.lines() {
        let line = code(line).trim();
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            given_path = Some(format!("{folder}/{path}"));
            continue;
        }
        let declared = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        if let Some((_, name)) = declared.filter(|(before, _)| before.is_empty() || before.starts_with("pub")) {
            match given_path.take() {
                Some(path) => found.push(path),
                None => found.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]),
            }
        }
    }
    found
}

/// Finds what was left for later: it is a job for today or an entry in the plan, not a surprise at run time.
pub(crate) fn leftovers(sources: &[File]) -> Vec<Violation> {
    // Written in halves, or this file would find itself.
    let leftovers = [
        (concat!("to", "do!("), "write it now, or leave its caller out"),
        (concat!("unimple", "mented!("), "write it now, or leave its caller out"),
        (concat!("db", "g!("), "remove it, or make it a tracing event"),
        (concat!("#[ign", "ore"), "make the test run, or remove it: an ignored test protects nobody"),
    ];
    let mut found = Vec::new();
    for (file, number, line) in lines(sources) {
        for (word, advice) in leftovers.iter().filter(|(word, _)| code(line).contains(word)) {
            found.push(Violation::new(&file.path, number, format!("`{word}`: {advice}")));
        }
    }
    found
}

/// Finds unsafe code in files that are not named for it.
pub(crate) fn unsafe_code(sources: &[File]) -> Vec<Violation> {
    let is_unsafe = |line: &str| {
        let words: Vec<&str> = code(line).split_whitespace().collect();
        let after = |word: &str| ["{", "fn", "impl", "extern", "trait"].iter().any(|next| word.starts_with(next));
        let word = concat!("un", "safe");
        let ends_line = words.last().is_some_and(|last| last.trim_start_matches(['=', '(']) == word);
        let is_attribute = code(line).contains(concat!("#[un", "safe("));
        ends_line || is_attribute || words.windows(2).any(|pair| pair[0].ends_with(word) && after(pair[1]))
    };
    lines(sources)
        .filter(|(file, _, line)| is_unsafe(line) && !UNSAFE_FILES.iter().any(|(path, _)| *path == file.path))
        .map(|(file, number, _)| {
            let advice = "unsafe code: do without, or name the file in UNSAFE_FILES with its proof beside the code";
            Violation::new(&file.path, number, advice)
        })
        .collect()
}

/// Finds places where the core reads a clock, a file, the environment or a socket, or prints; its tests may.
pub(crate) fn core_senses(sources: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in sources.iter().filter(|file| file.path.starts_with("crates/backstay-core/src/")) {
        for (number, line) in file.product_lines() {
            for sense in SENSES.iter().filter(|sense| code(line).contains(*sense)) {
                let advice = format!("`{sense}` in the core: take the value as an argument, or ask a port");
                found.push(Violation::new(&file.path, number, advice));
            }
        }
    }
    found
}

fn lines(sources: &[File]) -> impl Iterator<Item = (&File, usize, &str)> {
    sources.iter().flat_map(|file| file.lines().map(move |(number, line)| (file, number, line)))
}

/// Returns a line without its comment. A `//` inside a text counts as one when a space is before it.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.find(" //").map_or(line, |end| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::{FILE_LINES_MAX, core_senses, doorways, leftovers, lengths, unreached, unsafe_code};
    use crate::check;
    use crate::tree::File;

    fn file(path: &str, text: &str) -> File {
        File::new(&format!("crates/{path}"), text)
    }

    #[test]
    fn a_room_without_a_doorway_is_found() {
        let lines = |count: usize| "//! Word.\n".repeat(count) + "\nfn f() {}\n";
        check(&doorways(&[file("x/src/lib.rs", &lines(3)), file("x/src/a.rs", &lines(1))]), &[]);
        check(&doorways(&[file("x/src/lib.rs", &lines(2))]), &["crates/x/src/lib.rs:1: the doorway"][..]);
        check(&doorways(&[file("x/src/main.rs", &lines(13))]), &["has 13 lines, not 3 to 12"]);
        check(&doorways(&[file("x/src/main.rs", &(lines(12).replace("\n\n", "\n//! ```text\n\n")))]), &[]);
        check(&doorways(&[file("x/src/a.rs", "\n//! Too late.\n")]), &["has 0 lines, not 1"]);
        check(&doorways(&[file("x/src/a/mod.rs", &lines(1))]), &["has 1 lines, not 3"]);
        check(&doorways(&[file("x/src/a.rs", &lines(1)), file("x/src/a/b.rs", &lines(1))]), &["src/a.rs:1"]);
    }

    #[test]
    fn a_long_file_is_found() {
        check(&lengths(&[file("x/src/a.rs", &"\n".repeat(FILE_LINES_MAX))]), &[]);
        check(&lengths(&[file("x/src/a.rs", &"\n".repeat(FILE_LINES_MAX + 1))]), &["a.rs:701: 701 lines"]);
    }

    #[test]
    fn a_file_without_a_way_in_is_found() {
        let mut tree = vec![
            file("x/src/lib.rs", "pub mod a;\nmod b; // why\n#[path = \"odd/c.rs\"]\npub(crate) mod c;\n"),
            file("x/src/a.rs", "mod d;\n"),
            file("x/src/a/d.rs", ""),
            file("x/src/b/mod.rs", "mod e;\n"),
            file("x/src/b/e.rs", ""),
            file("x/src/odd/c.rs", ""),
            file("x/tests/it/main.rs", "mod f;\n"),
            file("x/tests/it/f.rs", ""),
        ];
        check(&unreached(&tree), &[]);
        tree[1].text.clear();
        tree[6].text = "// mod f;\n".to_owned();
        check(&unreached(&tree), &["crates/x/src/a/d.rs:1: no `mod` line", "crates/x/tests/it/f.rs:1"]);
    }

    #[test]
    fn what_is_left_for_later_is_found() {
        check(&leftovers(&[file("x/src/a.rs", concat!("// no db", "g!(x) here\nfn todo() {}\n"))]), &[]);
        for word in [concat!("to", "do!()"), concat!("unimple", "mented!()"), concat!("db", "g!(1)")] {
            check(&leftovers(&[file("x/src/a.rs", &format!("fn f() {{\n    {word};\n}}\n"))]), &["a.rs:2: `"]);
        }
        for attribute in [concat!("#[ign", "ore]"), concat!("#[ign", "ore = \"slow\"]")] {
            check(&leftovers(&[file("x/src/a.rs", attribute)]), &["a.rs:1: `"]);
        }
    }

    #[test]
    fn unsafe_code_is_found() {
        let word = concat!("un", "safe");
        let tame = format!("#![forbid({word}_code)]\n// an {word} fn\nlet {word}r = 1;\n");
        check(&unsafe_code(&[file("x/src/a.rs", &tame)]), &[]);
        for line in
            ["_ fn f() {}", "let x = _ { 1 };", "_ impl Send for X {}", "pub _ trait T {}", "f(_ { 1 })", "let x = _"]
        {
            check(&unsafe_code(&[file("x/src/a.rs", &line.replace('_', word))]), &["a.rs:1: unsafe code"]);
        }
    }

    #[test]
    fn a_core_with_senses_is_found() {
        let text =
            "//! Doorway.\nfn f() {\n    let now = Timestamp::now();\n}\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        check(&core_senses(&[file("backstay-core/src/a.rs", text)]), &["a.rs:3: `Timestamp::now` in the core"]);
        check(&core_senses(&[file("backstay-agent/src/a.rs", text)]), &[]);
    }
}
