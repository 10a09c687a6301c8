//! Parses a text, and writes the document that it represents as it goes.

use super::{extended, number, string};
use crate::bson::value::{ARRAY, DOCUMENT, NULL, STRING, is_utf8};
use crate::splice::{close, length, open};
use crate::{Doubt, Sure};

/// Type byte of a boolean.
const BOOLEAN: u8 = 8;
/// Levels beyond which the reference, which does not recurse, parses.
const MAX_LEVELS: usize = 256;
/// Members up to which names are compared each with each.
const FEW: usize = 12;

/// What a document may have at most: bytes, of the text and of what it represents; levels of nesting, its own included;
/// values, nested ones included.
pub type Most = (usize, usize, usize);
/// Begin and end of each text.
pub type Spans = Vec<(usize, usize)>;
/// The documents, back to back, without those that are the reference's; the end of each, which of those is that of the
/// one before; and the numbers of those.
pub type Views = (Vec<u8>, Vec<usize>, Vec<usize>);

/// Return what each text of a run represents; None where a span is not within the data.
#[must_use]
pub fn views(data: &[u8], spans: &[(usize, usize)], most: Most) -> Option<Views> {
    let (mut out, mut ends, mut alone) = (Vec::with_capacity(data.len()), Vec::with_capacity(spans.len()), Vec::new());
    for (number, &(start, end)) in spans.iter().enumerate() {
        let text = data.get(start..end)?;
        let before = out.len();
        if view(text, most, &mut out).is_err() {
            out.truncate(before);
            alone.push(number);
        }
        ends.push(out.len());
    }
    Some((out, ends, alone))
}

/// Append the document that a text represents to `out`.
fn view(text: &[u8], (bytes, levels, elements): Most, out: &mut Vec<u8>) -> Sure<()> {
    if text.len() > bytes || levels > MAX_LEVELS || !is_utf8(text) {
        return Err(Doubt);
    }
    let [b'{', rest @ ..] = text else { return Err(Doubt) };
    let start = out.len();
    let mut parser = Parser { rest, out, left: elements, names: Vec::new(), was_typed: false };
    let top = parser.object(levels, true)?;
    if !parser.rest.is_empty() || top.has_type {
        return Err(Doubt);
    }
    identify(out, start, &top)?;
    if out.len() - start > bytes { Err(Doubt) } else { Ok(()) }
}

/// What is known of an object once it was read.
#[derive(Debug, Default)]
struct Read {
    /// Of the top, the place of the type byte of `_id`, and the end of its value.
    own: Option<(usize, usize)>,
    /// The same of `id`.
    other: Option<(usize, usize)>,
    /// Whether it has a type name.
    has_type: bool,
}

/// See to it that a document has an `_id`, if it has any identity.
fn identify(out: &mut Vec<u8>, start: usize, top: &Read) -> Sure<()> {
    let Some((at, end)) = top.other else { return Ok(()) };
    let element = out.get(at..end).ok_or(Doubt)?;
    let [kind, b'i', b'd', 0, value @ ..] = element else { return Err(Doubt) };
    if let Some((at, end)) = top.own {
        let same =
            matches!(out.get(at..end), Some([own, b'_', b'i', b'd', 0, rest @ ..]) if own == kind && rest == value);
        return if same { Ok(()) } else { Err(Doubt) };
    }
    let first = [&[*kind], b"_id\0".as_slice(), value].concat();
    let at = start + 4;
    out.splice(at..at, first);
    out.pop();
    close(out, start)
}

/// The parser: what is left of the text, and what was written.
struct Parser<'a, 'b> {
    rest: &'a [u8],
    out: &'b mut Vec<u8>,
    left: usize,
    /// Places of the names of objects that are open.
    names: Vec<(usize, usize)>,
    /// Whether the value that was written last was an object with a type name.
    was_typed: bool,
}

