//! Contract hashes, computed while compiling.
//!
//! Takes names, types as text and other digests; hands on 128 bits. Frozen: databases hold its results, together
//! with [`ALGORITHM`], and compare them within one algorithm only.

use xxhash_rust::const_xxh3::xxh3_128;

use crate::model::Digest;

/// Number of the algorithm below; a better one gets the next number.
pub const ALGORITHM: i16 = 1;

/// The digest of a text.
pub const fn text(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// The digest of a sequence of digests; their order counts.
pub const fn sequence(parts: &[u128]) -> u128 {
    let mut state = parts.len() as u128;
    let mut at = 0;
    while at < parts.len() {
        state = pair(state, parts[at]);
        at += 1;
    }
    state
}

/// The digest of a set of digests: neither their order nor repetition counts.
pub const fn set<const N: usize>(mut parts: [u128; N]) -> u128 {
    // Insertion sort: const functions have no `sort`, and a workflow calls tens of steps, not thousands.
    let mut at = 1;
    while at < N {
        let mut back = at;
        while back > 0 && parts[back - 1] > parts[back] {
            let swap = parts[back];
            parts[back] = parts[back - 1];
            parts[back - 1] = swap;
            back -= 1;
        }
        at += 1;
    }
    let mut state = 0;
    let mut at = 0;
    while at < N {
        if at == 0 || parts[at] != parts[at - 1] {
            state = pair(state, parts[at]);
        }
        at += 1;
    }
    state
}

const fn pair(left: u128, right: u128) -> u128 {
    let (left, right) = (left.to_le_bytes(), right.to_le_bytes());
    let mut both = [0; 32];
    let mut at = 0;
    while at < 16 {
        both[at] = left[at];
        both[16 + at] = right[at];
        at += 1;
    }
    xxh3_128(&both)
}

/// What an unbound run needs: any active version of this workflow.
pub const fn of_name(workflow: &str) -> Digest {
    Digest(pair(text("workflow"), text(workflow)))
}

/// What an unbound run needs that asked for a version.
pub const fn of_version(workflow: &str, version: &str) -> Digest {
    Digest(pair(of_name(workflow).0, text(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_in_a_sequence_and_not_in_a_set() {
        let (a, b) = (text("a"), text("b"));
        assert_ne!(sequence(&[a, b]), sequence(&[b, a]));
        assert_eq!(set([a, b]), set([b, a]));
        assert_eq!(set([a, b, a]), set([b, a]));
        assert_ne!(set([a, b]), set([a]));
        assert_ne!(sequence(&[]), sequence(&[0]));
    }

    #[test]
    fn the_algorithm_is_frozen() {
        const DIGEST: u128 = sequence(&[text("checkout"), set([text("charge"), text("ship")])]);
        assert_eq!(format!("{:032x}", DIGEST), "1fbec58957f077fed88dcc7334b7dbf1");
        assert_eq!(of_version("checkout", "1").to_string(), "8f8eb4b8a2d84fdffcc9b0535c9a8e48");
    }
}
