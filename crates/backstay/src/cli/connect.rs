//! Whom a verb speaks to: the server that was named, the process that works in the data directory, or an installation
//! that this command starts for itself.

use backstay_agent::Commands;
use backstay_api::Client;
use backstay_core::domain::secret::Secret;
use backstay_server::channels::Reach;

use super::args::Common;
use super::error::{CliError, Exit};
use crate::roles::data_dir::DataDirError;
use crate::roles::installation::{Installation, StartError, Ways, WithAgent, commands_of};
use crate::roles::telemetry;

/// A client, and what must live as long as it is used.
pub(crate) struct Connection {
    pub(crate) client: Client,
    own: Option<Installation>,
}

impl Connection {
    /// Finds or starts a server. A verb that asks for work brings its own agent when nobody else has one.
    pub(crate) async fn open(common: &Common, with_agent: WithAgent) -> Result<Self, CliError> {
        let connection = Self::find(common, with_agent).await?;
        Ok(Self { client: common.client(&connection.client), own: connection.own })
    }

    async fn find(common: &Common, with_agent: WithAgent) -> Result<Self, CliError> {
        if let Some(url) = &common.server() {
            let token = common.told().token()?.ok_or_else(|| {
                CliError::new(Exit::Input, "--server needs a token")
                    .hint("Put it in BACKSTAY_TOKEN, or in a file that BACKSTAY_TOKEN_FILE names.")
            })?;
            return Ok(Self { client: client(common, url, token)?.tracing(telemetry::given), own: None });
        }
        let data = common.data_dir()?;
        // Whoever speaks to a process that runs need not read what opens its database.
        if let Some(server) = data.server_file_read() {
            return Ok(Self {
                client: Client::new(&server.url, Secret::from(server.token))?.tracing(telemetry::given),
                own: None,
            });
        }
        let home = common.home()?;
        home.must_exist()?;
        let (commands, ways) =
            (commands_of(common.told(), Commands::Allowed), Ways::of(common.told(), Reach::Anywhere));
        match Installation::start(&home, with_agent, commands, ways).await {
            Ok(own) => Ok(Self { client: own.client.clone(), own: Some(own) }),
            // It began in the meantime; now it can be spoken to.
            Err(StartError::DataDir(error @ DataDirError::Busy { .. })) => match data.server_file_read() {
                Some(server) => Ok(Self {
                    client: Client::new(&server.url, Secret::from(server.token))?.tracing(telemetry::given),
                    own: None,
                }),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Says whether the work that was asked for ends with this command.
    pub(crate) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends what this command started.
    pub(crate) async fn close(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }
}

/// Returns the client of a server that is there already: the one that was named, or the process that works in the data
/// directory. None when there is none, or what opens it cannot be read.
pub(super) fn running(common: &Common) -> Option<Client> {
    if let Some(url) = common.server() {
        return client(common, &url, common.told().token().ok()??).ok();
    }
    let server = common.data_dir().ok()?.server_file_read()?;
    Client::new(&server.url, Secret::from(server.token)).ok()
}

/// Makes the client of a server that was named: it trusts the authorities that settings name, else those of the system.
pub(super) fn client(common: &Common, url: &str, token: Secret) -> Result<Client, CliError> {
    let Some(path) = common.told().text("client.ca_file") else { return Ok(Client::new(url, token)?) };
    let text = std::fs::read(&path).map_err(|error| {
        CliError::from_error(Exit::Input, &error)
            .under(format!("the authorities in {path} cannot be read"))
            .hint("Name a file that this user may read with --ca-file.")
    })?;
    Client::trusting(url, token, &text).map_err(|error| CliError::from(error).under(format!("{path} cannot be used")))
}

/// Opens a connection, makes one look, and closes it again.
pub(crate) async fn look<T>(
    common: &Common,
    call: impl AsyncFnOnce(&Client) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let connection = Connection::open(common, WithAgent::No).await?;
    let answer = call(&connection.client).await;
    connection.close().await;
    answer
}
