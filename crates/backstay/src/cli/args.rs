//! Nouns and options: what can be typed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_api::{Call, Client};

use clap::{Parser, Subcommand};

use super::error::CliError;
use crate::roles::config::{Config, Typed};
use crate::roles::data_dir::DataDir;
use crate::roles::home::{Home, Rows};

/// Backups for many tenants, and the proof that they can be restored.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Print JSON instead of tables and messages
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Options that every verb has.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The file of settings [default: backstay/backstay.yaml in your own folder of configuration, else in /etc]
    /// [env: BACKSTAY_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the installation on this machine keeps everything [default: backstay in your own data folder]
    /// [env: BACKSTAY_DATA_DIR]
    #[arg(long, global = true, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// Speak to the server at this URL instead, with the token in BACKSTAY_TOKEN; the URLs of its replicas with commas
    /// between them [env: BACKSTAY_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Trust that server when its certificate comes from an authority in this file (PEM), instead of those that the system
    /// trusts [env: BACKSTAY_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print the call of the API that the command stands for, as a command, for curl and as YAML; a call that would change
    /// something is not made
    #[arg(long, global = true)]
    show_call: bool,
    /// Show the answer again every two seconds, or as many as are said, until it is interrupted; for what changes nothing,
    /// and while a server runs
    #[arg(long, global = true, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "2", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    watch: Option<u32>,
    #[arg(skip)]
    told: Option<Arc<Config>>,
    #[arg(skip)]
    shown: Arc<Mutex<Option<Call>>>,
}

impl Common {
    /// Returns how this program is called again on the same data directory, for hints that can be copied.
    pub(crate) fn program(&self) -> String {
        let typed = [("--config", &self.config), ("--data-dir", &self.data_dir)];
        let typed = typed.iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        typed.fold("backstay".to_owned(), |words, (option, path)| format!("{words} {option} '{}'", path.display()))
    }

    /// Takes in what files and the environment say, and over it what was typed.
    ///
    /// # Errors
    /// A file that cannot be read; a value that is wrong.
    pub(crate) fn load(&mut self, verbs: Typed) -> Result<(), CliError> {
        let mut config = Config::load(self.config.as_deref())?;
        let data_dir = self.data_dir.as_ref().and_then(|path| path.to_str()).map(str::to_owned);
        let ca_file = self.ca_file.as_ref().map(|path| path.display().to_string());
        let own = vec![("data_dir", data_dir), ("client.server", self.server.clone()), ("client.ca_file", ca_file)];
        config.typed(own)?;
        config.typed(verbs)?;
        self.told = Some(Arc::new(config));
        Ok(())
    }

    /// Returns what this process is told.
    pub(crate) fn told(&self) -> &Config {
        self.told.as_deref().expect("it is loaded before any verb that asks")
    }

    /// Returns what is logged; none for a verb that reads no settings.
    pub(crate) fn log(&self) -> Option<String> {
        self.told.as_ref()?.text("log")
    }

    /// Returns the server that is named.
    pub(crate) fn server(&self) -> Option<String> {
        self.told().text("client.server")
    }

    /// Says whether calls are shown.
    pub(crate) const fn shows(&self) -> bool {
        self.show_call
    }

