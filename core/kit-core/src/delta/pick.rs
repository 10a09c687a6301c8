//! What packed streams may repeat of a base: documents taken apart, or some columns of them (`kit/delta/dictionary.py`,
//! `kit/delta/dictionary.py`).

use std::collections::{BTreeMap, HashSet};

use crate::bson::value::{ARRAY, DOCUMENT, Value, body};
use crate::bson::walk::Elements;
use crate::delta::columns::{Cursor, NodeId, Place, Spot, Tree, joined};
use crate::delta::shred::{gather, keep, member};
use crate::delta::{DEPTH, Index, MEMBER, width};
use crate::{Doubt, Sure};

/// What to do with the values at a place.
#[derive(Debug, Clone, Copy)]
enum Sought {
    Nothing,
    Inside(NodeId),
    Column,
}

/// Columns being picked out of documents.
#[derive(Debug)]
struct Picker<'a> {
    tree: Tree<'a, Vec<u8>>,
    /// Every path on the way to a place, so that a level is entered only where it leads somewhere.
    ways: HashSet<&'a [u8]>,
    /// What was decided of each place below each node.
    sought: Vec<Vec<Option<Sought>>>,
}

impl<'a> Picker<'a> {
    fn new(places: &'a [Place]) -> Self {
        let mut tree = Tree::new();
        let mut ways = HashSet::new();
        for (path, kind) in places {
            tree.put((path.clone(), *kind), Vec::new());
            ways.extend((1..path.len()).filter(|&at| path.get(at) == Some(&b'.')).filter_map(|at| path.get(..at)));
        }
        Self { tree, ways, sought: Vec::new() }
    }

    fn level(&mut self, document: &'a [u8], node: NodeId, depth: usize) -> Sure<()> {
        let mut elements = Elements::of(body(document)?);
        if depth == 0 {
            return Err(Doubt);
        }
        let mut cursor = Cursor::default();
        while let Some(element) = elements.next_element()? {
            let spot = self.tree.spot(node, element.value.kind, element.name, &mut cursor);
            self.take(element.value, spot, depth)?;
        }
        Ok(())
    }

    fn array(&mut self, array: &'a [u8], node: NodeId, depth: usize) -> Sure<()> {
        let mut rest = body(array)?;
        if !rest.is_empty() && rest.get(1..3) != Some(b"0\0") {
            return self.level(array, node, depth);
        }
        if depth == 0 {
            return Err(Doubt);
        }
        let (mut cursor, mut index) = (Cursor::default(), Index::new());
        while let Some((value, after)) = member(rest, &index)? {
            let spot = self.tree.spot(node, value.kind, MEMBER, &mut cursor);
            self.take(value, spot, depth)?;
            index.advance();
            rest = after;
        }
        Ok(())
    }

    fn take(&mut self, value: Value<'a>, spot: Spot, depth: usize) -> Sure<()> {
        match self.sought_at(spot, value.kind)? {
            Sought::Nothing => Ok(()),
            Sought::Inside(node) if value.kind == ARRAY => self.array(value.bytes, node, depth - 1),
            Sought::Inside(node) => self.level(value.bytes, node, depth - 1),
            Sought::Column => {
                let column = self.tree.column(spot, || None).ok_or(Doubt)?;
                keep(value, &width(value.kind)?, column)
            }
        }
    }

    fn sought_at(&mut self, spot: Spot, kind: u8) -> Sure<Sought> {
        let known = self.sought.get(spot.parent).and_then(|node| node.get(spot.number));
        if let Some(Some(known)) = known {
            return Ok(*known);
        }
        let sought = if matches!(kind, DOCUMENT | ARRAY) {
            let leads = self.ways.contains(self.tree.path(spot).as_slice());
            if leads { Sought::Inside(self.tree.node(spot)) } else { Sought::Nothing }
        } else if self.tree.column(spot, || None).is_some() {
            Sought::Column
        } else {
            Sought::Nothing
        };
        if self.sought.len() <= spot.parent {
            self.sought.resize_with(spot.parent + 1, Vec::new);
        }
        let node = self.sought.get_mut(spot.parent).ok_or(Doubt)?;
        if node.len() <= spot.number {
            node.resize(spot.number + 1, None);
        }
        *node.get_mut(spot.number).ok_or(Doubt)? = Some(sought);
        Ok(sought)
    }
}

/// What scripts may repeat, and what columns may.
pub type Repeated = (Vec<u8>, Vec<u8>);

/// Return what scripts may repeat, and what columns may: of references, and of older selves the columns at `places`, or
/// all where there are none.
///
/// # Errors
/// A document cannot be walked.
pub fn dictionary<T: AsRef<[u8]>>(references: &[T], olds: &[T], places: Option<&[Place]>) -> Sure<Repeated> {
    fn alone<T: AsRef<[u8]>>(document: &T) -> (&[u8], Option<&[u8]>) {
        (document.as_ref(), None)
    }
    let Some(places) = places else {
        let gathered = gather(references.iter().chain(olds).map(alone))?;
        return Ok((gathered.script, joined(&gathered.tree)));
    };
    let gathered = gather(references.iter().map(alone))?;
    let mut picker = Picker::new(places);
    for old in olds {
        picker.level(old.as_ref(), 0, DEPTH)?;
    }
    let mut columns: BTreeMap<&Place, (&[u8], &[u8])> = BTreeMap::new();
    for (place, column) in gathered.tree.sorted() {
        columns.entry(place).or_default().0 = column;
    }
    for (place, column) in picker.tree.sorted() {
        columns.entry(place).or_default().1 = column;
    }
    Ok((
        gathered.script,
        columns.into_values().flat_map(|(before, picked)| [before, picked]).collect::<Vec<_>>().concat(),
    ))
}
