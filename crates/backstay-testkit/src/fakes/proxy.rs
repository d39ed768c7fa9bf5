//! A plain HTTP proxy before a real server, with harm on order: what networks, gateways and broken servers do.
//!
//! It takes a request whole, sends it on over a connection of its own, takes the answer whole, and harms either. Each
//! client connection carries one exchange. Counts by verb say how often somebody tried.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What an exchange suffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing reaches the server; this status is answered.
    Status(u16),
    /// Nothing reaches the server; this status is answered, with `Retry-After: 0`.
    StatusRetryAfter(u16),
    /// The connection is closed before anything reaches the server.
    Reset,
    /// The answer says its whole length, and its body breaks off in the middle.
    ResetInBody,
    /// The answer has half of its body, and a length that fits.
    ShortBody,
    /// A body, of request or answer, passes at so many bytes a second.
    Slow(u32),
    /// Nothing reaches the server; the answer is that of success.
    LoseWrite,
    /// It is done, and the answer gets lost.
    LoseAnswer,
    /// Nothing comes back, ever.
    Stall,
    /// The answer's body breaks off in the middle, and the connection stays open.
    StallInBody,
    /// A success, with this for a body.
    Body(&'static str),
    /// The answer, with one text in it replaced by another.
    Replace(&'static str, &'static str),
}

#[derive(Debug, Default)]
struct Plan {
    /// Faults by verb and number, counted from 1 over the proxy's life.
    ordered: Vec<(&'static str, std::ops::Range<u64>, Fault)>,
    /// Each so-many-th request suffers the next of these.
    regular: Option<(u64, Vec<Fault>)>,
    counts: BTreeMap<&'static str, u64>,
    total: u64,
    harmed: u64,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    plan: Mutex<Plan>,
    is_over: AtomicBool,
}

/// The proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// Starts one before `endpoint` (`http://host:port`).
    pub fn start(endpoint: &str) -> Self {
        let upstream = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared { upstream, plan: Mutex::default(), is_over: AtomicBool::new(false) });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ours.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&ours);
                std::thread::spawn(move || drop(exchange(client, &shared)));
            }
        });
        Self { address, shared }
    }

    /// Returns the address that clients are given.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the `nth` request of a verb suffer, counted from now: the next one is the first. Verbs are HTTP's, and `LIST`.
    pub fn harm(&self, verb: &'static str, nth: u64, fault: Fault) {
        self.harm_range(verb, nth..nth + 1, fault);
    }

    /// Lets every request of a verb suffer from now on.
    pub fn harm_all(&self, verb: &'static str, fault: Fault) {
        self.harm_range(verb, 1..u64::MAX >> 1, fault);
    }

    fn harm_range(&self, verb: &'static str, nth: std::ops::Range<u64>, fault: Fault) {
        let mut plan = self.plan();
        let before = plan.counts.get(verb).copied().unwrap_or(0);
        plan.ordered.push((verb, before + nth.start..before + nth.end, fault));
    }

    /// Lets each `k`-th request suffer one of these in turn, whatever its verb.
    pub fn harm_regularly(&self, k: u64, faults: Vec<Fault>) {
        self.plan().regular = Some((k, faults));
    }

    /// Ends all harm.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.ordered.clear();
        plan.regular = None;
    }

    /// Returns how many requests of a verb came.
    pub fn count(&self, verb: &'static str) -> u64 {
        self.plan().counts.get(verb).copied().unwrap_or(0)
    }

    /// Returns how many requests suffered.
    pub fn harmed(&self) -> u64 {
        self.plan().harmed
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.shared.plan.lock().expect("no holder panics")
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl Plan {
    /// Counts a request and returns what it suffers.
    fn next(&mut self, verb: &'static str) -> Option<Fault> {
        self.total += 1;
        let count = self.counts.entry(verb).or_default();
        *count += 1;
        let ordered = self.ordered.iter().find(|(of, nth, _)| *of == verb && nth.contains(count));
        let fault = ordered.map(|(_, _, fault)| fault.clone()).or_else(|| {
            let (k, faults) = self.regular.as_ref()?;
            let turn = usize::try_from(self.total / k).unwrap_or(0) % faults.len();
            self.total.is_multiple_of(*k).then(|| faults[turn].clone())
        });
        self.harmed += u64::from(fault.is_some());
        fault
    }
}

/// A message with its head, up to and with the empty line, and its body.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| of(line)).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    fn verb(&self) -> &'static str {
        let line = self.first_line();
        match line.split(' ').next() {
            Some("GET") if line.contains("list-type=2") || line.contains("versions") => "LIST",
            Some("GET") => "GET",
            Some("PUT") => "PUT",
            Some("HEAD") => "HEAD",
            Some("DELETE") => "DELETE",
            Some("POST") => "POST",
            _ => "OTHER",
        }
    }
}

