//! What a prune asks of the storage, told before it starts: requests, bytes, time and, by a table of prices, cost.

use std::path::PathBuf;
use std::time::Duration;

use backstay_engine::maintenance::prune::{Prices, PruneWork};
use serde_json::{Value, json};

use super::error;
use crate::cli::error::CliError;
use crate::cli::human;

/// Bytes after which a rate is believed: a shorter read says more about waiting.
const RATE_BYTES_MIN: u64 = 256 << 10;

/// Prices of the storage, in any currency.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PriceArgs {
    /// Price of a thousand objects written
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_put: Option<f64>,
    /// Price of a thousand objects read
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_get: Option<f64>,
    /// Price of a thousand objects removed
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_delete: Option<f64>,
    /// Price of a GiB read
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_gib_egress: Option<f64>,
    /// Price of a GiB kept for a month
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_gib_month: Option<f64>,
    /// A file of prices: lines as `put 0.005`, with the names put, get, delete, gib-egress, gib-month
    #[arg(long, value_name = "F")]
    price_file: Option<PathBuf>,
}

impl PriceArgs {
    /// Returns the prices; none when none is given. An option goes before the file.
    ///
    /// # Errors
    /// [`CliError`] when the file cannot be read or is no table of prices.
    pub(super) fn prices(&self) -> Result<Option<Prices>, CliError> {
        let mut prices = Prices::default();
        if let Some(file) = &self.price_file {
            let hint = "Write lines as `put 0.005`; a line that begins with # says nothing.";
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|wrong| error::input(format!("{}: {wrong}", file.display()), hint))?;
            prices = table(&text).map_err(|wrong| error::input(format!("{}: {wrong}", file.display()), hint))?;
        }
        let given = [self.price_put, self.price_get, self.price_delete, self.price_gib_egress, self.price_gib_month];
        for (name, price) in NAMES.iter().zip(given) {
            if let Some(price) = price {
                *field(&mut prices, name).expect("the names are those of the fields") = price;
            }
        }
        Ok((self.price_file.is_some() || given.iter().any(Option::is_some)).then_some(prices))
    }
}

const NAMES: [&str; 5] = ["put", "get", "delete", "gib-egress", "gib-month"];

fn field<'a>(prices: &'a mut Prices, name: &str) -> Option<&'a mut f64> {
    Some(match name {
        "put" => &mut prices.put,
        "get" => &mut prices.get,
        "delete" => &mut prices.delete,
        "gib-egress" => &mut prices.gib_egress,
        "gib-month" => &mut prices.gib_month,
        _ => return None,
    })
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| format!("`{text}` is no price; write 0.005"))
}

/// Reads a table of prices.
fn table(text: &str) -> Result<Prices, String> {
    let mut prices = Prices::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let wrong = || format!("`{line}` is no price");
        let (name, value) = line.split_once([' ', '\t', '=', ':']).ok_or_else(wrong)?;
        let value = value.trim_matches([' ', '\t', '=', ':']);
        *field(&mut prices, name).ok_or_else(wrong)? = price(value)?;
    }
    Ok(prices)
}

/// What a prune will ask, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    work: PruneWork,
    /// How long moving the bytes takes at the rate that was seen; none when too little was.
    time: Option<Duration>,
    prices: Option<Prices>,
    bytes_freed: u64,
}

impl Estimate {
    /// Makes one of the work, what was fetched to plan it in which time, and all that is free in the end.
    pub(super) fn new(
        work: PruneWork,
        (fetched, took): (u64, Duration),
        prices: Option<Prices>,
        bytes_freed: u64,
    ) -> Self {
        let seconds = took.as_secs_f64();
        let known = fetched >= RATE_BYTES_MIN && seconds > 0.0;
        let moved = (work.bytes_read + work.bytes_written) as f64;
        let time = known.then(|| Duration::from_secs_f64(moved / (fetched as f64 / seconds)));
        Self { work, time, prices, bytes_freed }
    }

    /// Adds it to a JSON line.
    pub(super) fn add_to(&self, line: &mut Value) {
        let work = &self.work;
        line["requests"] = json!({ "put": work.puts, "get": work.gets, "delete": work.deletes });
        line["bytes_read"] = work.bytes_read.into();
        line["bytes_written"] = work.bytes_written.into();
        line["seconds_estimated"] = self.time.map(|time| time.as_secs()).into();
        line["cost"] = self.prices.map(|prices| prices.cost(work)).into();
        line["saved_a_month"] = self.prices.map(|prices| prices.saved_a_month(self.bytes_freed)).into();
    }

    /// Returns it for a person.
    pub(super) fn words(&self) -> Vec<String> {
        let work = &self.work;
        let [puts, gets, deletes] = [work.puts, work.gets, work.deletes].map(human::count);
        let mut words = vec![format!(
            "{puts} objects to write, {gets} to read from, {deletes} to remove; {} to read and {} to write",
            human::bytes(work.bytes_read),
            human::bytes(work.bytes_written)
        )];
        match self.time {
            _ if work.bytes_read == 0 => {}
            Some(time) => words.push(format!("about {} at the rate at which folders were read", human::duration(time))),
            None => words.push("how long that takes is not known: too little was read to tell".to_owned()),
        }
        if let Some(prices) = self.prices {
            let (cost, saved) = (prices.cost(work), prices.saved_a_month(self.bytes_freed));
            words.push(format!("cost {cost:.4}, and {saved:.4} less a month once all that is marked has gone"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_prices_is_read() {
        let read = table("# a storage\nput 5\nget=0.4\n delete: 0 \ngib-egress\t0.09\n").unwrap();
        assert_eq!(read, Prices { put: 5.0, get: 0.4, delete: 0.0, gib_egress: 0.09, gib_month: 0.0 });
        for wrong in ["puts 5", "put", "put five", "put -1", "put inf"] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_option_goes_before_the_file_and_no_price_is_no_cost() {
        assert_eq!(PriceArgs::default().prices().unwrap(), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "put 5\nget 1\n").unwrap();
        let args = PriceArgs { price_put: Some(7.0), price_file: Some(file.path().to_owned()), ..PriceArgs::default() };
        assert_eq!(args.prices().unwrap(), Some(Prices { put: 7.0, get: 1.0, ..Prices::default() }));
    }

    #[test]
    fn a_time_is_told_when_a_rate_was_seen() {
        let work = PruneWork { bytes_read: 3 << 20, bytes_written: 1 << 20, ..PruneWork::default() };
        let time = |fetched, took| Estimate::new(work, (fetched, Duration::from_secs(took)), None, 0).time;
        assert_eq!(time(1 << 20, 2), Some(Duration::from_secs(8)));
        assert_eq!(time(1_000, 2), None);
        assert_eq!(time(1 << 20, 0), None);
    }
}
