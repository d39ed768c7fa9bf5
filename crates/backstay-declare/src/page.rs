//! The reference page of the file, from the tables: each setting and each key of a declaration, with its sentence.

use std::fmt::Write as _;

use crate::nouns::{Ending, Noun};
use crate::settings::{SETTINGS, declared_keys};
use crate::shape::Shape;

const HEAD: &str = "\
# Configuration

Made from the program's tables: `BACKSTAY_BLESS=1 cargo test -p backstay-declare` writes it anew.

## Who says what

One file, `backstay.yaml`, has settings of the processes and, where that is wanted, what `backstay apply` declares. It is
named by `--config FILE` or `BACKSTAY_CONFIG`; else it is `backstay/backstay.yaml` in your own folder of configuration
(`~/.config`, `$XDG_CONFIG_HOME`), else `/etc/backstay/backstay.yaml`. Never is it looked for in the current folder.

A setting is taken from, the weakest first: its default, `backstay.yaml`, `.env` beside that file, the environment, an option. `backstay config
show` says of each value who said it. A relative path in a file is meant from the file's folder. Secrets, and what may hold one,
are not said in `backstay.yaml`; a `.env` that has one is read only when others may not read it.

`backstay config check [FILE]` tells all mistakes with line, column and the word that was meant; `config init` begins a file,
`config explain KEY` says what a key is, `config schema` prints a JSON Schema for editors. A file with a mistake is used by no
verb. `backstay engine` reads none of this: its verbs ask restic's variables.

## Settings

| key | variable | option | default | what it is |
| --- | --- | --- | --- | --- |
";

const DECLARATIONS: &str = "
## Declarations

At the top of a file stand the sections `storages`, `repositories`, `sources`, `templates`, `plans` and `monitors` of the tenant `default`;
`channels` and `maintenance` of the installation; `caps`; and `tenants`, below which each tenant has `quota` and all of these
sections but `caps` of its own. Below a section stand names, and below a name the keys.

`missing: keep` (when nothing is said) leaves alone what the server has and the file does not; `missing: retire` retires it, of
the tenants and sections that the file has. [How to declare everything](../how-to/declare-everything.md) walks through it.

Lengths of time are written as `90m`, `26h`, `1d12h`; sizes as `500GiB`, `2TB`, or bytes; moments as `2026-12-24T18:00:00+01:00`.
Secrets are written as `sealed:NAME` (`backstay secret put NAME`), `file:keys/NAME` below the data directory,
`env:BACKSTAY_SECRET_NAME` for a variable of the server's environment or of `.env` beside its file of settings, or
`credential:secret-NAME` for a credential of its systemd unit. [How to keep secrets](../how-to/secrets.md) says which is for what.
";

/// Returns a text for a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Returns what may stand there, in a word or two.
fn words(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Name => "name".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Flag => "`true`, `false`".to_owned(),
        Shape::Number(least, most) if *most < i64::from(u32::MAX) => format!("{least} to {most}"),
        Shape::Number(least, _) => format!("number from {least}"),
        Shape::Count => "number, `all`".to_owned(),
        Shape::Length(0) => "length of time".to_owned(),
        Shape::Length(least) => format!("length of time from {}", crate::shape::length_words(*least)),
        Shape::LengthOrNever(least) => {
            format!("length of time from {}, `never`", crate::shape::length_words(*least))
        }
        Shape::Size => "size".to_owned(),
        Shape::Cron => "cron expression".to_owned(),
        Shape::Zone => "time zone".to_owned(),
        Shape::Stretch => "days, months, years".to_owned(),
        Shape::Instant => "moment".to_owned(),
        Shape::Digest => "day, time, zone".to_owned(),
        Shape::Reference => "place of a secret".to_owned(),
        Shape::Credentials => "place of a secret, or one a purpose".to_owned(),
        Shape::Settings => "keys of the kind".to_owned(),
        Shape::Record(_) => "keys".to_owned(),
        Shape::NameOr(_) => "name, or keys".to_owned(),
        Shape::List(Shape::Record(_)) => "list of keys".to_owned(),
        Shape::List(shape) => format!("list of {}", words(shape)),
        Shape::Named(shape) => format!("names with {}", words(shape)),
    }
}

/// Returns the page.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    for row in SETTINGS {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let key = if row.is_secret() { "not in the file".to_owned() } else { code(row.key) };
        let _ = writeln!(
            out,
            "| {key} | {} | {} | {} | {} |",
            code(row.variable),
            code(row.option),
            code(row.default),
            cell(row.doc)
        );
    }
    out.push_str(DECLARATIONS);
    for noun in Noun::ALL.into_iter().filter(|noun| *noun != Noun::Tenant) {
        let _ = write!(
            out,
            "\n### `{}`\n\n| key | what stands there | what it is |\n| --- | --- | --- |\n",
            noun.section()
        );
        let head = format!("{}.", noun.section());
        for (path, field) in declared_keys() {
            let Some(path) = path.strip_prefix(&head) else { continue };
            let needed = if field.needed { " **Needed.**" } else { "" };
            let _ = writeln!(out, "| `{path}` | {} | {}{needed} |", words(&field.shape), cell(field.doc));
        }
        let ending = match noun.ending() {
            Ending::Retired => "One that left the file is retired: its data and history stay.",
            Ending::Removed => "One that left the file is removed.",
            Ending::Stays => "It is never taken away.",
        };
        let _ = writeln!(out, "\nWith `missing: retire`: {}{}", ending[..1].to_lowercase(), &ending[1..]);
    }
    out
}
