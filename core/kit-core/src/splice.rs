//! Appends an element to a document by its bytes: nothing is decoded and encoded again.

use crate::{Doubt, Sure};

/// What a length can say.
const MAX_LENGTH: usize = i32::MAX as usize;

/// Bytes of a length.
const LENGTH: usize = 4;

/// Append `document`, with what `element` writes behind its last element, to `out`.
///
/// # Errors
/// `element` has doubts, or the result is longer than a length can say; then `out` is what it was.
pub fn append<F>(out: &mut Vec<u8>, document: &[u8], element: F) -> Sure<()>
where
    F: FnOnce(&mut Vec<u8>) -> Sure<()>,
{
    let start = out.len();
    let result = spliced(out, document, element);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn spliced<F>(out: &mut Vec<u8>, document: &[u8], element: F) -> Sure<()>
where
    F: FnOnce(&mut Vec<u8>) -> Sure<()>,
{
    let [_, _, _, _, inside @ .., 0] = document else { return Err(Doubt) };
    let at = open(out);
    out.extend_from_slice(inside);
    element(out)?;
    close(out, at)
}

/// Begin a document: the place of its length.
pub fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; LENGTH]);
    out.len() - LENGTH
}

/// End the document whose length is at `at`.
///
/// # Errors
/// It is longer than a length can say.
pub fn close(out: &mut Vec<u8>, at: usize) -> Sure<()> {
    out.push(0);
    let length = length(out.len() - at)?;
    out.get_mut(at..at + LENGTH).ok_or(Doubt)?.copy_from_slice(&length);
    Ok(())
}

/// Return a length as its bytes.
///
/// # Errors
/// It is longer than a length can say.
pub fn length(size: usize) -> Sure<[u8; LENGTH]> {
    if size > MAX_LENGTH {
        return Err(Doubt);
    }
    i32::try_from(size).map(i32::to_le_bytes).map_err(|_| Doubt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_length_and_the_end_change() {
        let mut out = b"before".to_vec();
        append(&mut out, b"\x08\0\0\0\x0aa\0\0", |out| {
            out.extend_from_slice(b"\x0ab\0");
            Ok(())
        })
        .unwrap();
        assert_eq!(out, b"before\x0b\0\0\0\x0aa\0\x0ab\0\0");
    }

    #[test]
    fn a_doubt_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let result = append(&mut out, b"\x05\0\0\0\0", |out| {
            out.push(1);
            Err(Doubt)
        });
        assert_eq!((result, out.as_slice()), (Err(Doubt), b"before".as_slice()));
    }
}
