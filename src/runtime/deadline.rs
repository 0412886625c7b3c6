//! Until when a wait may last: seconds become a moment here, once.

use crate::sched::Moment;
use crate::sys::clock;

/// Until when a wait may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deadline {
    /// For ever.
    Never,
    /// Until then.
    At(Moment),
    /// No longer than it takes the other ready tasks to have one turn.
    Now,
}

impl Deadline {
    /// The deadline that lies so many seconds ahead; `None` is never, as is what no clock lives to see, and what is not
    /// positive is now.
    pub(crate) fn after(seconds: Option<f64>) -> Deadline {
        match seconds.map(nanoseconds) {
            None | Some(u64::MAX) => Deadline::Never,
            Some(0) => Deadline::Now,
            Some(nanoseconds) => Deadline::At(now().after(nanoseconds)),
        }
    }

    /// The deadline at a point of `coev.now`'s clock.
    pub(crate) fn at(seconds: f64) -> Deadline {
        match moment(seconds) {
            Moment(u64::MAX) => Deadline::Never,
            moment if moment <= now() => Deadline::Now,
            moment => Deadline::At(moment),
        }
    }
}

/// The moment that it is.
pub(crate) fn now() -> Moment {
    Moment(clock::now())
}

/// The moment that it is, in seconds.
pub(crate) fn now_seconds() -> f64 {
    seconds(now())
}

/// A moment in seconds, as `coev.now` says it.
pub(super) fn seconds(moment: Moment) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float holds a century of nanoseconds to a microsecond"
    )]
    return moment.0 as f64 / 1e9;
}

/// The moment of so many seconds; 584 years and more are all the same.
pub(super) fn moment(seconds: f64) -> Moment {
    Moment(nanoseconds(seconds))
}

/// Seconds as nanoseconds, rounded up so that no wait is too short; 584 years and more are all the same.
fn nanoseconds(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is meant"
    )]
    return (seconds * 1e9).ceil() as u64;
}
