//! `backstay caps …`: how many jobs may run at a time, and by which weights tenants share.

use backstay_api::types::caps::{CapException, CapsPut, CapsView, TenantWeight};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// What can be asked of caps.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show how many jobs may run at a time, and by which weights tenants share
    Show,
    /// Change what is given of them; `none` takes a cap away
    Set(Box<Wish>),
}

/// What is to change.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// Most jobs in the installation
    #[arg(long, value_name = "COUNT")]
    global: Option<String>,
    /// Most jobs of each tenant
    #[arg(long, value_name = "COUNT")]
    tenant: Option<String>,
    /// Most jobs on each host that sources lie on
    #[arg(long, value_name = "COUNT")]
    host: Option<String>,
    /// Most jobs on each repository
    #[arg(long, value_name = "COUNT")]
    repository: Option<String>,
    /// Most jobs at each storage's endpoint
    #[arg(long, value_name = "COUNT")]
    endpoint: Option<String>,
    /// Most jobs of each kind
    #[arg(long, value_name = "COUNT")]
    kind: Option<String>,
    /// Another number for one of them: tenant=NAME=2, host=HOST=1, repository=ID=1, endpoint=URL=4, kind=prune=1
    #[arg(long, value_name = "WHAT=NAME=COUNT")]
    only: Vec<String>,
    /// A tenant's weight when tenants compete: NAME=3; 1 is everybody's
    #[arg(long, value_name = "TENANT=WEIGHT")]
    weight: Vec<String>,
}

fn wrong(option: &str, given: &str, hint: &str) -> CliError {
    CliError::new(Exit::Input, format!("--{option} `{given}` cannot be read")).hint(hint)
}

/// Reads a count; none takes it away.
fn count(option: &str, given: &str) -> Result<Option<u32>, CliError> {
    match given {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(option, given, "Give a count such as 4, or `none`.")),
    }
}

impl Wish {
    /// Returns what is there with what is given in its place.
    fn over(&self, was: CapsView) -> Result<CapsPut, CliError> {
        let mut caps = CapsPut::from(was);
        let given = [
            ("global", &self.global, &mut caps.global),
            ("tenant", &self.tenant, &mut caps.tenant),
            ("host", &self.host, &mut caps.host),
            ("repository", &self.repository, &mut caps.repository),
            ("endpoint", &self.endpoint, &mut caps.endpoint),
            ("kind", &self.kind, &mut caps.kind),
        ];
        for (option, text, place) in given {
            if let Some(text) = text {
                *place = count(option, text)?;
            }
        }
        for text in &self.only {
            let hint = "Write one such as kind=prune=1, or kind=prune=none.";
            let (front, most) = text.rsplit_once('=').ok_or_else(|| wrong("only", text, hint))?;
            let (of, name) = front.split_once('=').ok_or_else(|| wrong("only", text, hint))?;
            caps.exceptions.retain(|row| (row.of.as_str(), row.name.as_str()) != (of, name));
            if let Some(cap) = count("only", most)? {
                caps.exceptions.push(CapException { of: of.to_owned(), name: name.to_owned(), cap });
            }
        }
        for text in &self.weight {
            let hint = "Write one such as ada=3.";
            let (tenant, weight) = text.rsplit_once('=').ok_or_else(|| wrong("weight", text, hint))?;
            let weight: u32 = weight.parse().map_err(|_| wrong("weight", text, hint))?;
            caps.weights.retain(|row| row.tenant != tenant);
            if weight != 1 {
                caps.weights.push(TenantWeight { tenant: tenant.to_owned(), weight });
            }
        }
        Ok(caps)
    }
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let view = match verb {
        Verb::Show => look(common, async |client| Ok(client.caps_show().await?)).await?,
        Verb::Set(wish) => {
            let put = look(common, async |client| {
                let body = wish.over(client.caps_show().await?)?;
                Ok(client.caps_put(&body).await?)
            });
            put.await?
        }
    };
    show(screen, &view);
    Ok(Exit::Done)
}

fn show(screen: &Screen, view: &CapsView) {
    let general = [
        ("in the installation", view.global),
        ("of each tenant", view.tenant),
        ("on each host", view.host),
        ("on each repository", view.repository),
        ("at each endpoint", view.endpoint),
        ("of each kind", view.kind),
    ];
    let general = general.into_iter().filter_map(|(what, cap)| Some((what.to_owned(), cap?)));
    let only = view.exceptions.iter().map(|row| (format!("{} {}", row.of, row.name), row.cap));
    let weights = view.weights.iter().map(|row| (format!("weight of tenant {}", row.tenant), row.weight));
    let rows = general.chain(only).chain(weights).map(|(what, count)| vec![what, count.to_string()]).collect();
    screen.rows(view, &["what", "count"], rows, "nothing is limited, and all tenants have the same weight");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &str) -> Wish {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            wish: Wish,
        }
        <Line as clap::Parser>::parse_from(std::iter::once("set").chain(words.split_whitespace())).wish
    }

    #[test]
    fn what_is_not_given_stays() {
        let was = set("--global 9 --kind 3 --only kind=prune=1 --only endpoint=https://a/?x=y=2 --weight ada=3");
        let put = was.over(CapsView { revision: 7, ..CapsView::default() }).unwrap();
        assert_eq!((put.global, put.kind, put.tenant, put.revision), (Some(9), Some(3), None, Some(7)));
        assert_eq!(put.exceptions[1], CapException { of: "endpoint".into(), name: "https://a/?x=y".into(), cap: 2 });
        let is = CapsView {
            global: put.global,
            kind: put.kind,
            exceptions: put.exceptions,
            weights: put.weights,
            revision: 8,
            ..CapsView::default()
        };
        let less = set("--global none --only kind=prune=none --weight ada=1").over(is).unwrap();
        assert_eq!((less.global, less.kind, less.exceptions.len(), less.weights.len()), (None, Some(3), 1, 0));
        for wrong in ["--global x", "--only kind=prune", "--only prune", "--weight ada", "--weight ada=x"] {
            assert!(set(wrong).over(CapsView::default()).is_err(), "{wrong}");
        }
    }
}
