//! Puts documents together again from scripts, columns and older selves (`kit/delta/shred.py`, `kit/delta/edits.py`).

use std::ffi::CStr;

use crate::bson::value::{ARRAY, DOCUMENT, body};
use crate::bson::walk::{Element, Elements};
use crate::delta::columns::{Cursor, NodeId, Spot, Tree};
use crate::delta::{CANONICAL, DEPTH, EDITED, Index, MEMBER, RAW, SHREDDED, WHOLE, Width, step, varint, width};
use crate::{Doubt, Sure};

/// Documents, back to back, and the offset after each.
pub type Restored = (Vec<u8>, Vec<usize>);

/// Return a document for each of `olds`: the older self of each, where it may have one.
///
/// `headers` say how `columns` are cut; all documents have at most `most` bytes.
///
/// # Errors
/// Something does not fit, or is left over.
pub fn restore(
    olds: &[Option<impl AsRef<[u8]>>],
    script: &[u8],
    headers: &[u8],
    columns: &[u8],
    most: usize,
) -> Sure<Restored> {
    let tree = taking(headers, columns)?;
    let mut restorer = Restorer { script, tree, out: Vec::new() };
    let mut ends = Vec::with_capacity(olds.len());
    for old in olds {
        restorer.document(old.as_ref().map(AsRef::as_ref))?;
        if restorer.out.len() > most {
            return Err(Doubt);
        }
        ends.push(restorer.out.len());
    }
    if !restorer.script.is_empty() || restorer.tree.columns().any(|rest| !rest.is_empty()) {
        return Err(Doubt);
    }
    Ok((restorer.out, ends))
}

/// Cut joined columns apart.
fn taking<'a>(mut headers: &[u8], mut data: &'a [u8]) -> Sure<Tree<'a, &'a [u8]>> {
    let mut tree = Tree::new();
    for _ in 0..number(&mut headers)? {
        let size = number(&mut headers)?;
        let path = take(&mut headers, size)?.to_vec();
        let kind = byte(&mut headers)?;
        let size = number(&mut headers)?;
        let place = (path, kind);
        if tree.at(&place).is_some() {
            return Err(Doubt);
        }
        tree.put(place, take(&mut data, size)?);
    }
    if headers.is_empty() && data.is_empty() { Ok(tree) } else { Err(Doubt) }
}

fn byte(from: &mut &[u8]) -> Sure<u8> {
    let (&byte, rest) = from.split_first().ok_or(Doubt)?;
    *from = rest;
    Ok(byte)
}

fn take<'a>(from: &mut &'a [u8], size: usize) -> Sure<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(size).ok_or(Doubt)?;
    *from = rest;
    Ok(taken)
}

fn number(from: &mut &[u8]) -> Sure<usize> {
    let (value, size) = varint::take(from)?;
    take(from, size)?;
    Ok(value)
}

/// Take what is before the first NUL, and that.
fn text<'a>(from: &mut &'a [u8]) -> Sure<&'a [u8]> {
    let size = CStr::from_bytes_until_nul(from).map_err(|_| Doubt)?.count_bytes() + 1;
    take(from, size)
}

struct Restorer<'a> {
    script: &'a [u8],
    tree: Tree<'a, &'a [u8]>,
    out: Vec<u8>,
}

impl<'a> Restorer<'a> {
    fn document(&mut self, old: Option<&'a [u8]>) -> Sure<()> {
        match (byte(&mut self.script)?, old) {
            (EDITED, Some(old)) => self.edited(old, 0, true, DEPTH),
            (SHREDDED, _) => self.level(0, DEPTH),
            (WHOLE, _) => {
                let column = self.tree.at(&(Vec::new(), RAW)).ok_or(Doubt)?;
                let size = number(column)?;
                self.out.extend_from_slice(take(column, size)?);
                Ok(())
            }
            _ => Err(Doubt),
        }
    }

    fn level(&mut self, node: NodeId, depth: usize) -> Sure<()> {
        let start = self.open(depth)?;
        let mut cursor = Cursor::default();
        loop {
            let kind = byte(&mut self.script)?;
            if kind == 0 {
                return self.close(start);
            }
            let name = self.name()?;
            self.element(kind, name);
            let spot = self.tree.spot(node, kind, name, &mut cursor);
            self.value(kind, spot, depth)?;
        }
    }

    fn array(&mut self, node: NodeId, depth: usize) -> Sure<()> {
        let start = self.open(depth)?;
        let (mut cursor, mut index) = (Cursor::default(), Index::new());
        loop {
            let kind = byte(&mut self.script)?;
            if kind == 0 {
                return self.close(start);
            }
            self.element(kind, index.name());
            let spot = self.tree.spot(node, kind, MEMBER, &mut cursor);
            self.value(kind, spot, depth)?;
            index.advance();
        }
    }

