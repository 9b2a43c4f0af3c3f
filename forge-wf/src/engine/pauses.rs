//! Pauses that grow while something does not come about. Pure.

use std::time::Duration;

/// Pauses of which each is twice as long as the one before, up to a bound.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Pauses {
    /// The first pause, and the longest.
    pub fn new((first, most): (Duration, Duration)) -> Self {
        Self { first, most, next: first }
    }

    /// How long to pause now.
    pub fn take(&mut self) -> Duration {
        self.take_up_to(self.most)
    }

    /// The same, by another bound than its own.
    pub fn take_up_to(&mut self, most: Duration) -> Duration {
        let pause = self.next.min(most);
        self.next = (pause * 2).min(most);
        pause
    }

    /// The next pause is no longer than this.
    pub fn shorten_to(&mut self, most: Duration) {
        self.next = self.next.min(most);
    }

    /// It came about: the next pause is the first again.
    pub fn start_again(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pauses: &mut Pauses, count: usize) -> Vec<u128> {
        (0..count).map(|_| pauses.take().as_millis()).collect()
    }

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_the_bound_until_it_starts_again() {
        let mut pauses = Pauses::new((Duration::from_millis(2), Duration::from_millis(250)));
        assert_eq!(millis(&mut pauses, 9), [2, 4, 8, 16, 32, 64, 128, 250, 250]);
        pauses.start_again();
        assert_eq!(millis(&mut pauses, 3), [2, 4, 8]);
    }

    #[test]
    fn a_lower_bound_makes_long_pauses_short_again() {
        let mut pauses = Pauses::new((Duration::from_millis(100), Duration::from_millis(400)));
        assert_eq!(millis(&mut pauses, 4), [100, 200, 400, 400]);
        assert_eq!(pauses.take_up_to(Duration::from_millis(150)).as_millis(), 150);
        assert_eq!(millis(&mut pauses, 3), [150, 300, 400]);
        pauses.shorten_to(Duration::from_millis(50));
        assert_eq!(millis(&mut pauses, 2), [50, 100]);
    }
}
