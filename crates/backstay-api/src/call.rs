//! A call of the API as a value, and how a person writes it: a line of the command line, a line of curl, YAML.
//!
//! The three say the same request; a test reads each back. A token is never written: it stays in the environment.

use serde_json::{Map, Value, json};

use crate::endpoint::{ENDPOINTS, Method, Operation, endpoint};

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Which row.
    pub operation: Operation,
    /// What stands for the path's parameter; empty for a path without one.
    pub id: String,
    /// The query, in order.
    pub query: Vec<(String, String)>,
    /// The body; none for a row that takes none.
    pub body: Option<Value>,
}

/// A written call that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No row has this name.
    #[error("there is no operation `{name}`")]
    Operation {
        /// What was given.
        name: String,
    },
    /// A query parameter without a value.
    #[error("`{text}` is not NAME=VALUE")]
    Query {
        /// What was given.
        text: String,
    },
    /// A body that is no JSON.
    #[error("the body is not JSON: {problem}")]
    Body {
        /// What is wrong with it.
        problem: String,
    },
}

impl Call {
    /// Reads a call from its parts, as they are typed.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn read(name: &str, id: Option<&str>, query: &[String], body: Option<&str>) -> Result<Self, CallError> {
        let row = ENDPOINTS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| CallError::Operation { name: name.to_owned() })?;
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').ok_or_else(|| CallError::Query { text: text.clone() })?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let body = body.map(serde_json::from_str).transpose();
        let body = body.map_err(|error| CallError::Body { problem: error.to_string() })?;
        let query = query.iter().map(pair).collect::<Result<_, _>>()?;
        Ok(Self { operation: row.operation, id: id.unwrap_or_default().to_owned(), query, body })
    }

    /// Returns the words after `backstay` that make this call.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["call".to_owned(), endpoint(self.operation).name.to_owned()];
        if !self.id.is_empty() {
            words.push(self.id.clone());
        }
        for (name, value) in &self.query {
            words.extend(["--query".to_owned(), format!("{name}={value}")]);
        }
        if let Some(body) = &self.body {
            words.extend(["--body".to_owned(), body.to_string()]);
        }
        words
    }

    /// Returns the line of a shell that makes this call with this program.
    pub fn command_line(&self) -> String {
        let words: Vec<String> = self.words().iter().map(|word| quoted(word)).collect();
        format!("backstay {}", words.join(" "))
    }

    /// Returns path and query, percent-encoded.
    pub fn target(&self) -> String {
        let mut target = endpoint(self.operation).path.replace("{id}", &encoded(&self.id));
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(&format!("{}={}", encoded(name), encoded(value)));
        }
        target
    }

    /// Returns the line of a shell that makes this call with curl; the token is in `BACKSTAY_TOKEN`.
    pub fn curl(&self, server: &str) -> String {
        let mut line = format!("curl -sS -X {}", method(endpoint(self.operation).method));
        line.push_str(" -H \"Authorization: Bearer $BACKSTAY_TOKEN\"");
        if let Some(body) = &self.body {
            line.push_str(&format!(" -H 'Content-Type: application/json' --data {}", quoted(&body.to_string())));
        }
        line.push_str(&format!(" {}", quoted(&format!("{server}{}", self.target()))));
        line
    }

    /// Returns the call as YAML: every JSON text is YAML, so values are written as JSON.
    pub fn yaml(&self) -> String {
        let row = endpoint(self.operation);
        let mut text = format!("operation: {}\nmethod: {}\npath: {}\n", row.name, method(row.method), row.path);
        let query: Map<String, Value> = self.query.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let lines = [("id", json!(self.id)), ("query", Value::Object(query)), ("body", json!(self.body))];
        for (name, value) in lines {
            let empty = value.is_null() || value == json!("") || value == json!({}) && name == "query";
            if !empty {
                text.push_str(&format!("{name}: {value}\n"));
            }
        }
        text
    }
}

