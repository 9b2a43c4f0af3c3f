//! How often a handle looks at a run whose end it cannot hear of, since another process drives it or none does. Pure.

use std::time::Duration;

use crate::model::{Served, State, Timestamp};
use crate::store::RunView;

/// Pause between two looks: the first, growing to the second.
pub(super) const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// What it grows to while the run only waits: that may go on for days, and a program may hold thousands of handles.
const LOOK_AT_WAITING: Duration = Duration::from_secs(4);
/// What it grows to while no live worker serves the run: until the next deploy, say.
const LOOK_AT_UNSERVED: Duration = Duration::from_secs(1);

/// The longest pause before the next look at a run that was seen like this, now.
pub(super) fn longest_pause(view: &RunView, now: Timestamp) -> Duration {
    if view.served != Served::Yes {
        return LOOK_AT_UNSERVED;
    }
    let due_later = view.ready_at.map(|due| due > now + LOOK_AT_WAITING);
    let waits = match view.state {
        State::Waiting | State::Paused => due_later != Some(false),
        State::Ready => due_later == Some(true),
        _ => false,
    };
    if waits { LOOK_AT_WAITING } else { LOOK_AGAIN.1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;

    #[test]
    fn a_run_that_no_worker_serves_is_looked_at_once_a_second() {
        let now = chrono::Utc::now();
        for state in [State::Ready, State::Waiting] {
            let view = RunView {
                served: Served::MissingVersion,
                ready_at: Some(now - Duration::from_secs(60)),
                ..RunView::of(Phase::Forward, state)
            };
            assert_eq!(longest_pause(&view, now), LOOK_AT_UNSERVED, "{state:?}");
        }
    }

    #[test]
    fn only_a_run_that_has_long_to_wait_is_looked_at_rarely() {
        let now = chrono::Utc::now();
        let view = |state, due: Option<Duration>| RunView {
            due_later: due.is_some(),
            ready_at: due.map(|due| now + due),
            ..RunView::of(Phase::Forward, state)
        };
        let hour = Some(Duration::from_secs(3_600));
        for (state, due, longest) in [
            (State::Waiting, None, LOOK_AT_WAITING),
            (State::Waiting, hour, LOOK_AT_WAITING),
            (State::Waiting, Some(Duration::from_secs(1)), LOOK_AGAIN.1),
            (State::Paused, None, LOOK_AT_WAITING),
            (State::Ready, None, LOOK_AGAIN.1),
            (State::Ready, hour, LOOK_AT_WAITING),
            (State::Owned, None, LOOK_AGAIN.1),
        ] {
            assert_eq!(longest_pause(&view(state, due), now), longest, "{state:?} {due:?}");
        }
    }
}
