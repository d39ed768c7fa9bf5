//! The runtime that storages over the network do their work on.
//!
//! The engine's threads wait with `futures::executor::block_on` and know no runtime; HTTP needs one. It is made when the
//! first storage asks for it and is shared by all of the process. A call is a task on it: whoever drops the call's future
//! ends the task at its next await, and with it the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Threads of the runtime: they wait for sockets, encrypt TLS and copy bytes; two fill a fast network.
const THREADS: usize = 2;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let builder = Builder::new_multi_thread().worker_threads(THREADS).thread_name("storage").enable_all().build();
    builder.expect("a process that cannot start two threads cannot do anything else")
});

/// A call that goes on beside the one who waits for it.
#[derive(Debug)]
pub(crate) struct Call<T>(JoinHandle<T>);

/// Starts a call.
pub(crate) fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Call<T> {
    Call(RUNTIME.spawn(work))
}

impl<T> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready(answer),
            // A task ends without an answer only when it panicked: nobody else can abort it.
            Poll::Ready(Err(ended)) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Flag(Arc<AtomicBool>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_call_answers_without_a_runtime_around_it() {
        assert_eq!(futures::executor::block_on(start(async { 7 })), 7);
    }

    #[test]
    fn a_call_that_is_dropped_ends() {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Flag(Arc::clone(&ended));
        let call = start(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        drop(call);
        // The runtime drops the task's future in its own time; a test that never ends is the failure.
        while !ended.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}
