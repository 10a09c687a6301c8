//! Whether documents are within bounds, seen in little time: what may be over them is the reference's to measure.

use crate::bson::run::Run;
use crate::bson::value::{ARRAY, DOCUMENT, Value, body};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

/// Type byte of code with its scope, which is a document inside the value.
const CODE_WITH_SCOPE: u8 = 15;

/// What a document may have at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes.
    pub bytes: usize,
    /// Levels of nesting; the outermost is 1.
    pub levels: usize,
}

impl From<(usize, usize)> for Bounds {
    fn from((bytes, levels): (usize, usize)) -> Self {
        Self { bytes, levels }
    }
}

/// Return the offset after each of the documents that `data` is, by their lengths.
///
/// # Errors
/// A length is below that of the empty document, or ends beyond the data.
pub fn frame(data: &[u8]) -> Sure<Vec<usize>> {
    let (mut ends, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let length =
            data.get(at..).and_then(|rest| rest.first_chunk()).copied().map(i32::from_le_bytes).ok_or(Doubt)?;
        if length < 5 {
            return Err(Doubt);
        }
        at += usize::try_from(length).map_err(|_| Doubt)?;
        ends.push(at);
    }
    if at == data.len() { Ok(ends) } else { Err(Doubt) }
}

/// Return the numbers of those documents, of the ones that are `touched`, that may be over a bound.
///
/// # Errors
/// `touched` is not a byte for each document.
pub fn suspects(run: Run, touched: &[u8], bounds: Bounds) -> Sure<Vec<usize>> {
    if touched.len() != run.len() {
        return Err(Doubt);
    }
    let documents = run.documents().map(|(_, document)| document).zip(touched).enumerate();
    let is_suspect = |document: &[u8]| document.len() > bounds.bytes || !is_shallow(document, bounds.levels);
    Ok(documents.filter(|(_, (one, touched))| **touched != 0 && is_suspect(one)).map(|(number, _)| number).collect())
}

/// Whether a document certainly has no more than that many levels.
#[must_use]
pub fn is_shallow(document: &[u8], levels: usize) -> bool {
    // Each level but the first begins with a type byte: where there are too few of these, nothing is walked.
    let nesting = document.chunks(255).map(|chunk| {
        let is_nesting = |byte: &u8| u8::from(matches!(*byte, DOCUMENT | ARRAY | CODE_WITH_SCOPE));
        usize::from(chunk.iter().map(is_nesting).sum::<u8>())
    });
    nesting.sum::<usize>() < levels || walk(document, levels) == Ok(true)
}

fn walk(document: &[u8], levels: usize) -> Sure<bool> {
    let mut open = vec![Elements::of(body(document)?)];
    while let Some(elements) = open.last_mut() {
        match elements.next_element()?.map(|element| element.value) {
            None => drop(open.pop()),
            Some(Value { kind: CODE_WITH_SCOPE, .. }) => return Err(Doubt),
            Some(Value { kind: DOCUMENT | ARRAY, bytes }) => {
                if open.len() >= levels {
                    return Ok(false);
                }
                open.push(Elements::of(body(bytes)?));
            }
            Some(_) => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bson::nested;

    #[test]
    fn levels_are_counted_from_the_outermost() {
        for levels in [1, 2, 200] {
            assert!(is_shallow(&nested(levels), levels));
            assert!(!is_shallow(&nested(levels + 1), levels));
        }
    }

    #[test]
    fn bytes_that_could_be_types_make_nothing_deep() {
        let wide = [b"\x09\x01\0\0\x05a\0\xfc\0\0\0\0".as_slice(), &[3; 252], b"\0"].concat();
        assert!(is_shallow(&wide, 2));
    }

    #[test]
    fn frames_go_by_lengths() {
        assert_eq!(frame(b"\x05\0\0\0\0\x08\0\0\0\x0aa\0\0").unwrap(), [5, 13]);
        for odd in
            [b"\x05\0\0\0".as_slice(), b"\x04\0\0\0", b"\xff\xff\xff\xff\0", b"\x06\0\0\0\0", b"\x05\0\0\0\0\x05"]
        {
            assert!(frame(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn only_what_was_touched_is_looked_at() {
        let (small, deep) = (nested(1), nested(9));
        let data = [small.as_slice(), &deep, &deep, &small].concat();
        let ends = frame(&data).unwrap();
        let run = Run::new(&data, &ends).unwrap();
        assert_eq!(suspects(run, &[1, 1, 0, 1], Bounds { bytes: 99, levels: 8 }), Ok(vec![1]));
        assert_eq!(suspects(run, &[1, 1, 1, 1], Bounds { bytes: 5, levels: 99 }), Ok(vec![1, 2]));
        assert!(suspects(run, &[1], Bounds { bytes: 5, levels: 99 }).is_err());
    }
}
