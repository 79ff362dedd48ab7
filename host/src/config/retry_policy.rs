//! When a request is sent again, and what of it is kept for that.

use std::time::Duration;

/// A status is one bit of so many from 400 on.
const STATUSES: u16 = 200;

/// When a request is sent again, to whom, and what of it is kept for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `attempts`: how often a request is sent in all. Default 5.
    pub attempts: u32,
    /// `on`: which failures lead to another attempt.
    pub on: RetryOn,
    /// `try-timeout`: how long one attempt may take until its response head; `None` = as
    /// `[timeouts]` says.
    pub try_timeout: Option<Duration>,
    /// `back-off`: the longest pause before the second attempt at the same backend; doubled with
    /// each. Default 25 ms.
    pub back_off: Duration,
    /// What doubling ends at. Default ten times `back_off`.
    pub back_off_most: Duration,
    /// `budget`: how many attempts that repeat work may be under way.
    pub budget: RetryBudget,
    /// `retry-buffer`: how many bytes of a body are kept. Default 64 KiB.
    pub buffer: usize,
    /// `request-buffering`: how much of a body is read before a backend is chosen; 0 = none.
    pub buffering: usize,
    /// `hedge`: when a second backend is asked beside the first; `None` = never.
    pub hedge: Option<HedgeAfter>,
}

/// The failures after which another attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection: refused, unreachable, or not in time.
    pub connect: bool,
    /// The connection or stream ended before the answer.
    pub reset: bool,
    /// The backend said that it did not process the request.
    pub refused: bool,
    /// No answer in time.
    pub timeout: bool,
    /// Statuses from 400 to 599, one bit each.
    statuses: [u64; STATUSES as usize / 64 + 1],
    /// Codes of gRPC, one bit each.
    grpc: u32,
}

/// How many attempts that repeat work one worker may have under way for one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// `share` of the requests under way, in thousandths. Default 200.
    pub thousandths: u32,
    /// `least`: so many at once may be in any case. Default 3.
    pub least: u32,
}

/// When a second backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After so long without a response head.
    Time(Duration),
    /// After the time in which this percentage of the pool's responses began.
    Percentile(u8),
}

impl RetryPolicy {
    /// So many attempts to connect. A request that was sent is not sent again.
    pub fn until_connected(attempts: u32) -> Self {
        let on = RetryOn {
            connect: true,
            ..RetryOn::nothing()
        };
        Self {
            attempts,
            on,
            ..Self::default()
        }
    }

    /// Which status leads to another attempt.
    #[inline]
    pub fn repeats_status(&self, status: u16) -> bool {
        status >= 400 && self.on.has_status(status)
    }

    /// Which code of gRPC does.
    pub fn repeats_grpc(&self, code: &[u8]) -> bool {
        let code = std::str::from_utf8(code).ok();
        let code = code.and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| code < 32 && self.on.grpc >> code & 1 == 1)
    }

    /// Whether any code of gRPC does.
    #[inline]
    pub fn looks_at_grpc(&self) -> bool {
        self.on.grpc != 0
    }

    /// How many bytes of a body may be held.
    pub fn most_held(&self) -> usize {
        self.buffer.max(self.buffering)
    }
}

impl RetryOn {
    pub(super) fn nothing() -> Self {
        Self {
            connect: false,
            reset: false,
            refused: false,
            timeout: false,
            statuses: Default::default(),
            grpc: 0,
        }
    }

    /// Whether any of it repeats what a backend may have done already.
    pub(super) fn repeats_work(&self) -> bool {
        let has_status = self.statuses.iter().any(|bits| *bits != 0);
        self.reset || self.timeout || has_status || self.grpc != 0
    }

    fn has_status(&self, status: u16) -> bool {
        let at = usize::from(status.wrapping_sub(400));
        let bits = self.statuses.get(at / 64);
        bits.is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    pub(super) fn add_code(&mut self, code: u32) {
        self.grpc |= 1 << code;
    }

    pub(super) fn add_status(&mut self, status: u16) {
        let at = usize::from(status - 400);
        self.statuses[at / 64] |= 1 << (at % 64);
    }
}

impl Default for RetryOn {
    /// What repeats no work, or only work that the method allows to be done twice. A 502 or a 504
    /// is the answer of a proxy behind this one, which has tried others itself.
    fn default() -> Self {
        let mut on = Self {
            connect: true,
            reset: true,
            refused: true,
            timeout: true,
            ..Self::nothing()
        };
        on.add_status(503);
        on
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            on: RetryOn::default(),
            try_timeout: None,
            back_off: Duration::from_millis(25),
            back_off_most: Duration::from_millis(250),
            budget: RetryBudget {
                thousandths: 200,
                least: 3,
            },
            buffer: 64 * 1024,
            buffering: 0,
            hedge: None,
        }
    }
}
