//! Rules about papers: decision records are numbered without holes and say all that a record says.

use crate::Violation;
use crate::tree::File;

/// The headings of a record, in their order.
const HEADINGS: &[&str] = &["## Context", "## Decision", "## Consequences", "## Alternatives"];

/// Finds records with a wrong name, a number that is missing or taken, or a heading that is missing. `README.md`, which
/// tells how to write one, is none.
pub(crate) fn decisions(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut expected = 1;
    for file in files.iter().filter(|file| !file.path.ends_with("/README.md")) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let Some(number) = number(name) else {
            found.push(Violation::new(&file.path, 1, "call it NNNN-title.md: four digits, small letters, hyphens"));
            continue;
        };
        if number != expected {
            let problem = if number < expected { "is taken" } else { "leaves a hole" };
            found.push(Violation::new(
                &file.path,
                1,
                format!("number {number:04} {problem}: the next one is {expected:04}"),
            ));
        }
        expected = expected.max(number + 1);
        let title = format!("# {number:04}: ");
        if !file.text.starts_with(&title) {
            found.push(Violation::new(&file.path, 1, format!("begin with `{title}` and the decision in one sentence")));
        }
        let headings: Vec<&str> = file.text.lines().map(str::trim_end).filter(|line| HEADINGS.contains(line)).collect();
        if headings != HEADINGS {
            let advice = format!("a record has these headings, in this order: {}", HEADINGS.join(", "));
            found.push(Violation::new(&file.path, 1, advice));
        }
    }
    found
}

/// Returns the number of a record with a proper name.
fn number(name: &str) -> Option<u32> {
    let (digits, title) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_title = title.split('-').all(|word| {
        !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    });
    (is_number && is_title).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::decisions;
    use crate::check;
    use crate::tree::File;

    fn record(name: &str) -> File {
        let digits = name.get(..4).unwrap_or_default();
        let text = format!("# {digits}: It is so\n\n## Context\n\n## Decision\n\n## Consequences\n\n## Alternatives\n");
        File::new(&format!("docs/decisions/{name}"), &text)
    }

    #[test]
    fn a_record_out_of_order_is_found() {
        let check_names = |names: &[&str], expected: &[&str]| {
            check(&decisions(&names.iter().map(|name| record(name)).collect::<Vec<_>>()), expected);
        };
        check_names(&["0001-a.md", "0002-b-2.md", "README.md"], &[]);
        check_names(&["0001-a.md", "0001-b.md"], &["0001-b.md:1: number 0001 is taken: the next one is 0002"]);
        check_names(&["0001-a.md", "0003-b.md"], &["number 0003 leaves a hole: the next one is 0002"]);
        check_names(&["0002-b.md"], &["leaves a hole"]);
        for name in ["1-a.md", "0001_a.md", "0001-A.md", "0001-.md", "001a-b.md", "notes.md"] {
            check_names(&[name], &["call it NNNN-title.md"]);
        }
    }

    #[test]
    fn a_record_that_says_too_little_is_found() {
        let mut short = record("0001-a.md");
        short.text = short.text.replace("## Alternatives\n", "");
        check(&decisions(&[short]), &["a record has these headings"]);
        let mut untitled = record("0001-a.md");
        untitled.text = untitled.text.replace("0001", "1");
        check(&decisions(&[untitled]), &["begin with `# 0001: `"]);
    }
}
