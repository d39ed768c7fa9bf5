//! `backstay call …`: any row of the API by its name, and what `--show-call` prints.

use backstay_api::Call;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// A call, as it is typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// The operation's name, such as plan_create; the API's document lists them
    operation: String,
    /// What stands for the path's parameter
    id: Option<String>,
    /// A query parameter; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    query: Vec<String>,
    /// The body
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let call = Call::read(&verb.operation, verb.id.as_deref(), &verb.query, verb.body.as_deref());
    let call = call.map_err(|error| {
        CliError::from_error(Exit::Input, &error).hint("docs/reference/openapi.json lists the operations.")
    })?;
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
