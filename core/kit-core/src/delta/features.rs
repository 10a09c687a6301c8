//! What tells documents from others (`kit/delta/features.py`), and the keys they are matched by
//! (`kit/documents/identity.py`).

use std::collections::{HashMap, HashSet};

use blake2b_simd::Params;

use crate::Sure;
use crate::bson::run::Run;
use crate::bson::value::body;
use crate::bson::walk::Elements;

/// Bytes of a key.
pub const KEY_BYTES: usize = 8;
const LINKS: usize = 3;
const LINK_BYTES: usize = 44;
const SHORTEST: usize = 24;
const LONGEST: usize = 512;
const TEXTS: usize = 16;
const TEXTS_WITHIN: usize = 2048;

/// The number of a feature, how many documents of a run have it, and the numbers of the latest of them, in order.
pub type Noted = (usize, usize, Vec<usize>);

/// Return which of `features` the documents of a run have, and of the documents the latest `kept` of each.
#[must_use]
pub fn noted(run: Run, features: &[impl AsRef<[u8]>], kept: usize) -> Vec<Noted> {
    let mut places: HashMap<&[u8], Noted> =
        features.iter().enumerate().map(|(feature, bytes)| (bytes.as_ref(), (feature, 0, Vec::new()))).collect();
    for (document, (_, bytes)) in run.documents().enumerate() {
        let mut note = |piece: &[u8]| {
            let Some((_, count, latest)) = places.get_mut(piece) else { return };
            // Once for a document, however often the feature is in it.
            if latest.last() != Some(&document) {
                *count += 1;
                if latest.len() == kept {
                    latest.remove(0);
                }
                latest.push(document);
            }
        };
        let head = bytes.get(..TEXTS_WITHIN).unwrap_or(bytes);
        for piece in split(head, *b"\0\x02", TEXTS) {
            if (SHORTEST..=LONGEST).contains(&piece.len()) {
                note(piece);
            }
        }
        for piece in split(bytes, *b"://", LINKS).skip(1) {
            note(piece.get(..LINK_BYTES).unwrap_or(piece));
        }
    }
    let mut found: Vec<Noted> = places.into_values().filter(|(_, count, _)| *count > 0).collect();
    found.sort_unstable_by_key(|(feature, _, _)| *feature);
    found
}

/// Whether three quarters of a document are in another that is not much longer, as far as a glance tells.
#[must_use]
pub fn is_nearly(old: &[u8], document: &[u8]) -> bool {
    if old.len() > 4 * document.len() {
        return false;
    }
    let known: HashSet<&[u8]> = old.split(|&byte| byte == 0).collect();
    let mut left = document.len() + 1 - (3 * document.len()).div_ceil(4);
    for piece in document.split(|&byte| byte == 0).filter(|piece| !known.contains(piece)) {
        if left < piece.len() + 1 {
            return false;
        }
        left -= piece.len() + 1;
    }
    true
}

/// Split `bytes` where `at` is, at most `most` times.
fn split<const N: usize>(bytes: &[u8], at: [u8; N], most: usize) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut left) = (Some(bytes), most);
    std::iter::from_fn(move || {
        let all = rest?;
        let place = if left > 0 { all.windows(N).position(|window| window == at) } else { None };
        let Some(place) = place else { return rest.take() };
        left -= 1;
        rest = all.get(place + N..);
        all.get(..place)
    })
}

/// Return the keys of the documents of a run, one after the other: a digest of the typed `_id`, or of a document that has
/// none.
///
/// # Errors
/// A document is malformed before its `_id`.
pub fn keys(run: Run) -> Sure<Vec<u8>> {
    let mut keys = Vec::with_capacity(KEY_BYTES * run.len());
    let mut params = Params::new();
    params.hash_length(KEY_BYTES);
    for (_, document) in run.documents() {
        keys.extend_from_slice(params.hash(identity(document)?).as_bytes());
    }
    Ok(keys)
}

fn identity(document: &[u8]) -> Sure<&[u8]> {
    let mut elements = Elements::of(body(document)?);
    loop {
        let before = elements.rest();
        let Some(element) = elements.next_element()? else { return Ok(document) };
        if element.name == b"_id" {
            let size = before.len() - elements.rest().len();
            return before.get(..size).ok_or(crate::Doubt);
        }
    }
}
