//! Which numbers in JSON text earlier builds read one bit differently. Pure.
//!
//! Builds before `float_roundtrip` was always on read some floats inexactly: the digits as a whole number, times or divided by a
//! power of ten. A run that such a build has begun may have gone on with a number that this build does not get from the same text.
//! [`read_otherwise`] repeats that reading, so that a divergence can name it as its cause.

use std::sync::LazyLock;

/// The first number of this JSON text that a build without `float_roundtrip` reads as another float, as it is written there.
pub fn read_otherwise(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|byte| !b"+-.eE0123456789".contains(byte));
                let end = end.map_or(bytes.len(), |length| at + length);
                let number = &json[at..end];
                if differs(number) {
                    return Some(number);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// Behind the quote that ends the string which goes on here.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn differs(number: &str) -> bool {
    let is_float = number.contains(['.', 'e', 'E']) || number.parse::<u64>().is_err() && number.parse::<i64>().is_err();
    let (Some(exact), Some(before)) = (number.parse::<f64>().ok(), inexact(number)) else { return false };
    is_float && exact.to_bits() != before.to_bits()
}

/// The number as serde_json reads it without `float_roundtrip`; `None` if that is too large, or no number.
fn inexact(number: &str) -> Option<f64> {
    let (positive, digits) = match number.strip_prefix('-') {
        Some(digits) => (false, digits),
        None => (true, number),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (mut significand, mut shift) = (0_u64, 0_i32);
    let appended = |significand: u64, digit: u8| significand.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let mut too_long = false;
    for digit in whole.bytes() {
        match appended(significand, digit).filter(|_| !too_long) {
            Some(more) => significand = more,
            None => (too_long, shift) = (true, shift.saturating_add(1)),
        }
    }
    for digit in fraction.bytes() {
        // Whatever follows one digit that does not fit is ignored.
        let Some(more) = appended(significand, digit) else { break };
        (significand, shift) = (more, shift - 1);
    }
    let value = scaled(significand, shift.saturating_add(exponent))?;
    Some(if positive { value } else { -value })
}

fn scaled(significand: u64, mut exponent: i32) -> Option<f64> {
    static POWERS: LazyLock<Vec<f64>> =
        LazyLock::new(|| (0..=308).map(|power| format!("1e{power}").parse().expect("a power of ten")).collect());
    let mut value = significand as f64;
    loop {
        match POWERS.get(exponent.unsigned_abs() as usize) {
            Some(power) if exponent >= 0 => return Some(value * power).filter(|value| value.is_finite()),
            Some(power) => return Some(value / power),
            None if value == 0.0 => return Some(value),
            None if exponent >= 0 => return None,
            None => (value, exponent) = (value / 1e308, exponent + 308),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a build without `float_roundtrip` has read them.
    const READ: [(&str, u64); 6] = [
        ("6.934698245112694e+276", 0x7969_0975_fbde_15af),
        ("8.383658838626809e-78", 0x2fef_107a_2752_9acf),
        ("-7.803913958627244e+173", 0xe409_3df8_432a_8be4),
        ("2.718281828459045235360287471352662497757", 0x4005_bf0a_8b14_576a),
        ("0.011000000000000001", 0x3f86_872b_020c_49ba),
        ("0.044000000000000004", 0x3fa6_872b_020c_49ba),
    ];

    #[test]
    fn the_reading_of_earlier_builds_is_repeated_bit_by_bit() {
        for (number, bits) in READ {
            assert_eq!(inexact(number).map(f64::to_bits), Some(bits), "{number}");
            assert!(differs(number), "{number}");
        }
        for number in [
            "0",
            "1",
            "-7",
            "0.1",
            "8.41e21",
            "36893488147419103233",
            "5e-324",
            "1.7976931348623157e308",
            "18446744073709551615",
            "0.5",
            "1.25",
            "-3e2",
            "100.0",
        ] {
            assert!(!differs(number), "{number}");
        }
    }

    #[test]
    fn such_numbers_are_found_wherever_they_stand() {
        let other = READ[0].0;
        for json in [other.to_owned(), format!("[1,{other}]"), format!("{{\"a\\\"b\":{{\"c\": {other} }}}}")] {
            assert_eq!(read_otherwise(&json), Some(other), "{json}");
        }
        for json in [format!("\"{other}\""), format!("{{\"{other}\":1}}"), format!("[\"\\\\\\\"{other}\",0.5]")] {
            assert_eq!(read_otherwise(&json), None, "{json}");
        }
    }
}
