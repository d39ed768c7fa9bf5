//! Pure rules: values in, values out, the same answer every time.
//!
//! Read `job` first: everything else serves it. Types here hold no nonsense (they are parsed at the edge), know no
//! serialisation format, and say in their fields' lines what absence means.

pub mod backup;
pub mod anomaly;
pub mod hook;
pub mod follow_up;
pub mod job;
pub mod lease;
pub mod attempt;
pub mod checkpoint;
pub mod job_set;
pub mod tenant;
pub mod source;
pub mod item;
pub mod plan;
pub mod schedule;
pub mod monitor;
pub mod overlap;
pub mod rpo;
pub mod retry;
pub mod quota;
pub mod fairness;
pub mod exclusion;
pub mod adoption;
pub mod alert;
pub mod message;
pub mod channel;
pub mod digest;
pub mod explain;
pub mod template;
pub mod access;
pub mod demand;
pub mod storage;
pub mod probe;
pub mod repository;
pub mod snapshot;
pub mod sweep;
pub mod restore;
pub mod retention;
pub mod sample;
pub mod proof;
pub mod rto;
pub mod evidence;
pub mod purge;
pub mod event;
pub mod secret;
pub mod token;
pub mod change;
pub mod asking;
pub mod trace;
pub mod unread;
pub mod name;
pub mod id;
pub mod disposition;
