//! The one table of what the processes are told: key, variable, option, shape, default, a sentence. The file
//! `backstay.yaml`, `.env` beside it, `config show` and the reference page all come from here.
//!
//! A file has settings and declarations side by side: whoever reads the one lets the other be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use backstay_core::domain::secret::{SecretReference, VARIABLE_PREFIX};
use serde_json::{Map, Value, json};

use crate::file::top_keys;
use crate::mistake::{Mistake, Place};
use crate::schema;
use crate::shape::{Field, Reading, Shape};
use crate::yaml::{self, Node, Tree};

/// Where a setting may be said, beside the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// In `backstay.yaml` too.
    InFile,
    /// Not in `backstay.yaml`: it is a secret, or may hold one.
    NotInFile,
}

/// A setting of the processes.
#[derive(Debug)]
pub struct Setting {
    /// Its dotted key in `backstay.yaml`.
    pub key: &'static str,
    /// The variable of the environment.
    pub variable: &'static str,
    /// The option of the command line; empty for none.
    pub option: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// What holds when nobody says it, as it is written; empty for nothing.
    pub default: &'static str,
    /// Where it may be said.
    pub said: Said,
    /// What it is, in a sentence or two.
    pub doc: &'static str,
}

const fn row(
    key: &'static str,
    (variable, option): (&'static str, &'static str),
    shape: Shape,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting { key, variable, option, shape, default, said: Said::InFile, doc }
}

const fn secret(key: &'static str, (variable, option): (&'static str, &'static str), doc: &'static str) -> Setting {
    Setting { key, variable, option, shape: Shape::Text, default: "", said: Said::NotInFile, doc }
}

/// Fewest days of history: two months and a day, so that a monthly look finds the last one.
pub const HISTORY_DAYS_MIN: i64 = 62;

/// Every setting.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    row("data_dir", ("BACKSTAY_DATA_DIR", "--data-dir"), Shape::Text, "", "Where the installation on this machine keeps everything; `backstay` in your own data folder when nobody says it."),
    row("log", ("BACKSTAY_LOG", ""), Shape::Text, "error", "What is logged on standard error: `error`, `warn`, `info`, `debug`, `trace`, or rooms with their own, such as `warn,backstay_server=debug`."),
    row("client.server", ("BACKSTAY_SERVER", "--server"), Shape::Text, "", "The URL of the server that verbs and agents speak to; those of its replicas with commas between them. Without it verbs use the installation in the data directory."),
    row("client.token_file", ("BACKSTAY_TOKEN_FILE", ""), Shape::Text, "", "A file with the token for that server, which only its owner and group may read."),
    secret("client.token", ("BACKSTAY_TOKEN", ""), "The token for that server; goes before the file."),
    row("client.ca_file", ("BACKSTAY_CA_FILE", "--ca-file"), Shape::Text, "", "A file with the certificates (PEM) of the authorities that are trusted for that server, instead of those that the system trusts."),
    row("up.agent", ("BACKSTAY_UP_AGENT", "--no-agent"), Shape::Flag, "true", "Whether `backstay up` does jobs itself; `--no-agent` says that agents elsewhere do them."),
    row("up.listen", ("BACKSTAY_UP_LISTEN", "--listen"), Shape::Text, "", "Where `backstay up` listens too, as ADDRESS:PORT, for agents and people elsewhere. Verbs on this machine find it without: they have a port of 127.0.0.1 that it takes again at each start, kept in the data directory."),
    row("agent.commands", ("BACKSTAY_AGENT_COMMANDS", ""), Shape::Flag, "", "Whether agents here run the commands that sources of kind `command` and hooks of plans name: whoever may write sources or plans does then what the agent's user may do. When nobody says it: yes where an installation has its rows here and listens for this machine alone, no with `up --listen`, with rows on a server's database, and for `backstay agent run`."),
    row("server.listen", ("BACKSTAY_LISTEN", "--listen"), Shape::Text, "127.0.0.1:7400", "Where `backstay server` listens, as ADDRESS:PORT."),
    row("server.tls_certificate_file", ("BACKSTAY_TLS_CERTIFICATE_FILE", "--tls-certificate"), Shape::Text, "", "A file with the certificate (PEM) that `backstay server` and `backstay up` show where they listen, and below it those between it and its authority. It is read anew every minute, and on SIGHUP."),
    row("server.tls_key_file", ("BACKSTAY_TLS_KEY_FILE", "--tls-key"), Shape::Text, "", "A file with that certificate's private key (PEM), which only its owner and group may read."),
    row("server.plain_http", ("BACKSTAY_PLAIN_HTTP", "--plain-http"), Shape::Flag, "false", "Whether they may listen beyond this machine without TLS: something before them must bring it then."),
    row("server.database_url_file", ("BACKSTAY_DATABASE_URL_FILE", "--database-url-file"), Shape::Text, "", "A file with the URL of the database (PostgreSQL, MariaDB) that replicas share, or that `backstay up` and the verbs on its machine keep their rows in instead of SQLite in the data directory. Only its owner and group may read it."),
    secret("server.database_url", ("BACKSTAY_DATABASE_URL", "--database"), "That URL itself, such as postgres://backstay@db.example/backstay; goes before the file. One with a password is not typed as an option."),
    row("server.database_wait_seconds", ("BACKSTAY_DATABASE_WAIT_SECONDS", "--database-wait"), Shape::Number(1, 86_400), "30", "Seconds that a database is waited for that does not answer."),
    row("server.master_key_file", ("BACKSTAY_MASTER_KEY_FILE", "--master-key-file"), Shape::Text, "", "A file with the master key, the same for all replicas; older keys below it, one a line. When nobody says it, and always with rows in SQLite, `backstay up` has `master.key` in the data directory."),
    secret("server.master_key", ("BACKSTAY_MASTER_KEY", ""), "The keys themselves; go before the file."),
    row("server.history_days", ("BACKSTAY_HISTORY_DAYS", "--history-days"), Shape::Number(HISTORY_DAYS_MIN, 36_500), "400", "Days that ended jobs, events and forgotten snapshots stay in lists."),
    row("server.private_channels", ("BACKSTAY_PRIVATE_CHANNELS", ""), Shape::Flag, "", "Whether channels of a tenant may go to addresses that are not public: whoever declares them reaches then what the server reaches. Channels of the installation always may. When nobody says it: yes where an installation has its rows here and listens for this machine alone, no with `up --listen`, with rows on a server's database, and for `backstay server`."),
];