    /// Put the value together whose type and name were written.
    fn value(&mut self, kind: u8, spot: Spot, depth: usize) -> Sure<()> {
        if kind == DOCUMENT {
            let node = self.tree.node(spot);
            return self.level(node, depth - 1);
        }
        if kind == ARRAY {
            let node = self.tree.node(spot);
            let is_plain = byte(&mut self.script)? == CANONICAL;
            return if is_plain { self.array(node, depth - 1) } else { self.level(node, depth - 1) };
        }
        let width = width(kind)?;
        if matches!(width, Width::Fixed(0)) {
            return Ok(());
        }
        let column = self.tree.column(spot, || None).ok_or(Doubt)?;
        let value = match width {
            Width::Fixed(size) => take(column, size)?,
            Width::Counted => {
                let size = number(column)?;
                take(column, size)?
            }
            Width::Text => {
                let text = text(column)?;
                self.out.extend_from_slice(&i32::try_from(text.len()).map_err(|_| Doubt)?.to_le_bytes());
                text
            }
        };
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn edited(&mut self, base: &'a [u8], node: NodeId, named: bool, depth: usize) -> Sure<()> {
        let mut elements = Elements::of(body(base)?);
        let start = self.open(depth)?;
        let (mut cursor, mut index) = (Cursor::default(), Index::new());
        loop {
            match byte(&mut self.script)? {
                step::END => break,
                step::KEEP_REST => {
                    if named {
                        self.out.extend_from_slice(elements.rest());
                        break;
                    }
                    while let Some(element) = elements.next_element()? {
                        self.kept(&element, &mut index);
                    }
                    break;
                }
                step::KEEP => {
                    let before = elements.rest();
                    for _ in 0..number(&mut self.script)? {
                        let element = elements.next_element()?.ok_or(Doubt)?;
                        if !named {
                            self.kept(&element, &mut index);
                        }
                    }
                    if named {
                        let size = before.len() - elements.rest().len();
                        self.out.extend_from_slice(before.get(..size).ok_or(Doubt)?);
                    }
                }
                step::LEAVE_OUT => {
                    for _ in 0..number(&mut self.script)? {
                        elements.next_element()?.ok_or(Doubt)?;
                    }
                }
                step @ (step::NEW | step::SET) => {
                    let name = if step == step::SET {
                        elements.next_element()?.ok_or(Doubt)?.name
                    } else if named {
                        self.name()?
                    } else {
                        MEMBER
                    };
                    let kind = byte(&mut self.script)?;
                    let spot = self.named(kind, name, node, named, (&mut cursor, &mut index));
                    self.value(kind, spot, depth)?;
                }
                step::ENTER => {
                    let element = elements.next_element()?.ok_or(Doubt)?;
                    let kind = element.value.kind;
                    if !matches!(kind, DOCUMENT | ARRAY) {
                        return Err(Doubt);
                    }
                    let spot = self.named(kind, element.name, node, named, (&mut cursor, &mut index));
                    let below = self.tree.node(spot);
                    let is_plain = byte(&mut self.script)? == CANONICAL;
                    self.edited(element.value.bytes, below, !is_plain, depth - 1)?;
                }
                _ => return Err(Doubt),
            }
        }
        self.close(start)
    }

    /// Write type and name of an element that is made anew, and return where its values are.
    fn named(
        &mut self,
        kind: u8,
        name: &'a [u8],
        node: NodeId,
        named: bool,
        (cursor, index): (&mut Cursor, &mut Index),
    ) -> Spot {
        if named {
            self.element(kind, name);
            return self.tree.spot(node, kind, name, cursor);
        }
        self.element(kind, index.name());
        index.advance();
        self.tree.spot(node, kind, MEMBER, cursor)
    }

    /// Write an element of the base under the name that is its place now.
    fn kept(&mut self, element: &Element, index: &mut Index) {
        self.element(element.value.kind, index.name());
        self.out.extend_from_slice(element.value.bytes);
        index.advance();
    }

    fn element(&mut self, kind: u8, name: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(name);
        self.out.push(0);
    }

    fn name(&mut self) -> Sure<&'a [u8]> {
        text(&mut self.script)?.split_last().map(|(_, name)| name).ok_or(Doubt)
    }

    fn open(&mut self, depth: usize) -> Sure<usize> {
        if depth == 0 {
            return Err(Doubt);
        }
        self.out.extend_from_slice(&[0; 4]);
        Ok(self.out.len() - 4)
    }

    fn close(&mut self, start: usize) -> Sure<()> {
        self.out.push(0);
        let size = i32::try_from(self.out.len() - start).map_err(|_| Doubt)?.to_le_bytes();
        self.out.get_mut(start..start + 4).ok_or(Doubt)?.copy_from_slice(&size);
        Ok(())
    }
}