/// Returns the method's word.
pub const fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Patch => "PATCH",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    }
}

/// Writes a word so that a shell reads it as it is.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@,+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Percent-encodes all but letters and digits that mean themselves in a URL (RFC 3986, unreserved).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a call of each row, with words that shells and URLs would like to read otherwise.
    fn calls() -> impl Iterator<Item = Call> {
        ENDPOINTS.iter().map(|row| Call {
            operation: row.operation,
            id: if row.path.contains("{id}") {
                "0197f0c2-0000-7000-8000-000000000000".to_owned()
            } else {
                String::new()
            },
            query: vec![
                ("path".to_owned(), "/it's \"a\" & b=c $HOME".to_owned()),
                ("limit".to_owned(), "5".to_owned()),
            ],
            body: (row.method != Method::Get).then(|| json!({ "name": "it's $(id)\n", "deep": { "n": [1, null] } })),
        })
    }

    /// What a shell makes of a line.
    fn shell(line: &str) -> Vec<String> {
        let script = format!("set -- {line}\nprintf '%s\\0' \"$@\"");
        let out =
            std::process::Command::new("sh").arg("-c").arg(script).env("BACKSTAY_TOKEN", "bk_x").output().unwrap();
        assert!(out.status.success(), "{line}");
        let text = String::from_utf8(out.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_line_gives_the_same_call() {
        for call in calls() {
            let words = shell(&call.command_line());
            assert_eq!((words[0].as_str(), &words[1..]), ("backstay", &call.words()[..]));
            let value_of = |flag: &str| {
                let mut found = words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].clone());
                let first = found.next();
                (first.clone(), first.into_iter().chain(found).collect::<Vec<_>>())
            };
            let id = words.get(3).filter(|word| !word.starts_with("--")).map(String::as_str);
            let (body, _) = value_of("--body");
            let again = Call::read(&words[2], id, &value_of("--query").1, body.as_deref()).unwrap();
            assert_eq!(again, call);
        }
    }

    #[test]
    fn curl_sends_the_same_call() {
        for call in calls() {
            let words = shell(&call.curl("http://127.0.0.1:7400"));
            let row = endpoint(call.operation);
            assert_eq!(words[..4], ["curl", "-sS", "-X", method(row.method)]);
            assert!(words.contains(&"Authorization: Bearer bk_x".to_owned()));
            let data =
                words.windows(2).find(|pair| pair[0] == "--data").map(|pair| serde_json::from_str(&pair[1]).unwrap());
            assert_eq!(data, call.body);
            assert_eq!(words.last().unwrap(), &format!("http://127.0.0.1:7400{}", call.target()));
            assert!(call.target().ends_with("?path=%2Fit%27s%20%22a%22%20%26%20b%3Dc%20%24HOME&limit=5"));
        }
    }

    #[test]
    fn yaml_holds_the_same_call() {
        for call in calls() {
            let text = call.yaml();
            let fields: std::collections::BTreeMap<&str, &str> =
                text.lines().map(|line| line.split_once(": ").unwrap()).collect();
            assert_eq!(fields["operation"], endpoint(call.operation).name);
            let value = |name: &str| fields.get(name).map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(value("body"), call.body);
            assert_eq!(value("query").unwrap()["path"], call.query[0].1.as_str());
            assert_eq!(value("id").unwrap_or(json!("")), json!(call.id));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let read = |name, query: &[&str], body| {
            let query: Vec<String> = query.iter().map(|text| (*text).to_owned()).collect();
            Call::read(name, None, &query, body).unwrap_err().to_string()
        };
        assert_eq!(read("plan_eat", &[], None), "there is no operation `plan_eat`");
        assert_eq!(read("plan_list", &["limit"], None), "`limit` is not NAME=VALUE");
        assert!(read("plan_create", &[], Some("{")).starts_with("the body is not JSON"));
    }
}
