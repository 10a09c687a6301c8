//! Takes documents apart into a script and columns (`kit/delta/shred.py`, `kit/delta/edits.py`).

use crate::bson::value::{ARRAY, DOCUMENT, Value, body, size};
use crate::bson::walk::Elements;
use crate::delta::columns::{Cursor, NodeId, Spot, Tree, headers, joined};
use crate::delta::edit;
use crate::delta::{CANONICAL, DEPTH, EDITED, Index, MEMBER, NAMED, SHREDDED, Width, varint, width};
use crate::{Doubt, Sure};

/// Documents that were taken apart, one after another.
#[derive(Debug, Default)]
pub struct Gathered<'a> {
    /// Their scripts in a row.
    pub script: Vec<u8>,
    /// Their columns.
    pub tree: Tree<'a, Vec<u8>>,
}

impl<'a> Gathered<'a> {
    /// Add a document, by edits of an older self if there is one, or by itself.
    ///
    /// # Errors
    /// One of them cannot be walked; all that was gathered is void.
    pub fn add(&mut self, document: &'a [u8], old: Option<&'a [u8]>) -> Sure<()> {
        if let Some(old) = old {
            self.script.push(EDITED);
            edit::edit(self, old, document)
        } else {
            self.script.push(SHREDDED);
            self.level(document, 0, DEPTH)
        }
    }

    /// Append the level that `document` is.
    pub(super) fn level(&mut self, document: &'a [u8], node: NodeId, depth: usize) -> Sure<()> {
        let mut elements = Elements::of(body(document)?);
        if depth == 0 {
            return Err(Doubt);
        }
        let mut cursor = Cursor::default();
        while let Some(element) = elements.next_element()? {
            self.script.push(element.value.kind);
            self.script.extend_from_slice(element.name);
            self.script.push(0);
            let spot = self.tree.spot(node, element.value.kind, element.name, &mut cursor);
            self.value(element.value, spot, depth)?;
        }
        self.script.push(0);
        Ok(())
    }

    /// Append one value, whose type and name are at the end of the script.
    pub(super) fn value(&mut self, value: Value<'a>, spot: Spot, depth: usize) -> Sure<()> {
        match value.kind {
            DOCUMENT => {
                let node = self.tree.node(spot);
                return self.level(value.bytes, node, depth - 1);
            }
            ARRAY => {
                let node = self.tree.node(spot);
                return self.array(value.bytes, node, depth - 1);
            }
            _ => {}
        }
        let width = width(value.kind)?;
        if matches!(width, Width::Fixed(0)) {
            return Ok(());
        }
        let column = self.tree.column(spot, || Some(Vec::new())).ok_or(Doubt)?;
        keep(value, &width, column)
    }

    fn array(&mut self, array: &'a [u8], node: NodeId, depth: usize) -> Sure<()> {
        let mut rest = body(array)?;
        if !rest.is_empty() && rest.get(1..3) != Some(b"0\0") {
            self.script.push(NAMED);
            return self.level(array, node, depth);
        }
        if depth == 0 {
            return Err(Doubt);
        }
        self.script.push(CANONICAL);
        let (mut cursor, mut index) = (Cursor::default(), Index::new());
        while let Some((value, after)) = member(rest, &index)? {
            self.script.push(value.kind);
            let spot = self.tree.spot(node, value.kind, MEMBER, &mut cursor);
            self.value(value, spot, depth)?;
            index.advance();
            rest = after;
        }
        self.script.push(0);
        Ok(())
    }
}

/// Append a value to its column.
///
/// # Errors
/// It is a string that has another NUL than its last byte.
pub(super) fn keep(value: Value, width: &Width, column: &mut Vec<u8>) -> Sure<()> {
    match width {
        Width::Text => {
            let [_, _, _, _, text @ .., 0] = value.bytes else { return Err(Doubt) };
            if text.contains(&0) {
                return Err(Doubt);
            }
            column.extend_from_slice(text);
            column.push(0);
        }
        Width::Counted => {
            varint::put(value.bytes.len(), column);
            column.extend_from_slice(value.bytes);
        }
        Width::Fixed(_) => column.extend_from_slice(value.bytes),
    }
    Ok(())
}

/// Return the member `index` of an array without names, which `rest` begins with, and what follows; None at the end.
///
/// # Errors
/// It has another name, or does not end within its array.
pub(super) fn member<'a>(rest: &'a [u8], index: &Index) -> Sure<Option<(Value<'a>, &'a [u8])>> {
    let Some((&kind, rest)) = rest.split_first() else { return Ok(None) };
    let rest = rest.strip_prefix(index.name()).and_then(|rest| rest.strip_prefix(b"\0")).ok_or(Doubt)?;
    let (bytes, rest) = rest.split_at_checked(size(kind, rest)?).ok_or(Doubt)?;
    Ok(Some((Value { kind, bytes }, rest)))
}

/// Script, headers and joined columns of documents.
pub type Streams = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Return the streams of documents, each by edits of its older self where it has one.
///
/// # Errors
/// One cannot be walked, or there are not as many older selves.
pub fn streams(documents: &[impl AsRef<[u8]>], olds: &[Option<impl AsRef<[u8]>>]) -> Sure<Streams> {
    if documents.len() != olds.len() {
        return Err(Doubt);
    }
    let olds = olds.iter().map(|old| old.as_ref().map(AsRef::as_ref));
    let gathered = gather(documents.iter().map(AsRef::as_ref).zip(olds))?;
    Ok((gathered.script, headers(&gathered.tree), joined(&gathered.tree)))
}

/// Return documents taken apart, each by edits of its older self where it has one.
///
/// # Errors
/// One cannot be walked.
pub fn gather<'a>(documents: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Sure<Gathered<'a>> {
    let mut gathered = Gathered::default();
    for (document, old) in documents {
        gathered.add(document, old)?;
    }
    Ok(gathered)
}