    /// Returns how long to wait before the answer is shown again; none for showing it once.
    pub(crate) fn watch(&self) -> Option<Duration> {
        self.watch.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Returns the call that was shown last.
    pub(crate) fn shown(&self) -> Option<Call> {
        self.shown.lock().expect("nobody panics while writing a call down").clone()
    }

    /// Returns the client that verbs use: one that shows its calls, or only looks, if that was asked for.
    pub(crate) fn client(&self, client: &Client) -> Client {
        let client = if self.watch.is_some() { client.looking() } else { client.clone() };
        if self.show_call { client.showing(Arc::clone(&self.shown)) } else { client }
    }

    /// Returns the data directory that is meant.
    pub(crate) fn data_dir(&self) -> Result<DataDir, CliError> {
        let told = self.told().text("data_dir").map(PathBuf::from);
        // What was typed need not be text for everybody else.
        Ok(DataDir::find(self.data_dir.as_deref().or(told.as_deref()))?)
    }

    /// Returns the data directory of the installation that is spoken to, where that is on this machine.
    pub(crate) fn own_data_dir(&self) -> Option<DataDir> {
        let data = self.data_dir().ok().filter(|_| self.server().is_none())?;
        data.must_exist(Rows::of(self.told())).ok().map(|()| data)
    }

    /// Returns the installation on this machine that is meant.
    pub(crate) fn home(&self) -> Result<Home, CliError> {
        Home::of(self.told(), self.data_dir()?)
    }
}

/// What can be spoken of.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Back up a folder, read it back, and prove it: everything in one command
    Quickstart(super::quickstart::Verb),
    /// Run server and agent in one process on this machine
    Up(super::up::Up),
    /// Rebuild the rows of an installation from a repository, after its database is gone
    Recover(super::recover::Verb),
    /// Make `backstay up` a service of systemd: write its unit, and a file of settings if there is none
    Install(super::install::Install),
    /// Run a server on PostgreSQL or MariaDB, alone or as one of several replicas; agents elsewhere do the jobs
    Server(super::server::Server),
    /// Do what a file declares: say what would change, ask, and do it
    Apply(super::apply::Apply),
    /// Write a file of all that is declared, for apply
    Export(super::apply::Export),
    /// Make a file for apply of another program's configuration (borgmatic, Backrest, resticprofile, crestic), and say what of
    /// it could not be carried over
    Import(super::import::Import),
    /// What the processes are told: judge it, show who said what, begin a file, explain a key
    #[command(subcommand)]
    Config(super::config::Verb),
    /// Whose data it is
    #[command(subcommand)]
    Tenant(super::tenant::Verb),
    /// Kinds of sources and storages that there are
    Kinds(super::kinds::Verb),
    /// Where snapshots lie
    #[command(subcommand)]
    Repository(super::repository::Verb),
    /// Where repositories lie, and what opens that
    #[command(subcommand)]
    Storage(super::storage::Verb),
    /// What backups read
    #[command(subcommand)]
    Source(super::source::Verb),
    /// What is protected and how
    #[command(subcommand)]
    Plan(super::plan::Verb),
    /// What plans share: they take what they do not say themselves
    #[command(subcommand)]
    Template(super::template::Verb),
    /// Work of others, such as cron jobs, that is missed when it says nothing
    #[command(subcommand)]
    Monitor(super::monitor::Verb),
    /// Times in which nothing starts by schedule
    #[command(subcommand)]
    Maintenance(super::maintenance::Verb),
    /// Work that waits, runs or has ended
    #[command(subcommand)]
    Job(super::job::Verb),
    /// Saved states: list, look into, restore, verify
    #[command(subcommand)]
    Snapshot(super::snapshot::Verb),
    /// Signed records of what was read back
    #[command(subcommand)]
    Evidence(super::evidence::Verb),
    /// What happened
    #[command(subcommand)]
    Event(super::event::Verb),
    /// Things of sources that are backed up by themselves
    #[command(subcommand)]
    Item(super::item::Verb),
    /// Passwords and storage keys, sealed in the server's database
    #[command(subcommand)]
    Secret(super::secret::Verb),
    /// Who may speak to this server
    #[command(subcommand)]
    Token(super::token::Verb),
    /// Where people want to be told, and of what
    #[command(subcommand)]
    Channel(super::channel::Verb),
    /// What is not well: list, acknowledge, silence
    #[command(subcommand)]
    Alert(super::alert::Verb),
    /// Everything of a day or a week in one message
    #[command(subcommand)]
    Digest(super::digest::Verb),
    /// Who does the work
    #[command(subcommand)]
    Agent(super::agent::Verb),
    /// What tenants may store, and how near they are to that
    #[command(subcommand)]
    Quota(super::quota::Verb),
    /// Who asked for changes
    #[command(subcommand)]
    Change(super::change::Verb),
    /// How many jobs may run at a time, and how tenants share
    #[command(subcommand)]
    Caps(super::caps::Verb),
    /// Make any call of the API by its name, and print the answer as JSON
    Call(super::call::Verb),
    /// Look at this machine's installation, or at a server elsewhere, and say what is not well and what to do
    Doctor,
    /// Write a folder of text files that helps somebody else to see what is wrong, without a secret in it
    SupportBundle(super::support_bundle::Verb),
    /// For the day when this machine is gone
    #[command(subcommand)]
    Recovery(super::recovery::Verb),
    /// Print the script by which a shell completes verbs, options and names: source <(backstay completion bash)
    Completion(super::completion::Verb),
    /// Print or write the manual's pages
    Man(super::man::Verb),
    /// Work on a restic repository in this process, with no server: restic's commands by restic's names
    Engine(super::engine::Engine),
}
