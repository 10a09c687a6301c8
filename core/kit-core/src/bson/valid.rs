//! Whether a document is well formed to its last byte (`kit.documents.validate`).

use crate::bson::bounds::Bounds;
use crate::bson::value::{ARRAY, DOCUMENT, STRING, Value, body, is_utf8};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

/// Check documents, one after the other.
#[derive(Debug, Default)]
pub struct Validator<'a> {
    /// What is left of each document around the current one.
    outer: Vec<Elements<'a>>,
}

impl<'a> Validator<'a> {
    /// Check that `document` is exactly one well-formed document within `bounds`.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&mut self, document: &'a [u8], bounds: Bounds) -> Sure<()> {
        if document.len() > bounds.bytes || bounds.levels == 0 {
            return Err(Doubt);
        }
        self.outer.clear();
        let mut elements = Elements::of(body(document)?);
        loop {
            let Some(element) = elements.next_element()? else {
                let Some(outer) = self.outer.pop() else { return Ok(()) };
                elements = outer;
                continue;
            };
            if !is_utf8(element.name) {
                return Err(Doubt);
            }
            if let Some(inside) = check(element.value)? {
                if self.outer.len() + 2 > bounds.levels {
                    return Err(Doubt);
                }
                self.outer.push(std::mem::replace(&mut elements, Elements::of(inside)));
            }
        }
    }
}

/// Check a value but for what is nested in it, which is returned.
fn check(value: Value<'_>) -> Sure<Option<&[u8]>> {
    match (value.kind, value.bytes) {
        (DOCUMENT | ARRAY, bytes) => return body(bytes).map(Some),
        (15, bytes) => return scope(bytes).map(Some),
        (STRING | 13 | 14, [_, _, _, _, text @ .., 0]) if is_utf8(text) => {}
        (8, [0 | 1]) => {}
        // Of subtype 2 the payload is again a length, and as many bytes.
        (5, [_, _, _, _, 2, payload @ ..]) => match payload {
            [a, b, c, d, old @ ..] if i32::try_from(old.len()) == Ok(i32::from_le_bytes([*a, *b, *c, *d])) => {}
            _ => return Err(Doubt),
        },
        // Two texts, each with a NUL behind it.
        (11, [texts @ .., 0]) if is_utf8(texts) => {}
        // A text with its length, and the twelve bytes of an object.
        (12, [_, _, _, _, rest @ ..]) => match rest.split_last_chunk::<12>() {
            Some(([text @ .., 0], _)) if is_utf8(text) => {}
            _ => return Err(Doubt),
        },
        (STRING | 8 | 11..=14, _) => return Err(Doubt),
        // Of fixed size, and any bytes will do; or binary of another subtype.
        _ => {}
    }
    Ok(None)
}

/// Return the inside of the scope of code, which ends exactly where code and scope together do.
fn scope(value: &[u8]) -> Sure<&[u8]> {
    let (_, rest) = value.split_first_chunk::<4>().ok_or(Doubt)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Doubt)?;
    let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| Doubt)?;
    match rest.split_at_checked(length).ok_or(Doubt)? {
        ([code @ .., 0], scope) if is_utf8(code) => body(scope),
        _ => Err(Doubt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1000, levels: 3 };

    fn document(inside: &[u8]) -> Vec<u8> {
        let size = u32::try_from(inside.len() + 5).unwrap();
        [&size.to_le_bytes(), inside, b"\0"].concat()
    }

    fn is_valid(inside: &[u8]) -> bool {
        Validator::default().check(&document(inside), BOUNDS).is_ok()
    }

    #[test]
    fn values_are_looked_into() {
        let sound: [&[u8]; 8] = [
            b"\x02a\0\x02\0\0\0x\0",
            b"\x08a\0\x01",
            b"\x05a\0\x05\0\0\0\x02\x01\0\0\0z",
            b"\x05a\0\x01\0\0\0\x09\xff",
            b"\x0ba\0p\0i\0",
            b"\x0ca\0\x02\0\0\0x\x00123456789012",
            b"\x0fa\0\x0f\0\0\0\x02\0\0\0c\0\x05\0\0\0\0",
            b"\x01a\0\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for inside in sound {
            assert!(is_valid(inside), "{inside:?}");
        }
        let faulty: [&[u8]; 12] = [
            b"\x02a\0\x02\0\0\0x\x01",
            b"\x02a\0\x02\0\0\0\xff\0",
            b"\x02\xff\0\x02\0\0\0x\0",
            b"\x08a\0\x02",
            b"\x05a\0\x05\0\0\0\x02\x02\0\0\0z",
            b"\x05a\0\x03\0\0\0\x02\0\0\0",
            b"\x0ba\0\xff\0i\0",
            b"\x0ca\0\x02\0\0\0x\x01123456789012",
            b"\x0fa\0\x0f\0\0\0\x02\0\0\0c\x01\x05\0\0\0\0",
            b"\x0fa\0\x0f\0\0\0\x02\0\0\0c\0\x06\0\0\0\0",
            b"\x03a\0\x05\0\0\0\x01",
            b"\x14a\0",
        ];
        for inside in faulty {
            assert!(!is_valid(inside), "{inside:?}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let nested = |levels: usize| {
            (1..levels).fold(document(b""), |inner, _| document(&[b"\x03a\0", inner.as_slice()].concat()))
        };
        let check = |levels, bounds| Validator::default().check(&nested(levels), bounds).is_ok();
        assert!(check(3, BOUNDS) && !check(4, BOUNDS));
        assert!(check(1, Bounds { bytes: 5, levels: 1 }) && !check(1, Bounds { bytes: 4, levels: 1 }));
        assert!(!check(1, Bounds { bytes: 5, levels: 0 }));
    }
}