/// Returns the setting of this key.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|row| row.key == key)
}

/// Returns the keys at the top of a file below which, or as which, settings stand.
pub fn sections() -> Vec<&'static str> {
    let mut heads: Vec<&str> =
        SETTINGS.iter().filter(|row| row.said == Said::InFile).filter_map(|row| row.key.split('.').next()).collect();
    heads.dedup();
    heads
}

impl Setting {
    /// Reads a value as it is written in the environment or in an option, and returns it as it is written.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn read(&self, text: &str) -> Result<String, crate::shape::Wrong> {
        self.shape.scalar(text).map(|value| self.shape.show(&value))
    }

    /// Returns its type in a word or two.
    pub fn words(&self) -> String {
        match self.shape {
            Shape::Flag => "true or false".to_owned(),
            Shape::Number(least, most) => format!("number from {least} to {most}"),
            _ => "text".to_owned(),
        }
    }

    /// Says whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.said == Said::NotInFile
    }
}

/// Settings that were said in a file, each with its place.
pub type Values = BTreeMap<&'static str, (String, Place)>;

/// Reads the settings of a `backstay.yaml`. Declarations in it are left to their reader.
pub fn read(text: &str) -> (Values, Vec<Mistake>) {
    let (node, mut mistakes) = yaml::read(text);
    let mut values = Values::new();
    let map = match node {
        Some(Node { tree: Tree::Map(map), .. }) => map,
        Some(Node { tree: Tree::Nothing, .. }) | None => return (values, mistakes),
        Some(node) => {
            mistakes.push(Mistake::new(node.at, format!("a file has sections, not {}", node.tree.words())));
            return (values, mistakes);
        }
    };
    let declared = top_keys();
    for (word, node) in &map {
        if declared.contains(&word.text.as_str()) {
            continue;
        }
        let below = match &node.tree {
            Tree::Map(inner) if sections().contains(&word.text.as_str()) => inner.iter().collect(),
            _ => Vec::new(),
        };
        if setting(&word.text).is_some() {
            one(&word.text, word.at, node, &mut values, &mut mistakes);
        } else if !sections().contains(&word.text.as_str()) {
            let known = sections().into_iter().chain(declared.iter().copied());
            let told = format!("a file has no section `{}`", word.text);
            mistakes.push(Mistake::unknown(word.at, told, &word.text, known));
        } else if below.is_empty() && !matches!(node.tree, Tree::Nothing | Tree::Map(_)) {
            mistakes
                .push(Mistake::new(node.at, format!("keys with values are wanted here, not {}", node.tree.words())));
        }
        for (key, node) in below {
            one(&format!("{}.{}", word.text, key.text), key.at, node, &mut values, &mut mistakes);
        }
    }
    (values, mistakes)
}

