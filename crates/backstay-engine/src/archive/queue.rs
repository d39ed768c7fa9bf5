//! One stack of work for all workers. Last in, first out: a folder is finished before its neighbour is begun, so few
//! folders are open at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

/// A stack that knows when nothing is left and nobody can add more.
#[derive(Debug)]
pub(super) struct Queue<T> {
    stack: Mutex<Vec<T>>,
    changed: Condvar,
    /// Tasks on the stack and in the hands of workers.
    unfinished: AtomicUsize,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { stack: Mutex::new(Vec::new()), changed: Condvar::new(), unfinished: AtomicUsize::new(0) }
    }

    /// Adds tasks; the last is taken first.
    pub(super) fn push(&self, tasks: impl IntoIterator<Item = T>) {
        let mut stack = self.stack.lock().expect("no holder panics");
        let before = stack.len();
        stack.extend(tasks);
        let added = stack.len() - before;
        self.unfinished.fetch_add(added, Ordering::SeqCst);
        drop(stack);
        match added {
            0 => {}
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
    }

    /// Hands tasks to `work` until none is left anywhere. A task that `work` adds counts before its own is done.
    pub(super) fn drain(&self, mut work: impl FnMut(T)) {
        while let Some(task) = self.pop() {
            work(task);
            if self.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 {
                // Taking the lock orders this with a worker that is about to wait.
                drop(self.stack.lock().expect("no holder panics"));
                self.changed.notify_all();
            }
        }
    }

    /// Returns the next task, and waits while others may still add one.
    fn pop(&self) -> Option<T> {
        let mut stack = self.stack.lock().expect("no holder panics");
        loop {
            if let Some(task) = stack.pop() {
                return Some(task);
            }
            if self.unfinished.load(Ordering::SeqCst) == 0 {
                return None;
            }
            stack = self.changed.wait(stack).expect("no holder panics");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_make_tasks_are_all_done_before_the_workers_leave() {
        let (queue, done) = (Queue::new(), AtomicUsize::new(0));
        queue.push([10u32]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    queue.drain(|depth| {
                        done.fetch_add(1, Ordering::SeqCst);
                        queue.push((0..2).filter(|_| depth > 0).map(|_| depth - 1));
                    });
                });
            }
        });
        assert_eq!(done.into_inner(), 2_047);
    }
}
