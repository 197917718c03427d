//! Limits how fast viewers can try tokens: one token is checked at a time, and none for [`WRONG_TOKEN_MS`] after a
//! wrong one.
//!
//! The delay belongs to the gate, not to the answer: the server drops the future of a request when its client hangs
//! up, so a delay in that future would not slow down a client that does not wait for the answer.

use crate::limits::{LOGIN_WAIT_MS_MAX, WRONG_TOKEN_MS};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// The gate. Its value is the time of the next check.
pub struct LoginGate(Mutex<Instant>);

/// Too many tokens wait for their check.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl LoginGate {
    /// A gate that lets the first token through at once.
    pub fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Checks a token when it is its turn. The result of a wrong one comes [`WRONG_TOKEN_MS`] later.
    ///
    /// # Errors
    /// If its turn does not come within [`LOGIN_WAIT_MS_MAX`].
    pub async fn check(&self, is_right: impl FnOnce() -> bool) -> Result<bool, Busy> {
        let turn = async {
            let next_check = self.0.lock().await;
            if Instant::now() < *next_check {
                sleep_until(*next_check).await;
            }
            next_check
        };
        let mut next_check =
            timeout(Duration::from_millis(LOGIN_WAIT_MS_MAX), turn).await.map_err(|_| Busy)?;
        if is_right() {
            return Ok(true);
        }
        // Before the next await, where this future may end.
        *next_check = Instant::now() + Duration::from_millis(WRONG_TOKEN_MS);
        let answer_at = *next_check;
        drop(next_check);
        sleep_until(answer_at).await;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_client_that_hangs_up_after_a_wrong_token_has_delayed_the_next_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let gate = LoginGate::new();
        let mut wrong_tokens = 0;
        {
            let mut given_up = pin!(gate.check(|| {
                wrong_tokens += 1;
                false
            }));
            assert_eq!(poll_once(given_up.as_mut()), Poll::Pending);
        }
        assert_eq!(wrong_tokens, 1, "it was checked before the client hung up");
        let mut is_checked = false;
        {
            let mut next = pin!(gate.check(|| {
                is_checked = true;
                true
            }));
            assert_eq!(poll_once(next.as_mut()), Poll::Pending);
        }
        assert!(!is_checked);
        assert_eq!(runtime.block_on(gate.check(|| true)), Ok(true));
    }

    #[test]
    fn a_right_token_passes_at_once_and_delays_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let gate = LoginGate::new();
        for _ in 0..3 {
            assert_eq!(poll_once(pin!(gate.check(|| true))), Poll::Ready(Ok(true)));
        }
    }
}