fn one(key: &str, at: Place, node: &Node, values: &mut Values, mistakes: &mut Vec<Mistake>) {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let Some(row) = setting(key) else {
        let prefix = format!("{section}.");
        let known =
            SETTINGS.iter().filter(|row| row.said == Said::InFile).filter_map(|row| row.key.strip_prefix(&prefix));
        mistakes.push(Mistake::unknown(at, format!("`{section}` has no key `{name}`"), name, known));
        return;
    };
    if row.said == Said::NotInFile {
        let hint = match setting(&format!("{key}_file")) {
            Some(file) => {
                format!("Put it in a file of its own and name that with `{}`, or in {}.", file.key, row.variable)
            }
            None => format!("Put it in {}.", row.variable),
        };
        let at = if matches!(node.tree, Tree::Scalar { .. }) { node.at } else { at };
        mistakes.push(
            Mistake::new(at, format!("`{name}` is a secret, or may hold one: it is not said in a file that many read"))
                .hint(&hint)
                .secret(),
        );
        return;
    }
    let mut reading = Reading::default();
    // Nothing in quotes is not said either, as in the environment.
    let text = reading.value(&row.shape, key, node).map(|value| row.shape.show(&value));
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        values.insert(row.key, (text, node.at));
    }
    mistakes.append(&mut reading.mistakes);
}

/// A line of a `.env` that says something.
struct Line<'a> {
    name: &'a str,
    name_at: Place,
    value: String,
    value_at: Place,
}

/// Reads a `.env` by lines: `NAME=VALUE`, `export` before it, quotes around the value, `#` for a remark.
fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, Mistake>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let trimmed = line.trim();
        let start = line.find(trimmed).map_or(0, |byte| line[..byte].chars().count());
        let at = |letters: usize| Place::new(index + 1, start + 1, letters);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return None;
        }
        let Some((name, value)) = trimmed.split_once('=') else {
            return Some(Err(Mistake::new(at(trimmed.chars().count()), "this is not NAME=VALUE").secret()));
        };
        let name = name.trim().trim_start_matches("export ").trim();
        let head = line.split('=').next().map_or(0, |head| head.chars().count());
        let value_at = Place::new(index + 1, head + 2, value.chars().count().max(1));
        let Some(value) = unquoted(value.trim()) else {
            return Some(Err(Mistake::new(value_at, "the quotes are not closed").secret()));
        };
        Some(Ok(Line { name, name_at: at(name.chars().count()), value, value_at }))
    })
}

/// Says whether a secret reference may name this variable.
fn is_referable(name: &str) -> bool {
    format!("env:{name}").parse::<SecretReference>().is_ok()
}

/// Reads the settings of a `.env`. Names that are not ours are left alone, those of secrets to [`dotenv_secrets`].
pub fn dotenv(text: &str) -> (Values, Vec<Mistake>) {
    let (mut values, mut mistakes) = (Values::new(), Vec::new());
    for line in lines(text) {
        let Line { name, name_at, value, value_at } = match line {
            Ok(line) => line,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        let Some(row) = SETTINGS.iter().find(|row| row.variable == name) else {
            if name.starts_with(VARIABLE_PREFIX) && !is_referable(name) {
                let told = format!("no reference can name `{name}`");
                let hint = format!("Letters, digits and `_` stand behind {VARIABLE_PREFIX}.");
                mistakes.push(Mistake::new(name_at, told).hint(&hint));
            } else if name.starts_with("BACKSTAY_") && !is_referable(name) && name != "BACKSTAY_CONFIG" {
                let told = format!("there is no setting `{name}`");
                mistakes.push(Mistake::unknown(name_at, told, name, SETTINGS.iter().map(|row| row.variable)));
            }
            continue;
        };
        match row.read(&value) {
            // Set to nothing is not said, as in the environment.
            Ok(value) if value.is_empty() => {}
            Ok(value) => {
                values.insert(row.key, (value, value_at));
            }
            Err(wrong) => {
                let mistake = Mistake::new(value_at, wrong.message).hint(&wrong.hint);
                mistakes.push(if row.is_secret() { mistake.secret() } else { mistake });
            }
        }
    }
    (values, mistakes)
}

/// Reads the secrets of a `.env` that references name as `env:BACKSTAY_SECRET_…`, by their variables. What is wrong
/// with its lines is told by [`dotenv`].
pub fn dotenv_secrets(text: &str) -> BTreeMap<String, String> {
    let said = lines(text).filter_map(Result::ok).filter(|line| !line.value.is_empty() && is_referable(line.name));
    said.map(|line| (line.name.to_owned(), line.value)).collect()
}

/// Returns a value without its quotes, and without a remark behind it; none when a quote is not closed.
fn unquoted(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (inner, _) = rest.rsplit_once(quote)?;
            return Some(if quote == '"' {
                inner.replace("\\\"", "\"").replace("\\\\", "\\")
            } else {
                inner.to_owned()
            });
        }
    }
    Some(text.split(" #").next().unwrap_or_default().trim().to_owned())
}

