//! Statements over many rows, in few shapes.
//!
//! sqlx sends each statement to the connection's own thread and back, which costs more than the row it writes; so rows
//! travel together. A statement of its own for every number of rows would never be found in the cache of prepared
//! statements; so a list is cut into pieces of 64, 16, 4 and 1 rows.

/// Rows per statement, largest first.
const SIZES: [usize; 4] = [64, 16, 4, 1];
/// Rows of the largest statement.
pub(super) const LARGEST: usize = SIZES[0];

/// One statement in all its shapes.
#[derive(Debug)]
pub(super) struct Shapes([String; SIZES.len()]);

impl Shapes {
    /// `template` holds `{rows}` where the rows go, and opens with comments that are not sent.
    pub(super) fn new(template: &str, columns: usize) -> Self {
        let statement: Vec<_> = template.lines().filter(|line| !line.starts_with("--")).map(str::trim).collect();
        let statement = statement.join(" ");
        assert!(statement.contains("{rows}"), "a statement over many rows says where they go");
        let row = format!("({})", vec!["?"; columns].join(","));
        Self(SIZES.map(|size| statement.replace("{rows}", &vec![row.as_str(); size].join(","))))
    }

    /// Cuts `rows` into pieces that have a shape, each with its statement.
    pub(super) fn cut<'r, T>(&'static self, mut rows: &'r [T]) -> impl Iterator<Item = (&'static str, &'r [T])> {
        std::iter::from_fn(move || {
            let shape = SIZES.iter().position(|size| *size <= rows.len())?;
            let (piece, rest) = rows.split_at(SIZES[shape]);
            rows = rest;
            Some((self.0[shape].as_str(), piece))
        })
    }

    /// The same in as few pieces as can be, each with how many rows its statement has in all. The caller fills those that are missing with
    /// rows of NULL, so this is for statements that pass over them.
    pub(super) fn cut_filled<'r, T>(
        &'static self,
        rows: &'r [T],
    ) -> impl Iterator<Item = (&'static str, &'r [T], usize)> {
        rows.chunks(LARGEST).map(|piece| {
            let shape = SIZES.iter().rposition(|size| *size >= piece.len()).unwrap_or_default();
            (self.0[shape].as_str(), piece, SIZES[shape])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_piece() {
        static SHAPES: std::sync::LazyLock<Shapes> = std::sync::LazyLock::new(|| Shapes::new("-- x\nA {rows} B", 2));
        for count in 0..200 {
            let rows: Vec<_> = (0..count).collect();
            let mut found = Vec::new();
            for (statement, piece) in SHAPES.cut(&rows) {
                assert_eq!(statement.matches('?').count(), 2 * piece.len());
                assert!(statement.starts_with("A (?,?)") && statement.ends_with(" B"));
                found.extend_from_slice(piece);
            }
            assert_eq!(found, rows);
            let mut filled = Vec::new();
            for (statement, piece, all) in SHAPES.cut_filled(&rows) {
                assert_eq!(statement.matches('?').count(), 2 * all);
                assert!(piece.len() <= all && all < 4 * piece.len().max(2));
                filled.extend_from_slice(piece);
            }
            assert_eq!(filled, rows);
            assert_eq!(SHAPES.cut_filled(&rows).count(), rows.len().div_ceil(LARGEST));
        }
    }
}
