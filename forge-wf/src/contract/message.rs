//! Texts that the compiler shows, put together while compiling.

/// A text of up to `N` bytes. What does not fit is counted and not kept, so one of no bytes measures.
pub struct Message<const N: usize> {
    text: [u8; N],
    len: usize,
}

impl<const N: usize> Message<N> {
    /// Nothing yet.
    #[allow(clippy::new_without_default)] // which is not const
    pub const fn new() -> Self {
        Self { text: [b' '; N], len: 0 }
    }

    /// Adds a text.
    pub const fn put(&mut self, text: &str) {
        let (text, mut n) = (text.as_bytes(), 0);
        while n < text.len() {
            self.put_byte(text[n]);
            n += 1;
        }
    }

    /// Adds a digest in hexadecimal digits.
    pub const fn put_hex(&mut self, digest: u128) {
        let mut digit = 32;
        while digit > 0 {
            digit -= 1;
            self.put_byte(b"0123456789abcdef"[((digest >> (4 * digit)) & 15) as usize]);
        }
    }

    const fn put_byte(&mut self, byte: u8) {
        if self.len < N {
            self.text[self.len] = byte;
        }
        self.len += 1;
    }

    /// How long the whole text is.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The text, if all of it was kept.
    pub const fn text(&self) -> &str {
        match std::str::from_utf8(&self.text) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// A digest between two texts.
pub const fn around_hex<const N: usize>(before: &str, digest: u128, after: &str) -> Message<N> {
    let mut message = Message::new();
    message.put(before);
    message.put_hex(digest);
    message.put(after);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_measured_and_then_written() {
        const LEN: usize = around_hex::<0>("is ", 0xab, "!").len();
        const MESSAGE: Message<LEN> = around_hex("is ", 0xab, "!");
        assert_eq!(MESSAGE.text(), "is 000000000000000000000000000000ab!");
    }
}
