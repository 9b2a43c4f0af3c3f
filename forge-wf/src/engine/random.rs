//! Random numbers of a run: the same on every replay, since they come from its seed alone.
//!
//! Frozen, since runs in flight rely on it: ChaCha with 8 rounds (D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008), the
//! key made of the run's seed and a name for this algorithm, the stream made of what was asked for and how often before.

use std::convert::Infallible;
use std::fmt;

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng, TryRng};
use uuid::{Builder, Uuid};

/// A generator of random numbers that gives the same numbers on every replay. Not for secrets: its seed is in the database.
///
/// It implements `Rng` of `rand_core` 0.10, so the methods of `rand` 0.10 work on it.
pub struct WorkflowRng(ChaCha8Rng);

const KEY: [u8; 24] = *b"forge-wf random, first  ";
/// Above all streams of generators.
const UUIDS: u64 = 1 << 63;

fn stream(seed: i64, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(&KEY);
    let mut numbers = ChaCha8Rng::from_seed(key);
    numbers.set_stream(number);
    numbers
}

/// The generator of the `number`-th call of `rng()` in a run of this seed.
pub fn generator(seed: i64, number: u64) -> WorkflowRng {
    WorkflowRng(stream(seed, number & !UUIDS))
}

/// The result of the `number`-th call of `uuid()` in a run of this seed: of version 4 (RFC 9562).
pub fn uuid(seed: i64, number: u64) -> Uuid {
    let mut bytes = [0; 16];
    stream(seed, number | UUIDS).fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// The seed of a run's next generation.
pub fn next_seed(seed: i64, generation: i32) -> i64 {
    let text = format!("{seed}/{generation}");
    xxhash_rust::xxh3::xxh3_64(text.as_bytes()).cast_signed()
}

impl WorkflowRng {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl TryRng for WorkflowRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(dst);
        Ok(())
    }
}

impl fmt::Debug for WorkflowRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkflowRng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_frozen() {
        let found = format!(
            "{} {} {:016x} {:016x} {:016x}",
            uuid(-17, 0),
            uuid(-17, 1),
            generator(-17, 0).next_u64(),
            generator(-17, 1).next_u64(),
            next_seed(-17, 1)
        );
        assert_eq!(
            found,
            "2003d156-a4a1-4a1c-8746-33da8e280c93 bf29d5e1-c9d5-41b9-8fc4-c7d36132e50d 79f20c180ed061cd f570e57683ca19e5 \
             fac584de701b73e9"
        );
    }

    #[test]
    fn a_uuid_is_of_version_4_and_no_generator_shares_its_stream() {
        assert_eq!(uuid(1, 0).get_version_num(), 4);
        let mut bytes = [0; 16];
        generator(1, 0).fill_bytes(&mut bytes);
        assert_ne!(Builder::from_random_bytes(bytes).into_uuid(), uuid(1, 0));
    }
}
