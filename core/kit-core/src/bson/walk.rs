//! Walks one level of a document, without looking into any value.

use crate::bson::value::{Value, is_utf8, nul, size};
use crate::{Doubt, Sure};

/// One element of a document.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// The name, without its NUL.
    pub name: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

/// The elements of one level, in the order of the bytes.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Walk what stands between the length and the final NUL of a document.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Return the next element, or None behind the last.
    ///
    /// # Errors
    /// The element does not end within its document, or its type is unknown.
    #[inline]
    pub fn next_element(&mut self) -> Sure<Option<Element<'a>>> {
        let Some((&kind, rest)) = self.rest.split_first() else { return Ok(None) };
        let end = nul(rest)?;
        let (Some(name), Some(rest)) = (rest.get(..end), rest.get(end + 1..)) else { return Err(Doubt) };
        let (value, rest) = rest.split_at_checked(size(kind, rest)?).ok_or(Doubt)?;
        self.rest = rest;
        Ok(Some(Element { name, value: Value { kind, bytes: value } }))
    }

    /// Return the next value if its element is called `name`, which is given with its NUL; None for another name.
    ///
    /// # Errors
    /// As [`Elements::next_element`].
    #[inline]
    pub fn next_called(&mut self, name: &[u8]) -> Sure<Option<Value<'a>>> {
        let Some((&kind, rest)) = self.rest.split_first() else { return Ok(None) };
        let Some(rest) = rest.strip_prefix(name) else { return Ok(None) };
        let (value, rest) = rest.split_at_checked(size(kind, rest)?).ok_or(Doubt)?;
        self.rest = rest;
        Ok(Some(Value { kind, bytes: value }))
    }

    /// Return the bytes of the elements that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The items of an array, each under the name that is its place.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    elements: Elements<'a>,
    next: usize,
}

impl<'a> Items<'a> {
    /// Walk what stands between the length and the final NUL of an array.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        Self { elements: Elements::of(body), next: 0 }
    }

    /// Return the next item and its place, or None behind the last.
    ///
    /// # Errors
    /// As [`Elements::next_element`]; or the item has another name: a decoder goes by the order, and which of two items of
    /// one name is meant is the reference's to decide.
    #[inline]
    pub fn next_item(&mut self) -> Sure<Option<(usize, Value<'a>)>> {
        let Some(element) = self.elements.next_element()? else { return Ok(None) };
        let place = self.next;
        if !is_number(element.name, place) {
            return Err(Doubt);
        }
        self.next += 1;
        Ok(Some((place, element.value)))
    }
}

/// Whether `name` is `number` as BSON writes the place of an item: decimal, without leading zeros.
fn is_number(name: &[u8], number: usize) -> bool {
    let mut rest = number;
    for &digit in name.iter().rev() {
        if usize::from(digit) != usize::from(b'0') + rest % 10 {
            return false;
        }
        rest /= 10;
    }
    rest == 0 && (name.len() == 1 || name.first().is_some_and(|&digit| digit != b'0'))
}

/// What may stand beside the elements that are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Others<'n> {
    /// Anything: the reference does not decode it.
    Any,
    /// What the reference decodes and makes nothing of.
    Sound,
    /// Names of the format, and those of extensions: the reference counts every other.
    Known(&'n [&'n [u8]]),
}

/// Return the values of `names` in a document.
///
/// # Errors
/// The level is malformed, one of `names` is there twice, or something else is there that may not be.
#[inline]
pub fn pick<'a, const N: usize>(
    mut elements: Elements<'a>,
    names: [&[u8]; N],
    others: Others,
) -> Sure<[Option<Value<'a>>; N]> {
    let mut found = [None; N];
    while let Some(element) = elements.next_element()? {
        let place = names.iter().position(|name| *name == element.name);
        if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
            if slot.replace(element.value).is_some() {
                return Err(Doubt);
            }
            continue;
        }
        match others {
            Others::Any => {}
            Others::Sound => {
                plain_name(element.name)?;
                element.value.sound()?;
            }
            Others::Known(known) => {
                if !known.contains(&element.name) && !is_extension(element.name) {
                    return Err(Doubt);
                }
            }
        }
    }
    Ok(found)
}

/// Whether a name is one of private extensions, or of JSON Schema itself.
#[must_use]
pub fn is_extension(name: &[u8]) -> bool {
    name.starts_with(b"x_") || name.starts_with(b"$")
}

/// Check the name of an element that is decoded by the reference but not used.
///
/// # Errors
/// A decoder may see a reference in it, or fail.
#[inline]
pub fn plain_name(name: &[u8]) -> Sure<()> {
    if name.first() == Some(&b'$') || !is_utf8(name) { Err(Doubt) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(body: &[u8]) -> Sure<Vec<(&[u8], usize)>> {
        let (mut elements, mut found) = (Elements::of(body), Vec::new());
        while let Some(element) = elements.next_element()? {
            found.push((element.name, element.value.bytes.len()));
        }
        Ok(found)
    }

    #[test]
    fn every_type_ends_where_its_own_lengths_say() {
        let body = b"\x02a\0\x02\0\0\0x\0\x03b\0\x05\0\0\0\0\x05c\0\x01\0\0\0\0z\x0bd\0p\0i\0\x10e\0\x01\0\0\0\x0af\0";
        let sizes: Vec<usize> = names(body).unwrap().iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [6, 5, 6, 4, 4, 0]);
    }

    #[test]
    fn what_does_not_end_within_its_document_is_a_doubt() {
        let cut: [&[u8]; 7] = [
            b"\x02a",
            b"\x10a\0\0\0\0",
            b"\x02a\0\0\0\0\0",
            b"\x02a\0\xff\xff\xff\xff",
            b"\x03a\0\x04\0\0\0",
            b"\x02a\0\x03\0\0\0x\0",
            b"\x14a\0",
        ];
        for body in cut {
            assert_eq!(names(body), Err(Doubt), "{body:?}");
        }
    }

    #[test]
    fn items_go_by_their_place() {
        assert!(is_number(b"0", 0) && is_number(b"10", 10) && is_number(b"4096", 4096));
        assert!(!is_number(b"", 0) && !is_number(b"00", 0) && !is_number(b"01", 1) && !is_number(b"1", 11));
    }

    #[test]
    fn a_name_that_is_asked_for_may_be_there_once() {
        let twice = Elements::of(b"\x0aa\0\x0ab\0\x0aa\0");
        assert!(pick(twice.clone(), [b"b"], Others::Any).unwrap()[0].is_some());
        assert!(pick(twice, [b"a"], Others::Any).is_err());
        let dollar = Elements::of(b"\x0a$ref\0");
        assert!(pick(dollar.clone(), [b"a"], Others::Sound).is_err());
        assert!(pick(dollar, [b"a"], Others::Known(&[])).is_ok());
    }
}