/// Returns the JSON Schema of `backstay.yaml`: settings and declarations.
pub fn json_schema() -> Value {
    let mut top = Map::new();
    for row in SETTINGS.iter().filter(|row| row.said == Said::InFile) {
        let mut one = schema::value(&row.shape);
        one["description"] = row.doc.into();
        if let Ok(default) = row.shape.scalar(row.default)
            && !row.default.is_empty()
        {
            one["default"] = default;
        }
        match row.key.split_once('.') {
            None => {
                top.insert(row.key.to_owned(), one);
            }
            Some((section, name)) => {
                let section = top.entry(section).or_insert_with(
                    || json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} }),
                );
                section["properties"][name] = one;
            }
        }
    }
    top.extend(schema::properties());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backstay.yaml",
        "description": "Settings of Backstay's processes, and what `backstay apply` declares.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": top,
    })
}

/// Returns a file with every setting in a remark, for a beginning.
pub fn template() -> String {
    let mut out = "\
# backstay.yaml: what Backstay's processes are told. Each line below is what holds anyway: take the `#` away to say it otherwise.
# `backstay config check` judges this file, `config show` says what holds and who said it, `config explain KEY` more about a key.
# Stronger than this file: `.env` beside it, then the environment, then options. Secrets stand in none of these lines.
"
    .to_owned();
    let mut section = "";
    for row in SETTINGS.iter().filter(|row| row.said == Said::InFile) {
        let (head, name, indent) = match row.key.split_once('.') {
            Some((head, name)) => (head, name, "  "),
            None => ("", row.key, ""),
        };
        if head != section {
            let _ = write!(out, "\n{head}:");
            section = head;
        }
        let default = if row.default.is_empty() { "" } else { row.default };
        let default = crate::write::plain(default);
        let default =
            if matches!(row.shape, Shape::Flag | Shape::Number(..)) { row.default.to_owned() } else { default };
        let _ = write!(out, "\n{}{indent}# {name}: {default}\n", remark(row.doc, indent));
    }
    out.push_str(
        "\n# What there shall be may stand in this file too, or in another one: `backstay apply -f FILE` does it, and
# `backstay export` writes what there is.
#
# plans:
#   home:
#     source: home
#     repository: home
#     schedule: {cron: \"30 2 * * *\", time_zone: Europe/Zurich}
#     retention: {keep_daily: 14, keep_weekly: 8, keep_monthly: 12}\n",
    );
    out
}

/// Returns a sentence as lines of remarks.
fn remark(text: &str, indent: &str) -> String {
    const WIDTH: usize = 96;
    let mut out = String::new();
    let mut line = format!("{indent}#");
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&format!("{line}\n"));
            line = format!("{indent}#");
        }
        line.push_str(&format!(" {word}"));
    }
    out + &line + "\n"
}

/// Returns the keys of all declarations by their dotted paths, with their fields.
pub fn declared_keys() -> Vec<(String, &'static Field)> {
    fn all(path: &str, fields: &'static [Field], out: &mut Vec<(String, &'static Field)>) {
        for field in fields {
            let path = format!("{path}.{}", field.key);
            out.push((path.clone(), field));
            if let Shape::Record(inner) | Shape::NameOr(inner) | Shape::List(Shape::Record(inner)) = &field.shape {
                all(&path, inner, out);
            }
        }
    }
    let mut out = Vec::new();
    for noun in crate::nouns::Noun::ALL {
        all(noun.section(), noun.fields(), &mut out);
    }
    out
}

