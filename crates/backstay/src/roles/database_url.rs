//! Which database server: its URL, and how it is shown without what opens it.

use backstay_core::domain::secret::Secret;
use backstay_db::{OpenError, Unreached};
use secrecy::ExposeSecret as _;

use super::config::{Config, Origin, SaidOrFile};
use super::master_key::read_private;
use crate::cli::error::{CliError, Exit};

/// A database's URL; it may hold a password and is never shown as it is.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseUrl(Secret);

impl DatabaseUrl {
    /// Returns the URL that settings name; none when they name none.
    ///
    /// # Errors
    /// [`CliError`]: a file that cannot be read, or a password that was typed.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, CliError> {
        Ok(Some(match config.said_or_file("server.database_url") {
            None => return Ok(None),
            Some(SaidOrFile::Said(value)) if matches!(value.origin, Origin::Option(_)) => Self::typed(&value.text)?,
            Some(SaidOrFile::Said(value)) => Self::new(&value.text),
            Some(SaidOrFile::File(file)) => {
                let text = read_private(&file).map_err(|error| {
                    CliError::from_error(Exit::Input, &error).hint(
                        "It holds one line, such as postgres://USER:PASSWORD@HOST/DATABASE (server.database_url_file).",
                    )
                })?;
                Self::new(text.expose_secret())
            }
        }))
    }

    /// Takes a URL as it stands in a file or in the environment.
    pub(crate) fn new(text: &str) -> Self {
        Self(Secret::from(text.trim()))
    }

    /// Takes a URL that everybody on the machine saw, because it was typed on the command line.
    ///
    /// # Errors
    /// [`CliError`] when it holds a password.
    pub(crate) fn typed(text: &str) -> Result<Self, CliError> {
        if has_password(text) {
            return Err(CliError::new(Exit::Input, "a password on the command line is seen by everybody on this machine")
                .hint("Put the URL in a file and name it with --database-url-file, or in BACKSTAY_DATABASE_URL; and change the password."));
        }
        Ok(Self::new(text))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the URL without password and options.
    pub(crate) fn shown(&self) -> String {
        let Some((scheme, rest)) = self.expose().split_once("://") else { return "the given URL".to_owned() };
        // What stands before the last `@` is the user's: a password may hold any letter that somebody forgot to encode.
        let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
        let user = user.split(':').next().unwrap_or_default();
        let place = place.split(['?', '#']).next().unwrap_or_default();
        if user.is_empty() { format!("{scheme}://{place}") } else { format!("{scheme}://{user}@{place}") }
    }

    /// Returns what it holds of passwords, as written and as meant.
    pub(crate) fn passwords(&self) -> Vec<Secret> {
        let rest = self.expose().split_once("://").map_or(self.expose(), |(_, rest)| rest);
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let of_query = query.split('&').filter_map(|pair| pair.strip_prefix("password="));
        let written = user.split_once(':').map(|(_, password)| password).into_iter().chain(of_query);
        written.flat_map(|text| [Some(text.to_owned()), decoded(text)]).flatten().map(Secret::from).collect()
    }

    /// Says whether it holds a password.
    pub(crate) fn has_password(&self) -> bool {
        has_password(self.expose())
    }

    /// Returns where it is as a source of databases is told it; none for a URL without host or database.
    pub(crate) fn place(&self) -> Option<Place> {
        let (scheme, rest) = self.expose().split_once("://")?;
        let kind = match scheme {
            "postgres" | "postgresql" => "postgresql",
            "mysql" | "mariadb" => "mariadb",
            _ => return None,
        };
        let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
        let user = user.split(':').next().unwrap_or_default();
        let (host, database) = place.split(['?', '#']).next().unwrap_or_default().split_once('/')?;
        let (host, port) = match host.rsplit_once(':') {
            // The colons of an address without a port are not before one.
            Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
            _ => (host, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || database.is_empty() {
            return None;
        }
        let user = Some(decoded(user)?).filter(|user| !user.is_empty());
        Some(Place { kind, host: decoded(host)?, port, user, database: decoded(database)? })
    }

    /// Says why this database could not be opened, and what to do.
    pub(crate) fn error(&self, error: &OpenError) -> CliError {
        let (exit, hint) = match error {
            OpenError::Newer { .. } => (Exit::Newer, "Run the newer version of the program on this database."),
            OpenError::Address { .. } => {
                (Exit::Input, "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE, or the same with mariadb://.")
            }
            _ => match error.unreached() {
                Some(Unreached::Login) => {
                    (Exit::Input, "Check user and password in the URL, and what the server lets in.")
                }
                Some(Unreached::NoDatabase) => {
                    (Exit::Input, "Create the database first, empty and owned by this user.")
                }
                Some(Unreached::NoAnswer) => {
                    (Exit::Failed, "Is the server running, and are host, port and TLS right? Starting again is safe.")
                }
                None => (Exit::Failed, "Starting again is safe."),
            },
        };
        let told = CliError::from_error(exit, error);
        told.under(format!("the database {} cannot be used", self.shown()))
            .hint(hint)
            .also("Its URL is said by server.database_url, or in the file of server.database_url_file: `backstay config show`.")
    }
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The source kind of such databases.
    pub(crate) kind: &'static str,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) database: String,
}

/// Returns what stands for a part of a URL, with each %XX as its byte; none when that is no text.
fn decoded(part: &str) -> Option<String> {
    let mut pieces = part.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// Says whether a URL holds a password, in any of the places where drivers look for one.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_wherever_it_stands_and_never_shown() {
        for (url, shown, has) in [
            ("postgres://u:hunter2@h:5432/d", "postgres://u@h:5432/d", true),
            ("postgres://u:hun/t@er2@h/d?sslmode=require", "postgres://u@h/d", true),
            ("postgres://u@h/d?user=x&password=hunter2", "postgres://u@h/d", true),
            ("postgres://u@h/d?sslmode=verify-full", "postgres://u@h/d", false),
            ("mariadb://h:3306/d", "mariadb://h:3306/d", false),
            ("hunter2", "the given URL", false),
        ] {
            assert_eq!(DatabaseUrl::new(url).shown(), shown);
            let typed = DatabaseUrl::typed(url);
            assert_eq!(typed.is_err(), has, "{url}");
            assert!(typed.map_or_else(|error| !error.line().contains("hunter2"), |_| true));
            assert!(!format!("{:?}", DatabaseUrl::new(url)).contains("hunter2"));
            let found = DatabaseUrl::new(url).passwords();
            assert_eq!(found.iter().any(|one| one.expose_secret().contains("er2")), has, "{url}");
        }
    }
}
