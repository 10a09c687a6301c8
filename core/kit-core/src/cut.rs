//! Cuts an appended element out of documents again (`kit.engine.reencoding`, `kit.documents.splice.first_other`).

use crate::bson::run::Run;
use crate::bson::value::{DOCUMENT, body};
use crate::bson::walk::Elements;
use crate::splice::length;
use crate::{Doubt, Sure};

/// Return where the last element of `document` begins, if it is the only one called `name`, and a document.
///
/// # Errors
/// The uppermost level is malformed.
pub fn appended_at(document: &[u8], name: &[u8]) -> Sure<Option<usize>> {
    let mut elements = Elements::of(body(document)?);
    let mut found = None;
    while let Some(element) = elements.next_element()? {
        if element.name != name {
            continue;
        }
        if found.is_some() || !elements.is_at_end() || element.value.kind != DOCUMENT {
            return Ok(None);
        }
        found = (document.len() - 1).checked_sub(1 + name.len() + 1 + element.value.bytes.len());
    }
    Ok(found)
}

/// Return the parts of `document` without its end from `at` on: a length, what is kept, and a NUL.
///
/// # Errors
/// `at` is not within the document.
pub fn without(document: &[u8], at: usize) -> Sure<([u8; 4], &[u8], [u8; 1])> {
    Ok((length(at + 1)?, document.get(4..at).ok_or(Doubt)?, [0]))
}

/// Check that `after` are the documents of `before`, those that `touched` names with one document called `name`
/// appended; return where each ends now.
///
/// # Errors
/// They are not, or it is not told of each document whether it was touched.
pub fn ends_when_appended(before: Run, after: &[u8], touched: &[u8], name: &[u8]) -> Sure<Vec<usize>> {
    if touched.len() != before.len() || name.contains(&0) {
        return Err(Doubt);
    }
    let head = [&[DOCUMENT], name, &[0]].concat();
    let (mut ends, mut rest) = (Vec::with_capacity(touched.len()), after);
    for ((_, document), &is_touched) in before.documents().zip(touched) {
        let size = match rest {
            [a, b, c, d, ..] => usize::try_from(i32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| Doubt)?,
            _ => return Err(Doubt),
        };
        let (now, left) = rest.split_at_checked(size).ok_or(Doubt)?;
        if is_touched == 0 {
            if now != document {
                return Err(Doubt);
            }
        } else {
            let inside = body(document)?;
            let element = body(now)?.strip_prefix(inside).and_then(|rest| rest.strip_prefix(head.as_slice()));
            body(element.ok_or(Doubt)?)?;
        }
        rest = left;
        ends.push(after.len() - rest.len());
    }
    if rest.is_empty() { Ok(ends) } else { Err(Doubt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"\x08\0\0\0\x0aa\0\0";
    const AFTER: &[u8] = b"\x10\0\0\0\x0aa\0\x03n\0\x05\0\0\0\0\0";

    #[test]
    fn what_was_appended_is_cut_out() {
        let at = appended_at(AFTER, b"n").unwrap().unwrap();
        let (length, kept, nul) = without(AFTER, at).unwrap();
        assert_eq!([length.as_slice(), kept, &nul].concat(), BEFORE);
        assert_eq!(appended_at(AFTER, b"a"), Ok(None));
        assert_eq!(appended_at(BEFORE, b"a"), Ok(None));
        assert_eq!(appended_at(b"\x05\0\0\0\x01", b"a"), Err(Doubt));
    }

    #[test]
    fn documents_are_what_they_were_or_were_appended_to() {
        let (before, after) = ([BEFORE, BEFORE].concat(), [BEFORE, AFTER].concat());
        let run = Run::new(&before, &[8, 16]).unwrap();
        let check = |after: &[u8], touched: &[u8]| ends_when_appended(run, after, touched, b"n");
        assert_eq!(check(&after, &[0, 1]), Ok(vec![8, 24]));
        assert_eq!(check(&after, &[1, 1]), Err(Doubt));
        assert_eq!(check(&after, &[0, 0]), Err(Doubt));
        assert_eq!(check(&after, &[0]), Err(Doubt));
        assert_eq!(check(&[after.as_slice(), BEFORE].concat(), &[0, 1]), Err(Doubt));
        assert_eq!(check(&before, &[0, 0]), Ok(vec![8, 16]));
    }
}
