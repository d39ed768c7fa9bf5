//! The binary: one program, several roles.
//!
//! [`cli`] is what a person types: one file a noun, and it speaks only through the API's client. [`roles`] read
//! configuration and the environment, choose adapters and start. Nothing is decided here: rules live in
//! `backstay-core`, and whatever moves bytes in `backstay-agent`.

mod cli;
mod roles;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
