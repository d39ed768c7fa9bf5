//! `backstay call …`: any row of the API by its name, and what `--show-call` prints.

use std::path::PathBuf;

use backstay_api::Call;
use backstay_api::call::method;
use backstay_api::endpoint::endpoint;
use backstay_declare::mistake::{Mistake, Place};
use backstay_declare::yaml::{self, Node, Tree};
use serde_json::Value;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::paper::Paper;
use super::screen::Screen;

/// A call, as it is typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// The operation's name, such as plan_create; the API's document lists them
    #[arg(required_unless_present = "file")]
    operation: Option<String>,
    /// What stands for the path's parameter
    id: Option<String>,
    /// A query parameter; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    query: Vec<String>,
    /// The body
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
    /// The call as YAML, as --show-call prints it; `-` reads standard input
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["operation", "id", "query", "body"])]
    file: Option<PathBuf>,
}

/// Where operations are found.
const LISTED: &str = "docs/reference/openapi.json lists the operations.";

/// Reads a call that is written as YAML, or says all that is wrong with it.
fn written(text: &str) -> Result<Call, Vec<Mistake>> {
    let (root, mut mistakes) = yaml::read(text);
    let Some(Node { at, tree }) = root.filter(|_| mistakes.is_empty()) else {
        mistakes.extend(mistakes.is_empty().then(|| Mistake::new(Place::new(1, 1, 1), "there is no call in it")));
        return Err(mistakes);
    };
    let Tree::Map(fields) = tree else {
        return Err(vec![Mistake::new(at, "a call is keys with values").hint("--show-call prints one.")]);
    };
    let field = |name: &str| fields.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
    let known = ["operation", "method", "path", "id", "query", "body"];
    for (key, _) in fields.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
        let mistake = Mistake::new(key.at, format!("a call has no `{}`", key.text));
        mistakes.push(mistake.hint(&format!("It has {}.", known.join(", "))));
    }
    let query = match field("query").map(|node| &node.tree) {
        Some(Tree::Map(pairs)) => pairs.iter().map(|(name, node)| format!("{}={}", name.text, word(node))).collect(),
        _ => Vec::new(),
    };
    let (name, id) = (field("operation").map(word).unwrap_or_default(), field("id").map(word));
    let body = field("body").map(|node| json(node).to_string());
    let call = Call::read(&name, id.as_deref(), &query, body.as_deref());
    match call {
        Ok(call) if mistakes.is_empty() => {
            let row = endpoint(call.operation);
            let is_other = |node: &&Node, is: &str| word(node) != is;
            let other = field("method").filter(|node| is_other(node, method(row.method)));
            let other = other.or_else(|| field("path").filter(|node| is_other(node, row.path)));
            match other {
                None => Ok(call),
                Some(node) => {
                    let is = format!("{} is {} {}", row.name, method(row.method), row.path);
                    Err(vec![
                        Mistake::new(node.at, is).hint("Leave method and path out, or write what the operation has."),
                    ])
                }
            }
        }
        Ok(_) => Err(mistakes),
        Err(error) => {
            let at = field("operation").map_or(at, |node| node.at);
            mistakes.push(Mistake::new(at, error.to_string()).hint(LISTED));
            Err(mistakes)
        }
    }
}

/// Returns a value as one text.
fn word(node: &Node) -> String {
    match json(node) {
        Value::String(text) => text,
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

/// Returns a value as JSON: what is not in quotes is what JSON takes it for, else a text.
fn json(node: &Node) -> Value {
    match &node.tree {
        Tree::Nothing => Value::Null,
        Tree::Scalar { text, quoted: true } => Value::String(text.clone()),
        Tree::Scalar { text, quoted: false } => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        Tree::List(list) => list.iter().map(json).collect(),
        Tree::Map(fields) => fields.iter().map(|(key, node)| (key.text.clone(), json(node))).collect(),
    }
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let call = match &verb.file {
        Some(path) => {
            let paper = Paper::read(path)?;
            written(&paper.text).map_err(|mistakes| paper.refuse(&mistakes, screen))?
        }
        None => {
            let operation = verb.operation.as_deref().unwrap_or_default();
            let call = Call::read(operation, verb.id.as_deref(), &verb.query, verb.body.as_deref());
            call.map_err(|error| CliError::from_error(Exit::Input, &error).hint(LISTED))?
        }
    };
    let answer =
        look(common, async |client| Ok(client.raw(call.operation, &call.id, &call.query, call.body.as_ref()).await?));
    screen.value(&answer.await?);
    Ok(Exit::Done)
}

/// Prints the call that a verb made, or would have made, in three ways.
pub(super) fn print(common: &Common, screen: &Screen) {
    let Some(call) = common.shown() else { return };
    // As verbs find it: what was named, else the process that works in the data directory.
    let working = || Some(common.data_dir().ok()?.server_file_read()?.url);
    let asked = common.server().or_else(working);
    let server = asked.as_deref().and_then(|urls| urls.split(',').next()).map(|url| url.trim_end_matches('/'));
    let server = server.unwrap_or("http://127.0.0.1:7400").to_owned();
    if screen.json() {
        screen.value(&serde_json::json!({
            "command_line": call.command_line(), "curl": call.curl(&server), "yaml": call.yaml()
        }));
    } else {
        screen.line(&format!("{}\n\n{}\n\n{}", call.command_line(), call.curl(&server), call.yaml().trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Red when a call is written so that it is read as another one.
    #[test]
    fn yaml_is_read_as_the_call_that_it_was_written_of() {
        let body = json!({ "name": "it's: \"a\" # b\n- c", "count": 3, "more": [true, null, { "x": "~", "y": "07" }] });
        for row in backstay_api::ENDPOINTS {
            let query =
                vec![("path".to_owned(), "/it's \"a\" & b=c: #".to_owned()), ("limit".to_owned(), "5".to_owned())];
            for (id, query, body) in [("", Vec::new(), None), ("a: b", query, Some(body.clone()))] {
                let call = Call { operation: row.operation, id: id.to_owned(), query, body };
                assert_eq!(sorted(written(&call.yaml()).unwrap()), sorted(call));
            }
        }
    }

    fn sorted(mut call: Call) -> Call {
        call.query.sort();
        call
    }

    #[test]
    fn what_is_wrong_is_named_at_its_place() {
        let told = |text: &str| {
            written(text).unwrap_err().iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("; ")
        };
        for (text, words) in [
            ("", "there is no call in it"),
            ("[]", "a call is keys with values"),
            ("operation: plan_eat", "there is no operation `plan_eat`"),
            ("operation: plan_list\nquerry: {}", "a call has no `querry`"),
            ("operation: plan_list\nmethod: POST", "plan_list is GET /api/v1/plans"),
        ] {
            assert!(told(text).contains(words), "{text:?}: {}", told(text));
        }
    }
}
