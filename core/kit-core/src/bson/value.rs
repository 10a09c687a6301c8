//! One value: its type, and the bytes that its own lengths give it.

use crate::bson::walk::{Elements, Items};
use crate::{Doubt, Sure};

/// Type byte of a string.
pub const STRING: u8 = 2;
/// Type byte of a nested document.
pub const DOCUMENT: u8 = 3;
/// Type byte of an array.
pub const ARRAY: u8 = 4;
/// Type byte of null.
pub const NULL: u8 = 10;

/// The least document: its length and its final NUL.
const LEAST_DOCUMENT: usize = 5;

/// A value of type `kind`, which is exactly `bytes` by its own lengths.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// The type byte.
    pub kind: u8,
    /// The value, lengths included.
    pub bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// Return the elements of a nested document.
    ///
    /// # Errors
    /// It is of another type, or does not end in NUL.
    pub fn document(self) -> Sure<Elements<'a>> {
        if self.kind == DOCUMENT { body(self.bytes).map(Elements::of) } else { Err(Doubt) }
    }

    /// Return the items of an array.
    ///
    /// # Errors
    /// It is of another type, or does not end in NUL.
    pub fn array(self) -> Sure<Items<'a>> {
        if self.kind == ARRAY { body(self.bytes).map(Items::of) } else { Err(Doubt) }
    }

    /// Return the bytes of a string, checked: it ends in NUL and is UTF-8.
    ///
    /// # Errors
    /// It is of another type, or malformed.
    pub fn text(self) -> Sure<&'a [u8]> {
        let [_, _, _, _, text @ .., 0] = self.bytes else { return Err(Doubt) };
        if self.kind == STRING && is_utf8(text) { Ok(text) } else { Err(Doubt) }
    }

    /// Return the bytes of a string, unchecked: enough to be hashed into a key. None for another type.
    #[must_use]
    pub fn raw_text(self) -> Option<&'a [u8]> {
        match self.bytes {
            [_, _, _, _, text @ .., _] if self.kind == STRING => Some(text),
            _ => None,
        }
    }
}

/// Whether `text` is UTF-8.
#[must_use]
pub fn is_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
}

/// Return what stands between the length and the final NUL of `document`, which must be exactly one document.
///
/// # Errors
/// Its length is another, or it does not end in NUL.
pub fn body(document: &[u8]) -> Sure<&[u8]> {
    match document {
        [_, _, _, _, inside @ .., 0] if length(document)? == document.len() => Ok(inside),
        _ => Err(Doubt),
    }
}

/// Return the size of the value of type `kind` that `rest` begins with.
///
/// # Errors
/// The type is unknown, a length is below its minimum, or `rest` ends before the value does.
pub fn size(kind: u8, rest: &[u8]) -> Sure<usize> {
    let size = match kind {
        STRING | 13 | 14 => 4 + least(length(rest)?, 1)?,
        DOCUMENT | ARRAY => least(length(rest)?, LEAST_DOCUMENT)?,
        5 => 5 + length(rest)?,
        1 | 9 | 17 | 18 => 8,
        8 => 1,
        6 | NULL | 127 | 255 => 0,
        7 => 12,
        16 => 4,
        19 => 16,
        11 => {
            let pattern = 1 + nul(rest)?;
            pattern + 1 + nul(rest.get(pattern..).ok_or(Doubt)?)?
        }
        12 => 4 + least(length(rest)?, 1)? + 12,
        15 => least(length(rest)?, 14)?,
        _ => return Err(Doubt),
    };
    if size <= rest.len() { Ok(size) } else { Err(Doubt) }
}

/// Return how many bytes are before the first NUL.
///
/// # Errors
/// There is none.
pub fn nul(bytes: &[u8]) -> Sure<usize> {
    bytes.iter().position(|&byte| byte == 0).ok_or(Doubt)
}

/// Return the length that `bytes` begins with, little-endian; a negative one is no length.
fn length(bytes: &[u8]) -> Sure<usize> {
    match bytes {
        [a, b, c, d, ..] => usize::try_from(i32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| Doubt),
        _ => Err(Doubt),
    }
}

fn least(count: usize, least: usize) -> Sure<usize> {
    if count >= least { Ok(count) } else { Err(Doubt) }
}
