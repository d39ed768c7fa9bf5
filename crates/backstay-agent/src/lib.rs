//! The data plane: a stateless agent that leases jobs and moves bytes.
//!
//! [`agent`] is the loop, [`heartbeat`] keeps its leases alive and hears of cancels, [`runners`] do one job kind each,
//! [`sources`] read one kind of source each, [`reader`] looks into snapshots, [`own`] says what is the installation's.
//!
//! Absent on purpose: SQL, and any secret of its own. A lease brings what one job needs, and it ends with the job. Who
//! comes in: the binary's roles, with the port `Jobs` near or far.

pub mod agent;
pub mod heartbeat;
pub mod own;
pub mod runners;
pub mod sources;
pub mod reader;
mod repository;

pub use agent::{AgentOptions, Commands, run};
pub use reader::EngineReader;
pub use sources::SOURCE_KINDS;
