//! Every storage kind, and the fake that stands in for one, keep what the port promises.
//!
//! A new kind is a fixture in `conformance` and one test that hands it to the suite. Absent on purpose: what the suite
//! itself asks, which lies in `backstay-testkit`.

#[cfg(test)]
mod conformance;