impl Parser<'_, '_> {
    /// Return the next byte that is no blank, without taking it.
    fn peek(&mut self) -> Sure<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied().ok_or(Doubt)
    }

    /// Take a byte.
    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Take the next byte, which must be this one.
    fn take(&mut self, due: u8) -> Sure<()> {
        if self.peek()? != due {
            return Err(Doubt);
        }
        self.skip();
        Ok(())
    }

    /// Take a member or the end of a container; return whether it goes on.
    fn goes_on(&mut self, end: u8, is_first: bool) -> Sure<bool> {
        let next = self.peek()?;
        if next == end {
            self.skip();
            return Ok(false);
        }
        if !is_first {
            if next != b',' {
                return Err(Doubt);
            }
            self.skip();
            if self.peek()? == end {
                return Err(Doubt);
            }
        }
        Ok(true)
    }

    /// Write an object whose brace was taken, as a document.
    fn object(&mut self, levels: usize, is_top: bool) -> Sure<Read> {
        let mut found = Read::default();
        let (document, first) = (open(self.out), self.names.len());
        while self.goes_on(b'}', self.names.len() == first)? {
            let at = self.out.len();
            self.out.push(0);
            self.take(b'"')?;
            self.rest = string::read(self.rest, self.out)?;
            let name = self.out.get(at + 1..).ok_or(Doubt)?;
            if name.contains(&0) {
                return Err(Doubt);
            }
            found.has_type |= extended::is_type_name(name);
            self.names.push((at + 1, self.out.len()));
            self.out.push(0);
            self.take(b':')?;
            let kind = self.value(levels)?;
            *self.out.get_mut(at).ok_or(Doubt)? = kind;
            if is_top {
                let place = Some((at, self.out.len()));
                let written = self.out.get(at + 1..).unwrap_or_default();
                if written.starts_with(b"_id\0") {
                    found.own = place;
                } else if written.starts_with(b"id\0") {
                    found.other = place;
                }
            }
        }
        close(self.out, document)?;
        self.check_names(first)?;
        self.names.truncate(first);
        Ok(found)
    }

    /// Check that no name of an object is there twice.
    fn check_names(&self, first: usize) -> Sure<()> {
        let places = self.names.get(first..).ok_or(Doubt)?;
        let name = |&(start, end): &(usize, usize)| self.out.get(start..end).unwrap_or_default();
        let twice = if places.len() <= FEW {
            places
                .iter()
                .enumerate()
                .any(|(number, one)| places.iter().take(number).any(|other| name(other) == name(one)))
        } else {
            let mut names: Vec<_> = places.iter().map(name).collect();
            names.sort_unstable();
            names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
        };
        if twice { Err(Doubt) } else { Ok(()) }
    }

    /// Write the items of an array whose bracket was taken.
    fn array(&mut self, levels: usize) -> Sure<()> {
        let document = open(self.out);
        let mut number = 0_usize;
        while self.goes_on(b']', number == 0)? {
            let at = self.out.len();
            self.out.push(0);
            number::write(number, self.out);
            self.out.push(0);
            let kind = self.value(levels)?;
            *self.out.get_mut(at).ok_or(Doubt)? = kind;
            number += 1;
        }
        close(self.out, document)
    }

    /// Write a value, and return its type; `levels` are those that are left, its container's included.
    fn value(&mut self, levels: usize) -> Sure<u8> {
        self.left = self.left.checked_sub(1).ok_or(Doubt)?;
        let mut is_typed = false;
        let kind = match self.peek()? {
            b'"' => {
                self.skip();
                let at = open(self.out);
                self.rest = string::read(self.rest, self.out)?;
                self.out.push(0);
                let size = length(self.out.len() - at - 4)?;
                self.out.get_mut(at..at + 4).ok_or(Doubt)?.copy_from_slice(&size);
                STRING
            }
            b'{' => {
                self.skip();
                let inner = levels.checked_sub(1).filter(|&left| left > 0).ok_or(Doubt)?;
                let at = self.out.len();
                is_typed = self.object(inner, false)?.has_type;
                if is_typed { extended::typed(self.out, at, self.was_typed)? } else { DOCUMENT }
            }
            b'[' => {
                self.skip();
                self.array(levels.checked_sub(1).filter(|&left| left > 0).ok_or(Doubt)?)?;
                ARRAY
            }
            b't' => self.word(b"true", BOOLEAN, &[1])?,
            b'f' => self.word(b"false", BOOLEAN, &[0])?,
            b'n' => self.word(b"null", NULL, &[])?,
            _ => {
                let (kind, rest) = number::read(self.rest, self.out)?;
                self.rest = rest;
                kind
            }
        };
        self.was_typed = is_typed;
        Ok(kind)
    }

    fn word(&mut self, word: &[u8], kind: u8, value: &[u8]) -> Sure<u8> {
        self.rest = self.rest.strip_prefix(word).ok_or(Doubt)?;
        self.out.extend_from_slice(value);
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = (1000, 3, 10);

    fn seen(text: &str) -> Option<Vec<u8>> {
        let (data, _, alone) = views(text.as_bytes(), &[(0, text.len())], MOST).unwrap();
        alone.is_empty().then_some(data)
    }

    #[test]
    fn a_text_is_the_document_that_it_represents() {
        assert_eq!(seen("{ }").unwrap(), b"\x05\0\0\0\0");
        assert_eq!(seen(r#"{"a" : 1}"#).unwrap(), b"\x0c\0\0\0\x10a\0\x01\0\0\0\0");
        assert_eq!(seen(r#"{"id":null}"#).unwrap(), b"\x0e\0\0\0\x0a_id\0\x0aid\0\0");
    }

    #[test]
    fn canonical_values_are_seen() {
        let moment = b"\x10\0\0\0\x09a\0\x01\0\0\0\0\0\0\0\0";
        assert_eq!(seen(r#"{"a":{"$date":{"$numberLong":"1"}}}"#).unwrap(), moment);
        let double = b"\x10\0\0\0\x01a\0\0\0\0\0\0\0\xf8\x3f\0";
        assert_eq!(seen(r#"{"a":{"$numberDouble":"1.5"}}"#).unwrap(), double);
        for text in [
            r#"{"a":{"$date":12345678901}}"#,
            r#"{"a":{"$date":{"$numberInt":"1"}}}"#,
            r#"{"a":{"$numberDouble":"1.5x"}}"#,
            r#"{"a":{"$numberDouble":"1e999"}}"#,
            r#"{"a":{"$numberDouble":{"$numberDouble":"1"}}}"#,
        ] {
            assert_eq!(seen(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_strict_is_left_to_the_reference() {
        let texts = [
            "",
            "[]",
            "{",
            "{}x",
            r#"{"a":1,}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":01}"#,
            r#"{"a":tru}"#,
            r#"{,"a":1}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[[[]]]}"#,
            r#"{"_id":1,"id":2}"#,
            r#"{"\u0000":1}"#,
            r#"{"a":1e999}"#,
        ];
        for text in texts {
            assert_eq!(seen(text), None, "{text}");
        }
    }
}
