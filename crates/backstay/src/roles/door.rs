//! Where a role listens for others: address, certificate, and what keeps the certificate fresh.
//!
//! Beyond this machine nobody listens without TLS, unless that was said: tokens, and leases with passwords, would pass in
//! the clear.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstay_core::domain::secret::Secret;
use backstay_server::http::{Tls, TlsError};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::master_key::read_private;
use crate::cli::error::{CliError, Exit};

/// How often the files of a certificate are looked at: a renewed one is there days before the old one ends.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What both ways out of a plain door are.
const WAYS_OUT: &str = "Name a certificate and its key with --tls-certificate F --tls-key F (server.tls_certificate_file, \
    server.tls_key_file); or listen on 127.0.0.1 behind a proxy that speaks TLS, and say --plain-http \
    (server.plain_http: true) only where the network is such a proxy's alone.";

/// Where to listen, as it was said and judged. Nobody listens yet.
#[derive(Debug)]
pub(crate) struct Door {
    /// As it was said.
    address: String,
    /// What it means.
    addresses: Vec<SocketAddr>,
    certificate: Option<Certificate>,
}

/// A door at which somebody listens.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<Certificate>,
}

impl OpenDoor {
    /// Returns a door without TLS, for this machine alone.
    pub(crate) const fn own(listener: TcpListener, address: SocketAddr) -> Self {
        Self { listener, address, certificate: None }
    }

    /// Returns where it is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Door {
    /// Judges where to listen, with what settings say of TLS.
    ///
    /// # Errors
    /// [`CliError`]: an address that is none, files that cannot be used, or no TLS where there must be some.
    pub(crate) async fn judge(address: String, config: &Config) -> Result<Self, CliError> {
        let certificate = Certificate::of(config)?;
        let told = |why: &dyn std::fmt::Display| {
            CliError::new(Exit::Input, format!("`{address}` is no place to listen: {why}"))
                .hint("Write ADDRESS:PORT, such as 0.0.0.0:7400 or [::]:7400.")
        };
        let found = tokio::net::lookup_host(&address).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| told(&error))?.collect();
        if addresses.is_empty() {
            return Err(told(&"it has no address"));
        }
        let beyond = addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(beyond) = beyond.filter(|_| certificate.is_none() && !config.is_on("server.plain_http")) {
            let heading = format!("{beyond} is reached from other machines, and this server speaks no TLS");
            return Err(CliError::new(Exit::Input, heading).hint(WAYS_OUT));
        }
        Ok(Self { address, addresses, certificate })
    }

    /// Returns it as it was said.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Listens.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn open(self) -> std::io::Result<OpenDoor> {
        let listener = TcpListener::bind(&self.addresses[..]).await?;
        let address = listener.local_addr()?;
        Ok(OpenDoor { listener, address, certificate: self.certificate })
    }
}

/// A certificate with its files.
#[derive(Debug)]
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    /// What was in them when they were looked at last.
    seen: (Vec<u8>, Secret),
    /// What was wrong with them then, so that it is told once.
    wrong: Option<String>,
    tls: Tls,
}

/// What a look at a certificate's files found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// What was there before.
    Same,
    /// Another certificate, which is shown now.
    Renewed,
    /// Nothing that could be shown: the old one is, as before. The reason, when it was not told yet.
    Wrong(Option<String>),
}

impl Certificate {
    /// Returns the certificate that settings name.
    fn of(config: &Config) -> Result<Option<Self>, CliError> {
        let path = |key: &str| config.text(key).map(PathBuf::from);
        let lone = |there: &str, missing: &str| {
            CliError::new(Exit::Input, format!("there is a {there}, but no {missing}")).hint(WAYS_OUT)
        };
        match (path("server.tls_certificate_file"), path("server.tls_key_file")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Self::open(certificate, key).map(Some),
            (Some(_), None) => Err(lone("certificate", "key for it")),
            (None, Some(_)) => Err(lone("key", "certificate for it")),
        }
    }

    fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, CliError> {
        let seen = read(&certificate, &key)?;
        let tls = Tls::new(&seen.0, seen.1.expose_secret().as_bytes());
        let tls = tls.map_err(|error| told(&error, &certificate, &key))?;
        Ok(Self { certificate, key, seen, wrong: None, tls })
    }

    /// Returns what speaks with it.
    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Looks at the files again, and shows what is in them if that is another certificate with its key.
    pub(crate) fn look(&mut self) -> Looked {
        let looked = read(&self.certificate, &self.key).and_then(|found| {
            let is_same = found.0 == self.seen.0 && found.1.expose_secret() == self.seen.1.expose_secret();
            if !is_same {
                let renewed = self.tls.renew(&found.0, found.1.expose_secret().as_bytes());
                renewed.map_err(|error| told(&error, &self.certificate, &self.key))?;
                self.seen = found;
            }
            Ok(is_same)
        });
        match looked {
            Ok(is_same) => {
                self.wrong = None;
                if is_same { Looked::Same } else { Looked::Renewed }
            }
            Err(error) => {
                let line = Some(error.line());
                let is_new = self.wrong != line;
                self.wrong.clone_from(&line);
                Looked::Wrong(line.filter(|_| is_new))
            }
        }
    }

    /// Looks every minute, and at once on SIGHUP, until told to end.
    pub(crate) async fn keep_fresh(mut self, end: CancellationToken) {
        // A terminal that goes says SIGHUP too, and means something else.
        let asks = if std::io::stdin().is_terminal() { None } else { signal(SignalKind::hangup()).ok() };
        let mut asks = asks;
        loop {
            let asked = async {
                match &mut asks {
                    Some(asks) => asks.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end.cancelled() => return,
                _ = asked => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look() {
                Looked::Renewed => tracing::info!(file = %self.certificate.display(), "a renewed certificate is shown"),
                Looked::Wrong(Some(error)) => {
                    tracing::error!(error, "the renewed certificate cannot be used; the old one is shown as before");
                }
                Looked::Same | Looked::Wrong(None) => {}
            }
        }
    }
}

/// Reads both files.
fn read(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Secret), CliError> {
    let text = std::fs::read(certificate).map_err(|error| {
        CliError::from_error(Exit::Input, &error)
            .under(format!("the certificate in {} cannot be read", certificate.display()))
            .hint("Name the file of the certificate with --tls-certificate; the user that this runs as must be able to read it.")
    })?;
    let key = read_private(key).map_err(|error| {
        CliError::from_error(Exit::Input, &error)
            .under("the key of the certificate cannot be read".to_owned())
            .hint("Name the file of the key with --tls-key; only the user that this runs as and its group may read it.")
    })?;
    Ok((text, key))
}

fn told(error: &TlsError, certificate: &Path, key: &Path) -> CliError {
    let (file, hint) = match error {
        TlsError::Mismatch => (key, format!("Name the key that belongs to {} with --tls-key.", certificate.display())),
        error if error.is_about_certificate() => {
            (certificate, "Name a file in PEM with --tls-certificate: the server's own certificate first.".to_owned())
        }
        _ => (key, "Name a file in PEM with --tls-key: RSA, ECDSA or Ed25519, not encrypted.".to_owned()),
    };
    CliError::from_error(Exit::Input, error).under(format!("{} cannot be used for TLS", file.display())).hint(&hint)
}
