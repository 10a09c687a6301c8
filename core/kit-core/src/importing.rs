//! What a server may refuse of a run (`kit/importing/scanning.py`): documents to look at, and keys of their `_id`s.

use blake2b_simd::Params;

use crate::Sure;
use crate::bson::bounds::is_shallow;
use crate::bson::run::Run;
use crate::bson::value::{STRING, Value, body};
use crate::bson::walk::Elements;

/// Bytes of a key.
pub const KEY: usize = 16;
/// Bytes of a record: a key, and the place of its document.
const RECORD: usize = KEY + 8;

/// What was seen of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Numbers of the documents that the reference must look at.
    pub suspects: Vec<usize>,
    /// A record for each `_id` of a type that is equal to no other type.
    pub records: Vec<u8>,
}

/// A place whose key is that of an earlier one: the place, the first with that key, and the key.
pub type Repeat = (u64, u64, Vec<u8>);

/// Look at each document once: its depth, its names, its `_id`.
#[must_use]
pub fn scan(run: Run, levels: usize, scope: &[u8], place: u64) -> Scan {
    let mut found = Scan { suspects: Vec::new(), records: Vec::with_capacity(run.len() * RECORD) };
    for ((number, (_, document)), at) in run.documents().enumerate().zip(place..) {
        match identity(document) {
            Ok(Names { id, is_odd }) => {
                if is_odd || !is_shallow(document, levels) {
                    found.suspects.push(number);
                }
                if let Some(id) = id {
                    found.records.extend(key(scope, id));
                    found.records.extend(at.to_be_bytes());
                }
            }
            Err(_) => found.suspects.push(number),
        }
    }
    found
}

struct Names<'a> {
    id: Option<Value<'a>>,
    is_odd: bool,
}

fn identity(document: &[u8]) -> Sure<Names<'_>> {
    let (mut ids, mut id, mut is_odd) = (0, None, false);
    let mut elements = Elements::of(body(document)?);
    while let Some(element) = elements.next_element()? {
        if element.name == b"_id" {
            ids += 1;
            id = Some(element.value);
        }
        is_odd |= element.name.first() == Some(&b'$');
    }
    let plain = id.filter(|value| ids == 1 && matches!(value.kind, STRING | 5 | 7 | 8 | 9 | 17));
    Ok(Names { is_odd: is_odd || (ids > 0 && plain.is_none()), id: plain })
}

fn key(scope: &[u8], value: Value) -> [u8; KEY] {
    let mut state = Params::new().hash_length(KEY).to_state();
    state.update(scope).update(&[value.kind]).update(value.bytes);
    state.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Return the records whose keys are in `part` of `parts` equal ranges.
#[must_use]
pub fn select(records: &[u8], part: u64, parts: u64) -> Vec<u8> {
    let is_there = |record: &&[u8]| {
        let high = record.first_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)));
        (high * parts) >> 32 == part
    };
    records.chunks_exact(RECORD).filter(is_there).flatten().copied().collect()
}

/// Return at how many places a key of another place is repeated, and `most` of them in order.
#[must_use]
pub fn repeats(records: &[u8], most: usize) -> (usize, Vec<Repeat>) {
    let mut sorted: Vec<(&[u8], u64)> = records.chunks_exact(RECORD).map(split).collect();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for same in sorted.chunk_by(|one, two| one.0 == two.0) {
        if let [(key, first), others @ ..] = same {
            found.extend(others.iter().map(|&(_, place)| (place, *first, *key)));
        }
    }
    found.sort_unstable();
    found.dedup_by_key(|&mut (place, ..)| place);
    let total = found.len();
    (total, found.into_iter().take(most).map(|(place, first, key)| (place, first, key.to_vec())).collect())
}

fn split(record: &[u8]) -> (&[u8], u64) {
    let (key, place) = record.split_at_checked(KEY).unwrap_or((record, &[]));
    (key, place.first_chunk().copied().map_or(0, u64::from_be_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bson::bounds::frame;
    use crate::bson::nested;

    fn scanned(documents: &[&[u8]]) -> Scan {
        let data = documents.concat();
        let ends = frame(&data).unwrap();
        scan(Run::new(&data, &ends).unwrap(), 3, b"scope", 1 << 40)
    }

    #[test]
    fn an_odd_document_is_for_the_reference() {
        let plain = b"\x10\0\0\0\x02_id\0\x02\0\0\0a\0\0".as_slice();
        let number = b"\x0e\0\0\0\x10_id\0\x01\0\0\0\0".as_slice();
        let dollar = b"\x09\0\0\0\x0a$a\0\0".as_slice();
        let cut = b"\x08\0\0\0\x02a\0\0".as_slice();
        let found = scanned(&[plain, number, dollar, cut, &nested(3), &nested(4)]);
        assert_eq!(found.suspects, [1, 2, 3, 5]);
        assert_eq!(found.records.len(), RECORD);
        assert_eq!(found.records[KEY..], (1u64 << 40).to_be_bytes());
    }

    #[test]
    fn all_but_the_first_of_a_key_repeat_it() {
        let record = |key: u8, place: u64| [vec![key; KEY], place.to_be_bytes().to_vec()].concat();
        let records = [record(9, 4), record(1, 7), record(9, 2), record(9, 8)].concat();
        let expected = [(4, 2, vec![9; KEY]), (8, 2, vec![9; KEY])];
        assert_eq!(repeats(&records, 9), (2, expected.to_vec()));
        assert_eq!(repeats(&records, 1), (2, expected[..1].to_vec()));
        let parts = [select(&records, 0, 64), select(&records, 2, 64)];
        assert_eq!(parts.map(|part| part.len() / RECORD), [1, 3]);
    }
}
