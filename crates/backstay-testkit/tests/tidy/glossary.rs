//! Rules about words: public names of the core and the wire, and headings of the reference, keep to the glossary.

use std::collections::BTreeMap;

use crate::Violation;
use crate::tree::File;

/// The crates whose names a reader meets first.
const CRATES: &[&str] = &["backstay-core", "backstay-api"];

/// Words that the glossary refuses and a name has all the same: crate (`*` for each), name (`*` for each), word, why.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("*", "*", "cron", "a schedule holds a cron expression; that is what everybody calls it"),
    ("backstay-api", "*", "operation", "a row of the endpoint table, in OpenAPI's sense; work is called a job"),
];

/// Returns the words that are not to be used, each with those to use, from the table with the columns word,
/// meaning, not. Left out: several words, words with a bracket or an emphasis, and words that are bold elsewhere.
pub(crate) fn forbidden(glossary: &str) -> BTreeMap<String, String> {
    let rows: Vec<Vec<&str>> = glossary
        .lines()
        .filter(|line| line.starts_with("| **"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|row: &Vec<&str>| row.len() == 3)
        .collect();
    let all = rows.concat().join(" ");
    let bold: Vec<String> = all.split("**").skip(1).step_by(2).flat_map(|words| words.split(", ")).map(lower).collect();
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in &rows {
        let word = row[0].split("**").nth(1).unwrap_or_default();
        for refused in row[2].split([',', ';']).map(|refused| lower(refused.trim())) {
            let is_one_word = !refused.is_empty() && refused.chars().all(char::is_alphabetic);
            if is_one_word && !bold.contains(&refused) {
                let instead: &mut Vec<&str> = found.entry(refused).or_default();
                instead.push(word);
            }
        }
    }
    found.into_iter().map(|(refused, instead)| (refused, instead.join("` or `"))).collect()
}

/// Finds public names with a refused word in them: types, functions, modules, and what a trait asks for.
pub(crate) fn names(sources: &[File], forbidden: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in sources.iter().filter(|file| CRATES.contains(&file.member()) && file.path.contains("/src/")) {
        for (line, name) in declared(file) {
            for word in words(name) {
                let is_excepted = EXCEPTIONS.iter().any(|(member, excepted, refused, _)| {
                    (*member == "*" || *member == file.member())
                        && (*excepted == "*" || *excepted == name)
                        && *refused == word
                });
                if let Some(instead) = forbidden.get(&word).filter(|_| !is_excepted) {
                    let advice = format!(
                        "`{name}` says `{word}`: the glossary says `{instead}`; rename it, or add a row with a reason to \
                         EXCEPTIONS"
                    );
                    found.push(Violation::new(&file.path, line, advice));
                }
            }
        }
    }
    found
}

/// Finds headings with a refused word in them; what stands in back-quotes is somebody's literal name.
pub(crate) fn headings(pages: &[File], forbidden: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in pages {
        let mut in_code = false;
        for (number, line) in file.lines() {
            in_code ^= line.starts_with("```");
            if in_code || !line.starts_with('#') {
                continue;
            }
            let prose: String = line.split('`').step_by(2).collect();
            for word in prose.split(|letter: char| !letter.is_alphabetic()).map(lower) {
                if let Some(instead) = forbidden.get(&word) {
                    let advice = format!("the heading says `{word}`: the glossary says `{instead}`");
                    found.push(Violation::new(&file.path, number, advice));
                }
            }
        }
    }
    found
}

/// Returns the public names that a file declares, and the names inside its public traits, with their lines.
fn declared(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_trait = false;
    for (number, line) in file.product_lines() {
        in_trait = (in_trait || line.starts_with("pub trait ")) && line != "}";
        let line = line.trim_start();
        if !(line.starts_with("pub ") || line.starts_with("pub(") || in_trait) {
            continue;
        }
        let mut words = line.split_whitespace().skip_while(|word| {
            word.starts_with("pub") || matches!(*word, "const" | "async" | "in") || word.ends_with(')')
        });
        if let Some("struct" | "enum" | "trait" | "fn" | "mod" | "type") = words.next()
            && let Some(rest) = words.next()
        {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            found.push((number, &rest[..end]));
        }
    }
    found
}

/// Splits a name in either notation into its words, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let after = letters.get(index + 1);
        // A capital begins a word after a small letter, and as the last of several capitals: `HTTPClient`.
        let is_hump = letter.is_uppercase()
            && before.is_none_or(|before| !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase()));
        if *letter == '_' || is_hump || found.is_empty() {
            found.push(String::new());
        }
        if let Some(word) = found.last_mut().filter(|_| *letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{forbidden, headings, names, words};
    use crate::check;
    use crate::tree::File;

    const GLOSSARY: &str = "\
| word | meaning | not |
|---|---|---|
| **job** | work of one *kind* | task, run, recover, operation |
| **storage** | where bytes lie | backend, run, bucket (unless S3's own), hot repo |
| **recover** | rebuilding rows | — |
| **repository, index** | restic's | vault; *datastore* is theirs |
| ours | restic | Proxmox | Velero |
";

    #[test]
    fn the_last_column_is_read_with_sense() {
        let found: Vec<(String, String)> = forbidden(GLOSSARY).into_iter().collect();
        let expected = [
            ("backend", "storage"),
            ("operation", "job"),
            ("run", "job` or `storage"),
            ("task", "job"),
            ("vault", "repository, index"),
        ];
        assert_eq!(found, expected.map(|(refused, word)| (refused.to_owned(), word.to_owned())));
    }

    #[test]
    fn a_name_is_split_at_its_joints() {
        for (name, expected) in [
            ("job_lease", "job lease"),
            ("JobLease", "job lease"),
            ("HTTPClient", "http client"),
            ("S3Store", "s3 store"),
            ("__x", "x"),
            ("TaskID", "task id"),
        ] {
            assert_eq!(words(name).join(" "), expected);
        }
    }

    #[test]
    fn a_refused_word_in_a_public_name_is_found() {
        let names = |path: &str, text: &str| names(&[File::new(path, text)], &forbidden(GLOSSARY));
        let core = "crates/backstay-core/src/a.rs";
        for text in [
            "pub struct TaskQueue {",
            "pub(crate) enum Task<T> {",
            "pub(in crate::x) fn task_get(",
            "    pub async fn task_get(&self) {",
            "pub const fn task() {",
            "pub mod task;",
            "pub type Tasks = u8;\npub trait Task {",
        ] {
            check(&names(core, text), &["`task`: the glossary says `job`"]);
        }
        check(
            &names(core, "pub trait Jobs {\n    async fn task_get(&self);\n}\nfn task() {}\n"),
            &["a.rs:2: `task_get`"],
        );
        check(&names(core, "fn task() {}\npub struct Multitasking;\n/// pub fn task\npub const TASK: u8 = 1;\n"), &[]);
        check(&names(core, "#[cfg(test)]\nmod tests {\n    pub fn task() {}\n}\n"), &[]);
        check(&names("crates/backstay-db/src/a.rs", "pub struct Task;"), &[]);
        check(&names(core, "pub fn operation() {}"), &["`operation`"]);
        check(&names("crates/backstay-api/src/a.rs", "pub fn operation() {}"), &[]);
    }

    #[test]
    fn a_refused_word_in_a_heading_is_found() {
        let page = "# Jobs\n## A Task of ours\n## The `task` column\n```\n# a task\n```\nA task.\n";
        check(&headings(&[File::new("docs/reference/job.md", page)], &forbidden(GLOSSARY)), &["job.md:2: the heading"]);
    }
}
