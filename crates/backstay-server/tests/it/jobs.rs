//! The port `Jobs` over the wire: a server on loopback over the fakes, and the client before it.

use std::sync::Arc;

use backstay_api::JobsClient;
use backstay_testkit::conformance::job::JobsHarness;

use crate::served::{Served, fakes};

/// Returns the client of a server whose stores are fakes.
async fn over_the_wire() -> JobsHarness {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let jobs = Arc::new(JobsClient::new(&served.client));
    let kept: Arc<dyn std::any::Any + Send + Sync> = Arc::new((served, stores.kept.clone()));
    JobsHarness { jobs, stores: backstay_testkit::conformance::world::Stores { kept, ..stores } }
}

backstay_testkit::jobs_promises!(over_the_wire);