/// Returns a declaration's field by its dotted path, such as `plans.retention.keep_daily`.
pub fn declared(path: &str) -> Option<&'static Field> {
    declared_keys().into_iter().find(|(known, _)| known == path).map(|(_, field)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(read: (Values, Vec<Mistake>)) -> String {
        let (values, mistakes) = read;
        let values = values.iter().map(|(key, (value, at))| format!("{key}={value} @{}:{}", at.line, at.column));
        let mistakes =
            mistakes.iter().map(|one| format!("{}:{} {} {}", one.at.line, one.at.column, one.message, one.hint));
        values.chain(mistakes).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn settings_stand_beside_declarations() {
        let text = "data_dir: /d\nserver:\n  listen: 0.0.0.0:1\n  history_days: 90\nplans: {x: {nonsense: 1}}\nup: {agent: false}\n";
        assert_eq!(
            said(read(text)),
            "data_dir=/d @1:11\nserver.history_days=90 @4:17\nserver.listen=0.0.0.0:1 @3:11\nup.agent=false @6:13"
        );
        assert_eq!(said(read("server:\n")), "");
        assert_eq!(
            said(read("serv: {}\nserver: {listn: x, history_days: 3}\nclient: 5\n")),
            "1:1 a file has no section `serv` Did you mean `server`?\n2:10 `server` has no key `listn` Did you mean `listen`?\n2:34 `3` is not a number from 62 to 36500 \n3:9 keys with values are wanted here, not one value "
        );
    }

    #[test]
    fn a_secret_is_not_said_in_the_file() {
        let (values, mistakes) = read("server: {database_url: 'postgres://a:hunter2@b/c', master_key: aa}\n");
        assert!(values.is_empty() && mistakes.len() == 2 && mistakes.iter().all(|one| one.is_secret));
        assert!(
            mistakes[0].hint.contains("server.database_url_file") && mistakes[0].hint.contains("BACKSTAY_DATABASE_URL")
        );
    }

    #[test]
    fn a_dotenv_is_read_as_shells_read_it() {
        let text = "# x\nexport BACKSTAY_LISTEN=\"0.0.0.0:2\"\nBACKSTAY_TOKEN='a b'  \nOTHER=1\nBACKSTAY_SERVER=http://a # near\nBACKSTAY_LOG=\n";
        assert_eq!(
            said(dotenv(text)),
            "client.server=http://a @5:17\nclient.token=a b @3:16\nserver.listen=0.0.0.0:2 @2:24"
        );
        assert_eq!(
            said(dotenv("BACKSTAY_LISTN=x\nno\nBACKSTAY_HISTORY_DAYS=1\nBACKSTAY_LOG='x\n")),
            "1:1 there is no setting `BACKSTAY_LISTN` Did you mean `BACKSTAY_LISTEN`?\n2:1 this is not NAME=VALUE \n3:23 `1` is not a number from 62 to 36500 \n4:14 the quotes are not closed "
        );
    }

    /// Red when a secret is taken for a setting that there is not, or when what is wrong with one shows it.
    #[test]
    fn a_dotenv_has_secrets_that_references_name() {
        let text =
            "BACKSTAY_SECRET_HOME='hunter 2' # x\nexport BACKSTAY_SECRET_FAR=hunter3\nBACKSTAY_SECRET_NONE=\nOTHER=1\n";
        assert_eq!(said(dotenv(text)), "");
        let found = dotenv_secrets(text);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("BACKSTAY_SECRET_FAR", "hunter3"), ("BACKSTAY_SECRET_HOME", "hunter 2")]);
        let wrong = "BACKSTAY_SECRET_A-B=hunter2\nBACKSTAY_SECRET_=hunter2\nBACKSTAY_SECRET_C='hunter2\n";
        let hint = "Letters, digits and `_` stand behind BACKSTAY_SECRET_.";
        assert_eq!(
            said(dotenv(wrong)),
            format!(
                "1:1 no reference can name `BACKSTAY_SECRET_A-B` {hint}\n\
                 2:1 no reference can name `BACKSTAY_SECRET_` {hint}\n3:19 the quotes are not closed "
            )
        );
        assert!(dotenv_secrets(wrong).is_empty());
    }

    #[test]
    fn the_template_says_nothing_and_each_line_of_it_may_be_said() {
        assert_eq!(read(&template()), (Values::new(), Vec::new()));
        let said: Vec<&str> = SETTINGS.iter().filter(|row| !row.default.is_empty()).map(|row| row.key).collect();
        // The remarks that are settings, not sentences.
        let is_setting = |line: &str| {
            let word = line.trim_start().strip_prefix("# ").and_then(|rest| rest.split_once(':')).map(|(word, _)| word);
            word.is_some_and(|word| SETTINGS.iter().any(|row| row.key.rsplit('.').next() == Some(word)))
        };
        let text: Vec<String> = template()
            .lines()
            .map(|line| if is_setting(line) { line.replacen("# ", "", 1) } else { line.to_owned() })
            .collect();
        let (values, mistakes) = read(&text.join("\n"));
        assert_eq!(mistakes, []);
        for key in said {
            assert_eq!(values.get(key).map(|(value, _)| value.as_str()), setting(key).map(|row| row.default), "{key}");
        }
    }
}
