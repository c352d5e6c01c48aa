//! What takes long and would hold up an event loop. Closing: before the kernel lets go of a packet socket it waits until every
//! processor has come by, ten milliseconds and more. Working: loading a library takes seconds on a busy machine.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// Enough for a destructor.
const STACK: usize = 64 << 10;

/// Enough for the loader, and for a library that reads its own configuration.
const DEEP_STACK: usize = 1 << 20;

/// Drops this on a thread of its own, or here if there can be none. The process does not end before that is done.
pub fn drop_aside<T: Send + 'static>(value: T) {
    // The closure owns the value: refused, it is dropped with it.
    let _ = thread::Builder::new().stack_size(STACK).spawn(move || drop(value));
}

/// Does this on a thread of its own while the event loop goes on, or here if there can be none. `None` only if it panicked.
pub async fn work_aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let work = Arc::new(Mutex::new(Some(work)));
    let its = Arc::clone(&work);
    let thread = thread::Builder::new().stack_size(DEEP_STACK).spawn(move || {
        let work = its.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            // Perhaps nobody waits any more.
            let _ = done.send(work());
        }
    });
    if thread.is_ok() {
        return result.await.ok();
    }
    let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    work.map(|work| work())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    struct Tells(mpsc::Sender<thread::ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn what_is_dropped_aside_keeps_nobody_waiting() {
        let (sender, receiver) = mpsc::channel();
        drop_aside(Tells(sender));
        let by = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(by, thread::current().id());
    }

    #[tokio::test]
    async fn what_is_worked_on_aside_keeps_nobody_waiting() {
        let (go, gone) = mpsc::channel::<()>();
        let work = work_aside(move || gone.recv_timeout(Duration::from_secs(10)).is_ok());
        let (answer, ()) = tokio::join!(work, async { go.send(()).unwrap() });
        assert_eq!(answer, Some(true));
    }
}
