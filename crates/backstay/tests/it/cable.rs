//! A cable between a program and a server on this machine, which a test can pull out and put back.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shared {
    is_out: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// The cable; it is there as long as the test.
pub(crate) struct Cable {
    /// Where the program finds the server.
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Cable {
    /// Lays a cable to a port of this machine.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten().filter(|_| !ours.is_out.load(Ordering::SeqCst)) {
                // A server that is not there is no answer either.
                drop(join(&near, server, &ours));
            }
        });
        Self { port, shared }
    }

    /// Pulls it out: what was open is cut, and nothing new is let through.
    pub(crate) fn pull(&self) {
        self.shared.is_out.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // One that has ended already is as cut as it can be.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Puts it back.
    pub(crate) fn plug(&self) {
        self.shared.is_out.store(false, Ordering::SeqCst);
    }
}

/// Carries bytes both ways, each by a thread of its own.
fn join(near: &TcpStream, server: u16, shared: &Shared) -> io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", server))?;
    shared.open.lock().unwrap().extend([near.try_clone()?, far.try_clone()?]);
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near.try_clone()?)] {
        std::thread::spawn(move || carry(from, to));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