/// Carries one exchange, with its harm.
fn exchange(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let request = Message { head, body: Vec::new() };
    let verb = request.verb();
    let fault = shared.plan.lock().expect("no holder panics").next(verb);
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut request = request;
    if request.header("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = match fault {
        Some(Fault::Slow(rate)) => read_slowly(&mut client, length, rate)?,
        _ => read_exactly(&mut client, length)?,
    };
    let answered = |client: &mut TcpStream, head: &str, body: &[u8]| {
        let more = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        client.write_all(more.as_bytes())?;
        client.write_all(if verb == "HEAD" { b"" } else { body })
    };
    match &fault {
        Some(Fault::Status(status)) => return answered(&mut client, &format!("HTTP/1.1 {status} Harm"), b""),
        Some(Fault::StatusRetryAfter(status)) => {
            return answered(&mut client, &format!("HTTP/1.1 {status} Harm\r\nRetry-After: 0"), b"");
        }
        Some(Fault::LoseWrite) => return answered(&mut client, "HTTP/1.1 200 OK\r\nETag: \"harm\"", b""),
        Some(Fault::Body(body)) => return answered(&mut client, "HTTP/1.1 200 OK", body.as_bytes()),
        Some(Fault::Reset) => return client.shutdown(Shutdown::Both),
        Some(Fault::Stall) => return wait_for_end(&mut client),
        _ => {}
    }
    let answer = forward(&shared.upstream, &request, verb == "HEAD")?;
    let length = answer.header("content-length").unwrap_or("0").to_owned();
    let kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !line.is_empty() && !["content-length", "transfer-encoding", "connection"].contains(&&*name)
    };
    let head: Vec<&str> = answer.head.lines().filter(kept).collect();
    let mut body = answer.body.clone();
    match fault {
        Some(Fault::LoseAnswer) => return client.shutdown(Shutdown::Both),
        Some(Fault::ShortBody) => body.truncate(body.len() / 2),
        Some(Fault::Replace(from, to)) => body = String::from_utf8_lossy(&body).replace(from, to).into_bytes(),
        _ => {}
    }
    let length = if verb == "HEAD" { length } else { body.len().to_string() };
    let head = format!("{}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n", head.join("\r\n"));
    client.write_all(head.as_bytes())?;
    match fault {
        Some(Fault::ResetInBody) => client.write_all(&body[..body.len() / 2]),
        Some(Fault::StallInBody) => {
            client.write_all(&body[..body.len() / 2])?;
            wait_for_end(&mut client)
        }
        Some(Fault::Slow(rate)) => body.chunks(piece(rate)).try_for_each(|piece| {
            std::thread::sleep(Duration::from_millis(50));
            client.write_all(piece)
        }),
        _ => client.write_all(&body),
    }
}

/// Returns the bytes that pass in a twentieth of a second.
fn piece(rate: u32) -> usize {
    usize::try_from(rate / 20).unwrap_or(1).max(1)
}

/// Sends a request on and returns the answer.
fn forward(upstream: &str, request: &Message, is_head: bool) -> io::Result<Message> {
    let mut server = TcpStream::connect(upstream)?;
    let kept = |line: &&str| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:");
    let head: Vec<&str> = request.head.lines().filter(kept).collect();
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", head.join("\r\n")).as_bytes())?;
    server.write_all(&request.body)?;
    let mut head = read_head(&mut server)?;
    while head.starts_with("HTTP/1.1 100") {
        head = read_head(&mut server)?;
    }
    let mut answer = Message { head, body: Vec::new() };
    if is_head || answer.first_line().contains(" 204 ") || answer.first_line().contains(" 304 ") {
        return Ok(answer);
    }
    let length = answer.header("content-length").and_then(|text| text.parse().ok());
    answer.body = match length {
        Some(length) => read_exactly(&mut server, length)?,
        None => {
            let mut body = Vec::new();
            server.read_to_end(&mut body)?;
            if answer.header("transfer-encoding").is_some() { unchunk(&body)? } else { body }
        }
    };
    Ok(answer)
}

fn read_head(from: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn read_exactly(from: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn read_slowly(from: &mut TcpStream, length: usize, rate: u32) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    for piece in body.chunks_mut(piece(rate)) {
        std::thread::sleep(Duration::from_millis(50));
        from.read_exact(piece)?;
    }
    Ok(body)
}

/// Holds the connection until the other side gives up.
fn wait_for_end(client: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while client.read(&mut byte)? > 0 {}
    Ok(())
}

/// Takes a chunked body apart.
fn unchunk(body: &[u8]) -> io::Result<Vec<u8>> {
    let broken = || io::Error::other("a chunk is broken");
    let (mut whole, mut rest) = (Vec::new(), body);
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or_else(broken)?;
        let size = std::str::from_utf8(&rest[..end]).map_err(|_| broken())?;
        let size =
            usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| broken())?;
        if size == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(rest.get(end + 2..end + 2 + size).ok_or_else(broken)?);
        rest = rest.get(end + 4 + size..).ok_or_else(broken)?;
    }
}
