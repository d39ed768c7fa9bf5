//! Every storage kind, and the fake that stands in for one, keep what the port promises, on good days and bad ones.
//!
//! A new kind is a fixture in `conformance` and one test that hands it to the suite. `s3` says what a bucket promises
//! beyond it, `fault` what becomes of each thing that a network or a server may do. Absent on purpose: what the suite
//! itself asks, which lies in `backstay-testkit`.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod house;
