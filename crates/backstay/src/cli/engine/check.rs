//! `backstay engine check`: looks for harm.

use backstay_engine::format::id::Id;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::check::{Checked, ReadData, check};
use serde_json::json;

use super::context::Context;
use super::error;
use super::view::short;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use backstay_engine::size::bytes;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// Read all data
    #[arg(long)]
    read_data: bool,
    /// Read a part of the data: 3/10, 5% or 500M
    #[arg(long, value_name = "SUBSET", value_parser = subset, conflicts_with = "read_data")]
    read_data_subset: Option<Subset>,
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subset {
    Part(u64, u64),
    /// One of so many parts, by chance.
    AnyOf(u64),
    Bytes(u64),
}

fn subset(text: &str) -> Result<Subset, String> {
    let wrong = || format!("`{text}` is no part; write 3/10, 5% or 500M");
    if let Some((part, of)) = text.split_once('/') {
        let (part, of) = (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        return if (1..=of).contains(&part) { Ok(Subset::Part(part, of)) } else { Err(wrong()) };
    }
    match text.strip_suffix('%') {
        Some(percent) => match percent.parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => {
                Ok(Subset::AnyOf((100.0 / percent).floor().max(1.0) as u64))
            }
            _ => Err(wrong()),
        },
        None => bytes(text).map(Subset::Bytes),
    }
}

impl Verb {
    fn read(&self) -> ReadData {
        let chance = || rand::random::<[u8; 32]>();
        match (self.read_data, self.read_data_subset) {
            (true, _) => ReadData::All,
            (false, None) => ReadData::None,
            (false, Some(Subset::Part(part, of))) => ReadData::Part { part, of },
            (false, Some(Subset::AnyOf(of))) => ReadData::Part { part: rand::random_range(1..=of), of },
            (false, Some(Subset::Bytes(limit))) => ReadData::Bytes { limit, after: Some(Id(chance())) },
        }
    }
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(LockMode::Exclusive)?;
    context.output.note("checking the index, all snapshots, all folders and all packs");
    let checked = check(&opened.repository, &verb.read(), &context.interrupt);
    let checked = guard.explain(checked).map_err(|error| error::engine(&error))?;
    guard.release(context);
    tell(context, &checked)
}

fn tell(context: &Context, checked: &Checked) -> Result<Exit, CliError> {
    let output = &context.output;
    for finding in &checked.findings {
        output.warn("check", &finding.place, &finding.problem);
    }
    for affected in &checked.affected {
        let problem = format!("in snapshot {} it cannot be restored as it was", short(&affected.snapshot));
        output.warn("check", &affected.path, &problem);
    }
    if output.json() {
        let mut broken: Vec<&str> = checked.findings.iter().filter_map(|finding| pack_of(&finding.place)).collect();
        broken.sort_unstable();
        broken.dedup();
        output.value(&json!({
            "message_type": "summary",
            "num_errors": checked.finding_count,
            "broken_packs": (!broken.is_empty()).then_some(broken),
            "suggest_repair_index": false,
            "suggest_prune": checked.packs_unnamed > 0,
        }));
    } else if !output.is_quiet() {
        let (snapshots, trees) = (human::count(checked.snapshots), human::count(checked.trees));
        let packs = human::count(checked.packs);
        output.line(&format!("looked at {snapshots} snapshots, {trees} folders, {packs} packs"));
        if checked.packs_read > 0 {
            let (packs, bytes) = (human::count(checked.packs_read), human::bytes(checked.bytes_read));
            output.line(&format!("read {packs} packs, {bytes}, every byte of them"));
        }
        if checked.packs_unnamed > 0 {
            let packs = human::count(checked.packs_unnamed);
            output.line(&format!(
                "{packs} packs belong to nothing, which is no harm; `backstay engine prune` removes them"
            ));
        }
        if checked.is_whole() {
            output.line("no harm was found");
        }
    }
    if checked.is_whole() {
        return Ok(Exit::Done);
    }
    let (found, paths) = (human::count(checked.finding_count), human::count(checked.affected_count));
    let heading = format!("the repository is damaged: {found} findings, {paths} paths cannot be restored as they were");
    Err(CliError::new(Exit::Failed, heading).hint(
        "Copy the repository before you change anything; back up again to save what is still at its source; \
         a restore brings back all that is whole.",
    ))
}

/// Returns the pack that a finding is about; none when it is about something else.
fn pack_of(place: &str) -> Option<&str> {
    let name = place.strip_prefix("pack ")?;
    Id::from_hex(name).map(|_| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_data_is_read_as_restic_reads_it() {
        assert_eq!(subset("3/10"), Ok(Subset::Part(3, 10)));
        assert_eq!(subset("5%"), Ok(Subset::AnyOf(20)));
        assert_eq!(subset("2.5%"), Ok(Subset::AnyOf(40)));
        assert_eq!(subset("1M"), Ok(Subset::Bytes(1 << 20)));
        for wrong in ["0/3", "4/3", "0%", "101%", "x"] {
            assert!(subset(wrong).is_err(), "{wrong}");
        }
    }
}
