//! The servers that a client may ask: replicas of one control plane, the one that answered last first.

use std::sync::atomic::{AtomicUsize, Ordering};

/// URLs of replicas, and which one is asked next. Clones of a client share it.
#[derive(Debug)]
pub(crate) struct Servers {
    urls: Vec<String>,
    next: AtomicUsize,
}

impl Servers {
    /// Reads URLs with commas between them, each such as `http://127.0.0.1:7400`.
    pub(crate) fn read(text: &str) -> Self {
        let urls = text.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
        let urls: Vec<String> = urls.filter(|url| !url.is_empty()).collect();
        // An empty text stays one URL, which the first call says is none.
        Self { urls: if urls.is_empty() { vec![String::new()] } else { urls }, next: AtomicUsize::new(0) }
    }

    /// Returns how many there are: at least one.
    pub(crate) fn count(&self) -> usize {
        self.urls.len()
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> &[String] {
        &self.urls
    }

    /// Returns the one to ask now, and its place.
    pub(crate) fn current(&self) -> (usize, &str) {
        let place = self.next.load(Ordering::Relaxed) % self.urls.len();
        (place, self.urls.get(place).map_or("", String::as_str))
    }

    /// Turns to the next one, unless somebody else has left this one already: of many calls that fail at once, one turns.
    pub(crate) fn leave(&self, place: usize) {
        let next = (place + 1) % self.urls.len();
        // Whoever came first has turned; then nothing is to be done.
        let _ = self.next.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_asked_in_turn_and_one_that_fails_is_left_once() {
        let servers = Servers::read("http://a/, http://b,,http://c/");
        assert_eq!((servers.count(), servers.current()), (3, (0, "http://a")));
        servers.leave(0);
        servers.leave(0);
        assert_eq!(servers.current(), (1, "http://b"), "two calls that failed at once left one server");
        servers.leave(1);
        servers.leave(2);
        assert_eq!(servers.current(), (0, "http://a"));
        assert_eq!(Servers::read("").current(), (0, ""));
    }
}
