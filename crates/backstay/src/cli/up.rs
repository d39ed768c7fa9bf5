//! `backstay up`: server and agent in one process, and what says where it listens for others.

use std::path::PathBuf;

use backstay_agent::Commands;
use backstay_server::channels::Reach;

use super::args::Common;
use super::database::DatabaseArgs;
use super::error::{CliError, Exit};
use super::screen::Screen;
use crate::roles::config::Typed;
use crate::roles::door::Door;
use crate::roles::installation::{Ways, WithAgent, commands_of};

/// What an installation is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Do no jobs here: agents elsewhere do them [env: BACKSTAY_UP_AGENT]
    #[arg(long)]
    no_agent: bool,
    /// Listen there too, for agents and people elsewhere [env: BACKSTAY_UP_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// What is said of TLS where somebody listens.
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// The certificate that is shown, PEM; read anew every minute [env: BACKSTAY_TLS_CERTIFICATE_FILE]
    #[arg(long, value_name = "F")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, PEM, which others may not read [env: BACKSTAY_TLS_KEY_FILE]
    #[arg(long, value_name = "F")]
    tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS: something before it must bring it [env: BACKSTAY_PLAIN_HTTP]
    #[arg(long)]
    plain_http: bool,
}

impl TlsArgs {
    /// Returns what was typed.
    pub(super) fn typed(&self) -> Typed {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        vec![
            ("server.tls_certificate_file", text(&self.tls_certificate)),
            ("server.tls_key_file", text(&self.tls_key)),
            ("server.plain_http", self.plain_http.then(|| "true".to_owned())),
        ]
    }
}

impl Up {
    /// Returns what was typed.
    pub(super) fn typed(&self) -> Typed {
        let mut typed = self.tls.typed();
        typed.push(("up.agent", self.no_agent.then(|| "false".to_owned())));
        typed.push(("up.listen", self.listen.clone()));
        typed.extend(self.database.typed());
        typed
    }
}

pub(super) async fn run(common: &Common, screen: &Screen) -> Result<Exit, CliError> {
    let config = common.told();
    let home = common.home()?;
    let with_agent = if config.is_on("up.agent") { WithAgent::Yes } else { WithAgent::Elsewhere };
    let door = match config.text("up.listen") {
        Some(address) => Some(Door::judge(address, config).await?),
        // Whoever names a certificate means to be reached: a door that is not there would be found out elsewhere, and late.
        None if config.text("server.tls_certificate_file").is_some() => {
            return Err(CliError::new(Exit::Input, "there is a certificate, and no place where it would be shown")
                .hint("Say where to listen for others: --listen ADDRESS:PORT (up.listen)."));
        }
        None => None,
    };
    let (alone, reach) = match &door {
        Some(_) => (Commands::Refused, Reach::PublicForTenants),
        None => (Commands::Allowed, Reach::Anywhere),
    };
    let told = (door, Ways::of(config, reach));
    crate::roles::up::run(&home, with_agent, commands_of(config, alone), told, screen).await?;
    Ok(Exit::Done)
}
