//! A wire between the adapter and its server that a test can cut: at once, or when a certain statement passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Everything passes.
    Whole,
    /// Nothing passes, and whatever was open is cut.
    Cut,
    /// A connection is cut when it sends this text, before the server hears of it.
    CutBefore(&'static str),
    /// A connection is cut when it sends this text, after the server has done it and before its answer is heard.
    CutAfter(&'static str),
}

/// The wire.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    wire: watch::Sender<Wire>,
    cuts: Arc<AtomicUsize>,
    listens: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (wire, seen) = watch::channel(Wire::Whole);
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = cuts.clone();
        let listens = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *seen.borrow() != Wire::Cut {
                    tokio::spawn(carry(near, port, seen.clone(), count.clone()));
                }
            }
        });
        Self { port: here, wire, cuts, listens }
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// Returns how many connections were cut at their text.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

async fn carry(mut near: TcpStream, port: u16, mut wire: watch::Receiver<Wire>, cuts: Arc<AtomicUsize>) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut out, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let now = *wire.borrow_and_update();
        if now == Wire::Cut {
            return;
        }
        tokio::select! {
            _ = wire.changed() => {}
            read = near.read(&mut out) => {
                let Some(sent) = read.ok().filter(|count| *count > 0).map(|count| &out[..count]) else { return };
                let has = |text: &str| sent.windows(text.len()).any(|window| window == text.as_bytes());
                match now {
                    Wire::CutBefore(text) if has(text) => {
                        cuts.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    Wire::CutAfter(text) if has(text) => {
                        far.write_all(sent).await.unwrap();
                        assert!(far.read(&mut back).await.unwrap() > 0, "the server answers");
                        cuts.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    _ => if far.write_all(sent).await.is_err() { return },
                }
            }
            read = far.read(&mut back) => {
                let Some(heard) = read.ok().filter(|count| *count > 0).map(|count| &back[..count]) else { return };
                if near.write_all(heard).await.is_err() { return }
            }
        }
    }
}
