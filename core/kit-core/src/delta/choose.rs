//! Chooses the columns of older selves that changed documents repeat (`kit/delta/dictionary.py`).

use std::collections::{BTreeSet, HashSet};

use crate::bson::value::STRING;
use crate::delta::columns::Place;
use crate::delta::shred::gather;
use crate::{Doubt, Sure};

/// Texts of fewer bytes are everywhere.
const SHORTEST: usize = 3;
/// A column is chosen if one in so many of the texts of a column that is said are in it.
const WORTH_IT: usize = 20;

type Texts<'t> = HashSet<&'t [u8]>;

/// Return at most `most` places of columns of older selves, sorted; none with a path of more than `path_bytes`.
///
/// Each of `documents` is made of the older self at its place.
///
/// # Errors
/// A document cannot be walked, or there are not as many of both.
pub fn choose<T: AsRef<[u8]>>(olds: &[T], documents: &[T], most: usize, path_bytes: usize) -> Sure<Vec<Place>> {
    if olds.len() != documents.len() {
        return Err(Doubt);
    }
    let older = gather(olds.iter().map(|old| (old.as_ref(), None)))?;
    let said = gather(olds.iter().zip(documents).map(|(old, document)| (document.as_ref(), Some(old.as_ref()))))?;
    let (older, said) = (older.tree.sorted(), said.tree.sorted());
    let table: Vec<_> = older.into_iter().filter(|((path, _), _)| path.len() <= path_bytes).collect();
    let offered: Vec<(&Place, Texts)> = table
        .iter()
        .map(|(place, column)| (*place, texts(place, column)))
        .filter(|(_, texts)| !texts.is_empty())
        .collect();
    let known: HashSet<&Place> = table.iter().map(|(place, _)| *place).collect();
    let mut chosen: BTreeSet<&Place> = said.iter().filter_map(|(place, _)| known.get(*place).copied()).collect();
    for (place, column) in said {
        cover(texts(place, column), &offered, &mut chosen);
    }
    Ok(chosen.into_iter().take(most).cloned().collect())
}

/// Choose columns until few of the wanted texts are left that any has: always the one that has most of them.
fn cover<'p>(mut wanted: Texts, offered: &[(&'p Place, Texts)], chosen: &mut BTreeSet<&'p Place>) {
    let all = wanted.len();
    while !wanted.is_empty() {
        let counted = offered.iter().map(|(place, texts)| {
            let count = wanted.iter().filter(|text| texts.contains(*text)).count();
            ((count, chosen.contains(place), *place), texts)
        });
        let Some(((count, _, place), texts)) = counted.max_by_key(|(rank, _)| *rank) else { return };
        if count * WORTH_IT <= all {
            return;
        }
        chosen.insert(place);
        wanted.retain(|text| !texts.contains(text));
    }
}

fn texts<'t>((_, kind): &Place, column: &'t [u8]) -> Texts<'t> {
    if *kind != STRING {
        return Texts::new();
    }
    column.split(|&byte| byte == 0).filter(|text| text.len() >= SHORTEST).collect()
}
