//! `backstay secret …`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use backstay_api::Client;
use backstay_api::types::list::{ByName, NamedQuery};
use backstay_api::types::secret::{SecretPut, SecretTest, SecretView};
use backstay_api::types::wire::SecretText;
use backstay_core::domain::secret::Secret;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::named::{self, called};
use super::screen::Screen;
use crate::roles::quickstart::TENANT;

/// Longest secret that is read; the server takes less, and says so.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What can be asked of secrets.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List the names of all secrets; nobody can show a secret
    List,
    /// Keep a secret, sealed in the server's database; what refers to it says sealed:NAME
    Put {
        /// Its name
        name: String,
        /// A file that holds the secret; standard input when left out. A newline at its end is not part of it
        #[arg(long, value_name = "F")]
        from_file: Option<PathBuf>,
        /// Take the place of an earlier one, as when a storage's key was changed; a repository's password never does
        #[arg(long)]
        replace: bool,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Say whether a secret is to be had now, or why not; never its value
    Test {
        /// The secret's name, or where it should be, such as env:BACKSTAY_SECRET_HOME
        secret: String,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Forget a secret that no repository refers to
    Remove {
        /// The secret's name or id
        secret: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list =
                look(common, async |client| Ok(named::all(client, NamedQuery::default(), Client::secret_list).await?))
                    .await?;
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "reference", "id"], rows, "there is no secret yet");
        }
        Verb::Put { name, from_file, replace, tenant } => {
            let body = SecretPut { tenant, name, value: SecretText(read(from_file.as_deref())?), replace };
            let kept = look(common, async |client| Ok(client.secret_put(&body).await?)).await?;
            screen.rows(&kept, &["name", "reference", "id"], vec![row(&kept)], "");
        }
        Verb::Test { secret, tenant } => {
            let reference = if secret.contains(':') { secret.clone() } else { format!("sealed:{secret}") };
            let body = SecretTest { tenant, reference };
            look(common, async |client| Ok(client.secret_test(&body).await?)).await?;
            screen.say(&format!("the secret at {} is there and opens", body.reference));
        }
        Verb::Remove { secret } => {
            look(common, async |client| {
                // An id has a point between tenant and name, and no name has one.
                let name = secret.split_once('.').map_or(&*secret, |(_, name)| name);
                let rows = called(client, name, NamedQuery::by_name(name), Client::secret_list).await?;
                let found = rows.into_iter().find(|row| row.name == secret || row.id == secret);
                let found = found.ok_or_else(|| {
                    CliError::new(Exit::NotFound, format!("there is no secret {secret}"))
                        .hint("`backstay secret list` shows what there is.")
                })?;
                Ok(client.secret_remove(&found.id).await?)
            })
            .await?;
            screen.say("the secret is forgotten");
        }
    }
    Ok(Exit::Done)
}

fn row(row: &SecretView) -> Vec<String> {
    vec![row.name.clone(), row.reference.clone(), row.id.clone()]
}

/// Reads a secret; never from an argument, which everybody on the machine sees.
fn read(file: Option<&Path>) -> Result<Secret, CliError> {
    let mut text = zeroize::Zeroizing::new(String::new());
    let done = match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text)),
        None => std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut text),
    };
    let place = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    done.map_err(|error| CliError::new(Exit::Input, format!("{place} cannot be read: {error}")))?;
    Ok(Secret::from(text.trim_end_matches(['\n', '\r'])))
}
