//! Says a document by what it has of its older self (`kit/delta/edits.py`, which has the form of the script).

use std::collections::HashMap;

use crate::Sure;
use crate::bson::value::{ARRAY, DOCUMENT, Value, body};
use crate::bson::walk::{Element, Elements};
use crate::delta::columns::{Cursor, NodeId};
use crate::delta::shred::Gathered;
use crate::delta::{CANONICAL, DEPTH, Index, MEMBER, NAMED, step, varint};

/// What an element is called: its name or, where names only count, its value.
type Key<'a> = (u8, &'a [u8]);

/// Append what makes `target` of `base`.
///
/// # Errors
/// One of them cannot be walked; all that was gathered is void.
pub fn edit<'a>(gathered: &mut Gathered<'a>, base: &'a [u8], target: &'a [u8]) -> Sure<()> {
    level(gathered, base, target, 0, true, DEPTH)
}

fn level<'a>(
    gathered: &mut Gathered<'a>,
    base: &'a [u8],
    target: &'a [u8],
    node: NodeId,
    named: bool,
    depth: usize,
) -> Sure<()> {
    let (mut old, new) = (body(base)?, body(target)?);
    if depth == 0 {
        return Err(crate::Doubt);
    }
    // What both begin with, byte for byte: only one side is walked for it.
    let (mut elements, mut at, mut kept) = (Elements::of(new), 0, 0);
    loop {
        let mut ahead = elements.clone();
        if ahead.next_element()?.is_none() {
            break;
        }
        let end = new.len() - ahead.rest().len();
        let Some(rest) = new.get(at..end).and_then(|element| old.strip_prefix(element)) else { break };
        old = rest;
        elements = ahead;
        at = end;
        kept += 1;
    }
    let old = walked(Elements::of(old))?;
    let new = walked(elements)?;
    Level { gathered, node, named, depth, kept, cursor: Cursor::default() }.rest(&old, &new)
}

fn walked(mut elements: Elements) -> Sure<Vec<Element>> {
    let mut all = Vec::new();
    while let Some(element) = elements.next_element()? {
        all.push(element);
    }
    Ok(all)
}

/// One level being said.
struct Level<'g, 'a> {
    gathered: &'g mut Gathered<'a>,
    node: NodeId,
    named: bool,
    depth: usize,
    /// Elements of the base that are kept and not yet said.
    kept: usize,
    cursor: Cursor,
}

impl<'a> Level<'_, 'a> {
    /// Say the elements `new`, where the base has `old`, both behind what is kept.
    fn rest(mut self, old: &[Element<'a>], new: &[Element<'a>]) -> Sure<()> {
        if new.is_empty() {
            self.end(old.is_empty());
            return Ok(());
        }
        let mut places: HashMap<Key, Vec<usize>> = HashMap::new();
        for (place, element) in old.iter().enumerate().rev() {
            places.entry(self.key(element)).or_default().push(place);
        }
        let wanted: HashMap<Key, usize> = new.iter().enumerate().map(|(place, one)| (self.key(one), place)).collect();
        let mut at = 0;
        for (number, element) in new.iter().enumerate() {
            let key = self.key(element);
            if old.get(at).is_none_or(|one| self.key(one) != key) {
                if let Some(found) = next(places.get_mut(&key), at) {
                    self.keep();
                    self.gathered.script.push(step::LEAVE_OUT);
                    varint::put(found - at, &mut self.gathered.script);
                    at = found;
                } else {
                    let is_wanted = |one| wanted.get(&self.key(one)).is_some_and(|&place| place > number);
                    if self.named || old.get(at).is_none_or(is_wanted) {
                        self.keep();
                        self.new_element(element)?;
                        continue;
                    }
                }
            }
            let Some(one) = old.get(at) else { return Err(crate::Doubt) };
            if one.value.kind == element.value.kind && one.value.bytes == element.value.bytes {
                self.kept += 1;
            } else {
                self.keep();
                self.change(one, element)?;
            }
            at += 1;
        }
        self.end(at == old.len());
        Ok(())
    }

    fn end(&mut self, is_all: bool) {
        if self.kept > 0 && is_all {
            self.gathered.script.push(step::KEEP_REST);
        } else {
            self.keep();
            self.gathered.script.push(step::END);
        }
    }

    fn keep(&mut self) {
        if self.kept > 0 {
            self.gathered.script.push(step::KEEP);
            varint::put(self.kept, &mut self.gathered.script);
            self.kept = 0;
        }
    }

    fn key(&self, element: &Element<'a>) -> Key<'a> {
        if self.named { (0, element.name) } else { (element.value.kind, element.value.bytes) }
    }

    fn new_element(&mut self, element: &Element<'a>) -> Sure<()> {
        self.gathered.script.push(step::NEW);
        if self.named {
            self.gathered.script.extend_from_slice(element.name);
            self.gathered.script.push(0);
        }
        self.value(element)
    }

    fn change(&mut self, old: &Element<'a>, new: &Element<'a>) -> Sure<()> {
        let kind = new.value.kind;
        if old.value.kind != kind || !matches!(kind, DOCUMENT | ARRAY) {
            self.gathered.script.push(step::SET);
            return self.value(new);
        }
        let plain = kind == ARRAY && is_canonical(old.value)? && is_canonical(new.value)?;
        self.gathered.script.push(step::ENTER);
        self.gathered.script.push(if plain { CANONICAL } else { NAMED });
        let spot = self.gathered.tree.spot(self.node, kind, self.name(new), &mut self.cursor);
        let node = self.gathered.tree.node(spot);
        level(self.gathered, old.value.bytes, new.value.bytes, node, !plain, self.depth - 1)
    }

    fn value(&mut self, element: &Element<'a>) -> Sure<()> {
        self.gathered.script.push(element.value.kind);
        let spot = self.gathered.tree.spot(self.node, element.value.kind, self.name(element), &mut self.cursor);
        self.gathered.value(element.value, spot, self.depth)
    }

    fn name(&self, element: &Element<'a>) -> &'a [u8] {
        if self.named { element.name } else { MEMBER }
    }
}

/// Return the first place that is not before `at`; places before it are never asked for again.
fn next(places: Option<&mut Vec<usize>>, at: usize) -> Option<usize> {
    let places = places?;
    while places.last().is_some_and(|&place| place < at) {
        places.pop();
    }
    places.last().copied()
}

/// Whether the names of an array are 0, 1, 2 …, each once, in order.
///
/// # Errors
/// It cannot be walked so far.
fn is_canonical(array: Value) -> Sure<bool> {
    let (mut elements, mut index) = (Elements::of(body(array.bytes)?), Index::new());
    while let Some(element) = elements.next_element()? {
        if element.name != index.name() {
            return Ok(false);
        }
        index.advance();
    }
    Ok(true)
}
