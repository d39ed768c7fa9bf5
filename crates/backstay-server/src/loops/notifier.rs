//! Makes digests whose window is over, and hands messages to channels.
//!
//! Of one channel a message at a time is under way from here: they arrive in order, but for those that are tried again, and a
//! channel that does not answer holds up its own messages alone. One that took long, and in vain, rests before its next try.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::id::{ChannelId, MessageId};
use backstay_core::managers::context::Context;
use backstay_core::managers::deliver::{CLAIM_TTL, Delivered, message_deliver, message_lease};
use backstay_core::managers::digest::digest_tick;
use backstay_core::ports::courier::Courier;
use backstay_core::ports::notice::OutboxRow;
use backstay_core::ports::store::StoreError;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it looks: one question by index when nothing is due.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Messages that are sent at once, each to another channel.
const SENDERS: usize = 16;

/// How often as long as its last try, which was in vain, a channel rests. So one that does not answer takes a fifth of a
/// sender.
const REST: u32 = 4;

/// A try that took less is nothing to rest after.
const QUICK: Duration = Duration::from_secs(2);

/// Looks until told to end. What goes wrong with a digest does not stop what is sent.
pub async fn run(context: Context, courier: Arc<dyn Courier>, end: CancellationToken) {
    tokio::join!(digests(&context, &end), messages(&context, &courier, &end));
}

/// Makes digests whose window is over.
async fn digests(context: &Context, end: &CancellationToken) {
    while !end.is_cancelled() {
        match digest_tick(context).await {
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
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// A try that ended: which message's, to which channel, how it went.
struct Tried {
    message: MessageId,
    channel: ChannelId,
    took: Duration,
    told: Result<Delivered, StoreError>,
}

/// Hands messages to channels. A try under way is ended with the server: its claim is over soon, and another try sends it.
async fn messages(context: &Context, courier: &Arc<dyn Courier>, end: &CancellationToken) {
    let mut tries = JoinSet::new();
    // Channels that are left out, and until when: those of tries under way, and those that rest.
    let mut left_out: HashMap<ChannelId, Instant> = HashMap::new();
    while !end.is_cancelled() {
        let now = Instant::now();
        left_out.retain(|_, until| *until > now);
        while tries.len() < SENDERS {
            let but: Vec<ChannelId> = left_out.keys().copied().collect();
            match message_lease(context, &but).await {
                Ok(Some(row)) => {
                    left_out.insert(row.outgoing.channel_id, now + CLAIM_TTL);
                    tries.spawn(tried(context.clone(), courier.clone(), row));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(error = %error, "messages could not be looked for");
                    break;
                }
            }
        }
        tokio::select! {
            () = end.cancelled() => {}
            Some(done) = tries.join_next() => {
                let Ok(done) = done else { continue };
                let rests = done.took >= QUICK && !matches!(done.told, Ok(Delivered::Sent));
                match rests {
                    true => left_out.insert(done.channel, Instant::now() + done.took * REST),
                    false => left_out.remove(&done.channel),
                };
                tell(done);
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn tried(context: Context, courier: Arc<dyn Courier>, row: OutboxRow) -> Tried {
    let began = Instant::now();
    let told = message_deliver(&context, &*courier, &row).await;
    Tried { message: row.outgoing.id, channel: row.outgoing.channel_id, took: began.elapsed(), told }
}

/// Logs what became of a message.
fn tell(Tried { message, told, .. }: Tried) {
    match told {
        Ok(Delivered::Sent) => tracing::info!(%message, "a message was sent"),
        Ok(Delivered::Later { error, after }) => {
            tracing::warn!(%message, %error, after_s = after.as_secs(), "a message was not taken; it is tried again");
        }
        Ok(Delivered::GivenUp { channel, error }) => {
            tracing::error!(%message, channel, %error, "a message is given up; `backstay alert list` shows it");
        }
        Err(error) => tracing::warn!(%message, error = %error, "what became of a message could not be written down"),
    }
}
