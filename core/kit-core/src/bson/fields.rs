//! Finds values of a document by place: the paths at which one may be, the most usual first.

use crate::bson::level::Level;
use crate::bson::value::{DOCUMENT, NULL, Value, body};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

/// The paths at which a value may be, each as its steps.
pub type Place = Vec<Vec<String>>;

/// A place of [`Fields`].
#[derive(Debug, Clone, Copy)]
pub struct PlaceId(usize);

/// Steps of a path; nobody's are more, and each is a call.
const MAX_STEPS: usize = 32;

/// One document after the other, looked into by place. Every level on the way is walked once for each document.
#[derive(Debug)]
pub struct Fields<'a> {
    nodes: Vec<Node<'a>>,
    /// Of each place its paths, as a node and the mark in it.
    places: Vec<Vec<(usize, usize)>>,
}

#[derive(Debug)]
struct Node<'a> {
    level: Level<'a>,
    /// The node above, and the mark that is this level; None for the document itself.
    above: Option<(usize, usize)>,
    is_walked: bool,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { nodes: vec![Node { level: Level::new([]), above: None, is_walked: false }], places: Vec::new() }
    }
}

impl<'a> Fields<'a> {
    /// Look for the value at `place` from now on.
    ///
    /// # Errors
    /// A path has no steps or very many, or a name that no element can have.
    pub fn add(&mut self, place: &Place) -> Sure<PlaceId> {
        let mut paths = Vec::with_capacity(place.len());
        for path in place {
            if path.len() > MAX_STEPS || path.iter().any(|step| step.contains('\0')) {
                return Err(Doubt);
            }
            let (leaf, parents) = path.split_last().ok_or(Doubt)?;
            let mut node = 0;
            for step in parents {
                node = self.below(node, step)?;
            }
            paths.push((node, self.nodes.get_mut(node).ok_or(Doubt)?.level.want(leaf.as_bytes())));
        }
        self.places.push(paths);
        Ok(PlaceId(self.places.len() - 1))
    }

    /// Look into `document` from now on.
    ///
    /// # Errors
    /// It is no document, or its uppermost level is malformed or repeats a name.
    pub fn open(&mut self, document: &'a [u8]) -> Sure<()> {
        for node in &mut self.nodes {
            node.is_walked = false;
        }
        let top = self.nodes.first_mut().ok_or(Doubt)?;
        top.level.walk(&Elements::of(body(document)?))?;
        top.is_walked = true;
        Ok(())
    }

    /// Return the value at the first path of a place that exists and is not null.
    ///
    /// # Errors
    /// A document on the way is malformed or repeats a name.
    pub fn find(&mut self, place: PlaceId) -> Sure<Option<Value<'a>>> {
        Ok(self.find_any(place)?.filter(|value| value.kind != NULL))
    }

    /// Return the value at the first path of a place that exists and is not null, else a null that is there.
    ///
    /// # Errors
    /// As [`Fields::find`].
    pub fn find_any(&mut self, place: PlaceId) -> Sure<Option<Value<'a>>> {
        let mut null = None;
        let paths = self.places.get(place.0).map_or(0, Vec::len);
        for path in 0..paths {
            let Some(&(node, mark)) = self.places.get(place.0).and_then(|paths| paths.get(path)) else { break };
            self.walk(node)?;
            match self.nodes.get(node).and_then(|node| node.level.mark(mark)) {
                Some(value) if value.kind != NULL => return Ok(Some(value)),
                found => null = null.or(found),
            }
        }
        Ok(null)
    }

    fn below(&mut self, above: usize, step: &str) -> Sure<usize> {
        let mark = self.nodes.get_mut(above).ok_or(Doubt)?.level.want(step.as_bytes());
        let known = self.nodes.iter().position(|node| node.above == Some((above, mark)));
        Ok(known.unwrap_or_else(|| {
            self.nodes.push(Node { level: Level::new([]), above: Some((above, mark)), is_walked: false });
            self.nodes.len() - 1
        }))
    }

    fn walk(&mut self, number: usize) -> Sure<()> {
        let node = self.nodes.get(number).ok_or(Doubt)?;
        let Some((above, mark)) = node.above.filter(|_| !node.is_walked) else { return Ok(()) };
        self.walk(above)?;
        let found = self.nodes.get(above).and_then(|node| node.level.mark(mark));
        let node = self.nodes.get_mut(number).ok_or(Doubt)?;
        match found {
            Some(value) if value.kind == DOCUMENT => node.level.walk(&value.document()?)?,
            _ => node.level.clear(),
        }
        node.is_walked = true;
        Ok(())
    }
}
