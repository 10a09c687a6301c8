//! Lists of texts that are made here, such as RFC 6901 pointers: one buffer for all.

/// Texts, in order.
#[derive(Debug, Default)]
pub struct Pointers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pointers {
    /// Start again.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Append `text`.
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// Append `prefix`, a slash and `suffix`.
    pub fn push_below(&mut self, prefix: &[u8], suffix: &[u8]) {
        self.bytes.extend_from_slice(prefix);
        self.bytes.push(b'/');
        self.push(suffix);
    }

    /// Append `prefix`, a slash, the decimal `index` and `suffix`.
    pub fn push_item(&mut self, prefix: &[u8], index: usize, suffix: &[u8]) {
        self.bytes.extend_from_slice(prefix);
        self.bytes.push(b'/');
        push_decimal(&mut self.bytes, index);
        self.push(suffix);
    }

    /// Return the texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.bytes.get(start..end).unwrap_or_default())
    }
}

/// The pointer of where a walk is.
#[derive(Debug, Clone)]
pub struct Path {
    bytes: Vec<u8>,
}

impl Path {
    /// Begin at `pointer`.
    #[must_use]
    pub fn new(pointer: &[u8]) -> Self {
        Self { bytes: pointer.to_vec() }
    }

    /// Return the pointer.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Do something at a member.
    pub fn at<T>(&mut self, name: &[u8], step: impl FnOnce(&mut Self) -> T) -> T {
        let size = self.bytes.len();
        self.bytes.push(b'/');
        self.bytes.extend_from_slice(name);
        let result = step(self);
        self.bytes.truncate(size);
        result
    }

    /// Do something at an item.
    pub fn at_item<T>(&mut self, index: usize, step: impl FnOnce(&mut Self) -> T) -> T {
        let size = self.bytes.len();
        self.bytes.push(b'/');
        push_decimal(&mut self.bytes, index);
        let result = step(self);
        self.bytes.truncate(size);
        result
    }
}

/// Append `number` in decimal.
pub fn push_decimal(out: &mut Vec<u8>, number: usize) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b"0123456789".get(rest % 10).copied().unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 99, 100, 65_536, 1_234_567_890] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }

    #[test]
    fn pointers_come_back_in_order() {
        let mut pointers = Pointers::default();
        pointers.push(b"/id");
        pointers.push_item(b"/aliases", 12, b"");
        pointers.push_item(b"/affected", 3, b"/package/purl");
        let all: Vec<&[u8]> = pointers.iter().collect();
        assert_eq!(all, [b"/id".as_slice(), b"/aliases/12", b"/affected/3/package/purl"]);
    }
}
