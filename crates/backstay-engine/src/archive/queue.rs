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

    /// Returns how many tasks wait for a worker.
    pub(super) fn len(&self) -> usize {
        self.stack.lock().expect("no holder panics").len()
    }

    /// Does the last task that is `wanted`; false when none is there. It does not wait.
    pub(super) fn do_one(&self, wanted: impl Fn(&T) -> bool, work: impl FnOnce(T)) -> bool {
        let task = {
            let mut stack = self.stack.lock().expect("no holder panics");
            stack.iter().rposition(wanted).map(|place| stack.remove(place))
        };
        let Some(task) = task else { return false };
        let _done = TaskDone(self);
        work(task);
        true
    }

    /// Hands tasks to `work` until none is left anywhere. A task that `work` adds counts before its own is done.
    pub(super) fn drain(&self, mut work: impl FnMut(T)) {
        while let Some(task) = self.pop() {
            let _done = TaskDone(self);
            work(task);
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

/// Says at its end that a task is done: also when its worker panics, or the others would wait for it for ever.
struct TaskDone<'a, T>(&'a Queue<T>);

impl<T> Drop for TaskDone<'_, T> {
    fn drop(&mut self) {
        if self.0.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Taking the lock orders this with a worker that is about to wait.
            drop(self.0.stack.lock().expect("no holder panics"));
            self.0.changed.notify_all();
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

    #[test]
    fn a_worker_that_panics_does_not_keep_the_others() {
        let queue = Queue::new();
        queue.push(0..10u32);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.drain(|task| assert_ne!(task, 5)))).collect();
            let panicked = workers.into_iter().map(|worker| worker.join()).filter(Result::is_err).count();
            assert_eq!(panicked, 1);
        });
    }
}
