//! The control plane's promises, in all orders of a model and on simulated time.

#![expect(clippy::unwrap_used, reason = "an error where none is expected is a red test")]
#![expect(clippy::print_stdout, reason = "what a year was like is for a person to read")]

mod model;
mod pause;
mod year;
