//! The wire: what the JSON API takes and gives, the table of its endpoints, its OpenAPI document and a typed client.
//!
//! [`endpoint`] is the table: the router, the document, the client and the command line are all held against it.
//! [`types`] are plain; they become domain values at the server's door and nowhere else. [`client`] is what every verb of
//! the command line speaks through; [`jobs`] is the far end of the port between agents and the control plane.
//!
//! Absent on purpose: handlers, rows, rules. Who comes in: `backstay-server` and the binary's `cli/`.

pub mod endpoint;
pub mod types;
pub mod problem;
pub mod openapi;
pub mod client;
pub mod call;
mod servers;
pub mod jobs;

pub use call::Call;
pub use client::{Client, ClientError, Seen};
pub use endpoint::{ENDPOINTS, Endpoint, Operation};
pub use jobs::JobsClient;
pub use problem::Problem;
