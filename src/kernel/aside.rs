//! Closing what takes the kernel long: before it lets go of a packet socket it waits until every processor has come by, ten
//! milliseconds and more.

use std::thread;

/// Enough for a destructor.
const STACK: usize = 64 << 10;

/// Drops this on a thread of its own, or here if there can be none. The process does not end before that is done.
pub fn drop_aside<T: Send + 'static>(value: T) {
    // The closure owns the value: refused, it is dropped with it.
    let _ = thread::Builder::new().stack_size(STACK).spawn(move || drop(value));
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
}
