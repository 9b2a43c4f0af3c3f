//! Cuts what a turn has staged into pieces that a database takes. Pure.
//!
//! A piece is one commit, and pieces are committed in order. So after a crash between two of them the journal is as it would be if the
//! run had come no further: calls that have no entry yet are made again. What must be written together is never cut.

use crate::engine::writer::Staged;

/// Cuts the staged entries into pieces of at most `bytes_max` payload bytes, in order. One group of entries that belong together and is
/// larger by itself is a piece of its own. No entries are one empty piece.
pub(super) fn cut(staged: Vec<Staged>, bytes_max: usize) -> Vec<Vec<Staged>> {
    // Nearly every flush is one piece.
    if staged.iter().map(Staged::bytes).sum::<usize>() <= bytes_max {
        return vec![staged];
    }
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0);
    for group in groups(staged) {
        let more = group.iter().map(Staged::bytes).sum::<usize>();
        if bytes + more > bytes_max && pieces.last().is_some_and(|piece: &Vec<Staged>| !piece.is_empty()) {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        pieces.last_mut().expect("there is always one").extend(group);
    }
    pieces
}

/// Entries that belong together, in order.
pub fn groups(staged: Vec<Staged>) -> Vec<Vec<Staged>> {
    let mut groups: Vec<Vec<Staged>> = Vec::new();
    for staged in staged {
        match groups.last_mut().filter(|_| staged.joined) {
            Some(group) => group.push(staged),
            None => groups.push(vec![staged]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::writer::Along;
    use crate::journal::{Entry, EntryKind, EntryState};
    use crate::model::time::from_micros;
    use crate::model::{CallId, Payload};

    fn staged(n: u32, bytes: usize, joined: bool) -> Staged {
        let mut entry = Entry::new(CallId::new("step:copy", n), EntryKind::Step, EntryState::Completed, from_micros(1));
        entry.output = Some(Payload::from_json_text("0".repeat(bytes)));
        Staged { generation: 0, entry, fresh: true, joined, along: Along::default() }
    }

    fn cut_at(bytes_max: usize, staged: Vec<Staged>) -> Vec<Vec<u32>> {
        let numbers = |piece: Vec<Staged>| piece.iter().map(|staged| staged.entry.call.n).collect();
        cut(staged, bytes_max).into_iter().map(numbers).collect()
    }

    #[test]
    fn pieces_are_in_order_and_hold_as_much_as_they_may() {
        let all = || (0..5).map(|n| staged(n, 1_000, false)).collect();
        assert_eq!(cut_at(2_000, all()), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(cut_at(5_000, all()), [vec![0, 1, 2, 3, 4]]);
        assert_eq!(cut_at(500, all()), [[0], [1], [2], [3], [4]], "one that is larger by itself is a piece");
        assert_eq!(cut_at(500, Vec::new()), [Vec::<u32>::new()], "an image may come without entries");
    }

    #[test]
    fn what_belongs_together_is_not_cut() {
        let all = vec![staged(0, 1_500, false), staged(1, 400, false), staged(2, 400, true), staged(3, 400, true)];
        assert_eq!(cut_at(2_000, all), [vec![0], vec![1, 2, 3]]);
        let large = vec![staged(0, 1_500, false), staged(1, 1_500, true), staged(2, 100, false)];
        assert_eq!(cut_at(2_000, large), [vec![0, 1], vec![2]]);
    }
}
