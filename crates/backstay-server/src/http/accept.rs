//! Connections: how many there are at once, how many of them one address may have, and how long they may be silent.
//!
//! Each is a task of its own, from its handshake to its end. Where there is no room left, those who come wait in the
//! system's queue; one address alone never takes all of the room. Whoever sends no whole head of a request, or takes no
//! byte of an answer, for a while is let go. How long a request may take once its head is there is not said here
//! (`router`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

/// Longest handshake: two ways around the world on a bad line, and a certificate's chain.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How much connections take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once.
    connections_max: usize,
    /// Those of one address. This machine's own are not counted: a proxy before the server has one address for everybody.
    of_address_max: usize,
    /// Longest that a connection may be without a whole head of a request: idle between two of them, or slow.
    head_time_max: Duration,
    /// Longest that nothing of an answer may be taken.
    write_time_max: Duration,
}

impl Limits {
    /// Returns those of a process that may have so many files open: at most half of them are for those who come to one door,
    /// the others for databases and repositories.
    pub(super) fn of_process() -> Self {
        let files = files_max();
        let connections_max = usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(32, 4096);
        Self {
            connections_max,
            of_address_max: connections_max / 4,
            // Longer than clients of ours keep a connection that they do not use.
            head_time_max: Duration::from_secs(75),
            write_time_max: Duration::from_secs(60),
        }
    }
}

/// Most open files that are asked of the system.
const FILES_MAX: u64 = 65_536;

/// Has the process open as many files as the system lets it, and returns how many these are: the usual limit of 1,024 is one
/// for programs of another kind, and whoever is asked may go up to the hard one.
fn files_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let wanted = hard.min(FILES_MAX);
    if soft >= wanted {
        return soft;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

/// Answers until told to end; then what is under way is answered first.
pub(super) async fn answer(
    mut listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    end: CancellationToken,
) {
    let (room, visitors) = (Arc::new(Semaphore::new(limits.connections_max)), Visitors::default());
    let (connections, mut refusals) = (TaskTracker::new(), Refusals::default());
    loop {
        let next = async {
            let place = room.clone().acquire_owned().await.expect("it is never closed");
            (place, Listener::accept(&mut listener).await)
        };
        let (place, (stream, address)) = tokio::select! {
            biased;
            () = end.cancelled() => break,
            next = next => next,
        };
        let Some(visit) = visitors.let_in(address.ip(), limits.of_address_max) else {
            if refusals.is_to_be_told() {
                let most = limits.of_address_max;
                tracing::warn!(%address, most, "connections of one address are refused: it has as many as it may have");
            }
            continue;
        };
        let (tls, router, end) = (tls.clone(), router.clone(), end.clone());
        connections.spawn(async move {
            let _held = (place, visit);
            speak(stream, address, tls, router, limits, &end).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Speaks with one who came, over TLS where that is spoken.
async fn speak(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    end: &CancellationToken,
) {
    // Events are small, and late when they wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "small answers may wait");
    }
    let Some(tls) = tls else { return requests(stream, address, router, limits, end).await };
    let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream));
    let done = tokio::select! {
        biased;
        () = end.cancelled() => return,
        done = handshake => done,
    };
    match done {
        Ok(Ok(stream)) => requests(stream, address, router, limits, end).await,
        // Anybody's broken hello: nothing that an operator can mend.
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

/// Answers the requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    end: &CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        // A router is always ready.
        router.clone().call(request)
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_time_max));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection broke");
    }
}

/// How often refusals are told at the most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// When a refusal was told last.
#[derive(Debug, Default)]
struct Refusals(Option<Instant>);

impl Refusals {
    fn is_to_be_told(&mut self) -> bool {
        let is_due = self.0.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// How many connections each address has. Clones share it.
#[derive(Debug, Clone, Default)]
struct Visitors(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that is counted until this is dropped; this machine's own are not.
#[derive(Debug)]
struct Visit(Option<(Visitors, IpAddr)>);

impl Visitors {
    /// Counts one more of an address, unless it has as many as it may have.
    fn let_in(&self, address: IpAddr, count_max: usize) -> Option<Visit> {
        let address = whose(address);
        if address.is_loopback() {
            return Some(Visit(None));
        }
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= count_max {
            return None;
        }
        *count += 1;
        Some(Visit(Some((self.clone(), address))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().expect("nobody panics while counting")
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((visitors, address)) = &self.0 else { return };
        let mut counts = visitors.lock();
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

/// Returns whom an address belongs to: of IPv6, one customer has a whole network of 64 bits.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    fn limits() -> Limits {
        Limits { connections_max: 2, of_address_max: 1, head_time_max: SHORT, write_time_max: SHORT }
    }

    async fn begin(limits: Limits) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, end) = (listener.local_addr().unwrap(), CancellationToken::new());
        let piece = Ok::<_, std::convert::Infallible>(vec![7_u8; 4096]);
        let endless = || async { Body::from_stream(futures::stream::repeat(piece)) };
        let router = Router::new()
            .route("/", get(|ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.ip().to_string() }))
            .route("/endless", get(endless));
        (address, end.clone(), tokio::spawn(answer(listener, None, router, limits, end)))
    }

    /// Returns what is answered until the connection ends.
    async fn heard(stream: &mut TcpStream) -> String {
        let mut heard = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await;
        let _ = read.expect("the other side lets go");
        String::from_utf8_lossy(&heard).into_owned()
    }

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Red when a silent or a slow one is kept, or one that asks again in time is let go.
    #[tokio::test]
    async fn whoever_is_silent_is_let_go_and_makes_room() {
        let (address, end, task) = begin(limits()).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // Both places are taken: this one waits for one of them.
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(ASKED).await.unwrap();
        let mut first = [0; 12];
        third.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        assert!(heard(&mut third).await.ends_with("127.0.0.1"), "it is told who came, and let go when it asks no more");
        assert_eq!(heard(&mut silent).await, "");
        assert!(!heard(&mut slow).await.contains("200"));
        end.cancel();
        task.await.unwrap();
    }

    /// Red when one who takes nothing of an answer keeps its place.
    #[tokio::test]
    async fn whoever_takes_nothing_is_let_go() {
        let (address, end, task) = begin(Limits { connections_max: 1, ..limits() }).await;
        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(ASKED).await.unwrap();
        assert!(heard(&mut next).await.contains("200 OK"));
        drop(deaf);
        end.cancel();
        task.await.unwrap();
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let visitors = Visitors::default();
        let of = |text: &str| visitors.let_in(text.parse().unwrap(), 1);
        let here = of("192.0.2.1").expect("the first");
        assert!(of("192.0.2.1").is_none() && of("::ffff:192.0.2.1").is_none());
        let _other = of("192.0.2.2").expect("another address");
        let _net = of("2001:db8::1").expect("another network");
        assert!(of("2001:db8::ffff:2").is_none(), "the same network of 64 bits");
        assert!(of("2001:db8:0:1::1").is_some());
        let own: Vec<Visit> = ["127.0.0.1", "127.0.0.1", "::1", "::1"].map(of).into_iter().flatten().collect();
        assert_eq!(own.len(), 4, "this machine's own are not counted");
        drop(here);
        assert!(of("192.0.2.1").is_some());
        assert_eq!(visitors.lock().len(), 2);
    }
}
