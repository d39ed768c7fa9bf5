//! Makes digests whose window is over, and hands messages to channels.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::id::MessageId;
use backstay_core::managers::context::Context;
use backstay_core::managers::deliver::{Delivered, deliver_next};
use backstay_core::managers::digest::digest_tick;
use backstay_core::ports::courier::Courier;
use backstay_core::ports::store::StoreError;
use tokio_util::sync::CancellationToken;

/// How often it looks: one question by index when nothing is due.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Messages that are sent at once: a channel that does not answer holds up one of them.
const SENDERS: usize = 4;

/// Looks until told to end. What goes wrong with a digest does not stop what is sent.
pub async fn run(context: Context, courier: Arc<dyn Courier>, end: CancellationToken) {
    while !end.is_cancelled() {
        match digest_tick(&context).await {
            Ok(done) => {
                for (channel, error) in &done.failed {
                    tracing::warn!(%channel, %error, "a channel's digests could not be made; they are tried again soon");
                }
                if done.made > 0 {
                    tracing::info!(made = done.made, "digests are made");
                }
            }
            Err(error) => tracing::warn!(error = %error, "windows that are over could not be looked for"),
        }
        let senders = (0..SENDERS).map(|_| send(&context, &*courier, &end));
        futures::future::join_all(senders).await;
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Sends what is due, one after another, until nothing is. A try under way is ended with the server: its claim is over
/// soon, and another try sends it.
async fn send(context: &Context, courier: &dyn Courier, end: &CancellationToken) {
    loop {
        let next = tokio::select! {
            () = end.cancelled() => return,
            next = deliver_next(context, courier) => next,
        };
        if !told(next) {
            return;
        }
    }
}

/// Logs what became of a message; false when there was none.
fn told(next: Result<Option<(MessageId, Delivered)>, StoreError>) -> bool {
    match next {
        Ok(None) => return false,
        Ok(Some((message, Delivered::Sent))) => tracing::info!(%message, "a message was sent"),
        Ok(Some((message, Delivered::Later { error, after }))) => {
            tracing::warn!(%message, %error, after_s = after.as_secs(), "a message was not taken; it is tried again");
        }
        Ok(Some((message, Delivered::GivenUp { channel, error }))) => {
            tracing::error!(%message, channel, %error, "a message is given up; `backstay alert list` shows it");
        }
        Err(error) => {
            tracing::warn!(error = %error, "messages could not be looked for");
            return false;
        }
    }
    true
}
