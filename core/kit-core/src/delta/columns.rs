//! Columns: the values of many documents, by where they are and of which type (`kit/delta/columns.py`).

use std::collections::HashMap;

use crate::delta::varint;

/// Path and type of a column.
pub type Place = (Vec<u8>, u8);

/// The number of a path in a [`Tree`].
pub type NodeId = usize;

/// A value's place below a path: the node of what is in it, and its column, each once it is needed.
#[derive(Debug, Clone, Copy)]
struct Below<'a> {
    kind: u8,
    name: &'a [u8],
    node: Option<NodeId>,
    column: Option<usize>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    path: Vec<u8>,
    below: Vec<Below<'a>>,
    numbers: HashMap<(u8, &'a [u8]), usize>,
}

/// The paths that documents have, and the columns of type `C` that are there.
///
/// A place below a path is looked for beside the one that was found before: documents of a collection are alike.
#[derive(Debug)]
pub struct Tree<'a, C> {
    nodes: Vec<Node<'a>>,
    numbers: HashMap<Place, usize>,
    columns: Vec<C>,
}

/// Where a walk of one level is, in the order in which its node first met the names.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cursor(usize);

/// What a walk found below a path.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// The node of the path.
    pub parent: NodeId,
    /// Its number below that path.
    pub number: usize,
}

impl<'a, C> Tree<'a, C> {
    /// Return a tree of whole documents, without columns; its root is node 0.
    #[must_use]
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()], numbers: HashMap::new(), columns: Vec::new() }
    }

    /// Return where values of type `kind` and name `name` are below `node`.
    pub fn spot(&mut self, node: NodeId, kind: u8, name: &'a [u8], cursor: &mut Cursor) -> Spot {
        let Some(parent) = self.nodes.get_mut(node) else { return Spot { parent: node, number: 0 } };
        let is_here =
            |number: usize| parent.below.get(number).is_some_and(|below| below.kind == kind && below.name == name);
        let number = if is_here(cursor.0) {
            cursor.0
        } else if cursor.0 > 0 && is_here(cursor.0 - 1) {
            cursor.0 - 1
        } else {
            *parent.numbers.entry((kind, name)).or_insert_with(|| {
                parent.below.push(Below { kind, name, node: None, column: None });
                parent.below.len() - 1
            })
        };
        cursor.0 = number + 1;
        Spot { parent: node, number }
    }

    /// Return the node of what is inside the values at `spot`.
    pub fn node(&mut self, spot: Spot) -> NodeId {
        let number = self.nodes.len();
        let Some(below) = self.below(spot) else { return 0 };
        if let Some(known) = below.node {
            return known;
        }
        below.node = Some(number);
        let path = self.path(spot);
        self.nodes.push(Node { path, ..Node::default() });
        number
    }

    /// Return the column of the values at `spot`; `make` makes it, if it can be.
    pub fn column(&mut self, spot: Spot, make: impl FnOnce() -> Option<C>) -> Option<&mut C> {
        let known = self.below(spot)?.column;
        let number = if let Some(number) = known {
            number
        } else {
            let kind = self.below(spot)?.kind;
            let place = (self.path(spot), kind);
            // Two paths that are spelled alike share columns.
            let number = match self.numbers.get(&place) {
                Some(&number) => number,
                None => self.put(place, make()?),
            };
            self.below(spot)?.column = Some(number);
            number
        };
        self.columns.get_mut(number)
    }

    /// Add a column and return its number.
    pub fn put(&mut self, place: Place, column: C) -> usize {
        let number = self.columns.len();
        self.numbers.insert(place, number);
        self.columns.push(column);
        number
    }

    /// Return the column at `place`.
    pub fn at(&mut self, place: &Place) -> Option<&mut C> {
        self.columns.get_mut(*self.numbers.get(place)?)
    }

    /// Return the columns.
    pub fn columns(&self) -> impl Iterator<Item = &C> {
        self.columns.iter()
    }

    /// Return the columns and their places, sorted by path and type.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&Place, &C)> {
        let mut all: Vec<(&Place, &C)> =
            self.numbers.iter().filter_map(|(place, &number)| Some((place, self.columns.get(number)?))).collect();
        all.sort_unstable_by_key(|(place, _)| *place);
        all
    }

    fn below(&mut self, spot: Spot) -> Option<&mut Below<'a>> {
        self.nodes.get_mut(spot.parent)?.below.get_mut(spot.number)
    }

    /// Return the path of the values at `spot`.
    #[must_use]
    pub fn path(&self, spot: Spot) -> Vec<u8> {
        let Some(parent) = self.nodes.get(spot.parent) else { return Vec::new() };
        let name = parent.below.get(spot.number).map_or(&b""[..], |below| below.name);
        [&parent.path, &b"."[..], name].concat()
    }
}

impl<C> Default for Tree<'_, C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Return which columns there are and how long, in the order of [`joined`].
#[must_use]
pub fn headers(tree: &Tree<Vec<u8>>) -> Vec<u8> {
    let all = tree.sorted();
    let mut out = Vec::new();
    varint::put(all.len(), &mut out);
    for ((path, kind), column) in all {
        varint::put(path.len(), &mut out);
        out.extend_from_slice(path);
        out.push(*kind);
        varint::put(column.len(), &mut out);
    }
    out
}

/// Return all columns joined, sorted by path and type.
#[must_use]
pub fn joined(tree: &Tree<Vec<u8>>) -> Vec<u8> {
    tree.sorted().into_iter().map(|(_, column)| column.as_slice()).collect::<Vec<_>>().concat()
}
