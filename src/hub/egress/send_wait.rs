//! How long a thread may still wait for sends of other threads.

use crate::hub::egress::outbox::Outbox;
use crate::limits::SEND_WAIT_MS_MAX;
use crate::sync::MonitorGuard;
use core::time::Duration;
use std::time::Instant;

/// The time that a thread may still wait, in all.
pub struct SendWait {
    left: Duration,
}

impl Default for SendWait {
    /// [`SEND_WAIT_MS_MAX`].
    fn default() -> Self {
        Self::at_most(Duration::from_millis(SEND_WAIT_MS_MAX))
    }
}

impl SendWait {
    /// As the default, with another time, for models.
    pub const fn at_most(left: Duration) -> Self {
        Self { left }
    }

    /// Waits while `condition` holds; `true` if the time is over and it still holds.
    pub fn wait_while(
        &mut self,
        outbox: &mut MonitorGuard<'_, Outbox>,
        condition: impl Fn(&Outbox) -> bool,
    ) -> bool {
        let start = Instant::now();
        let timed_out = MonitorGuard::wait_timeout_while(outbox, self.left, |outbox| condition(outbox));
        self.left = self.left.saturating_sub(start.elapsed());
        timed_out
    }
}
