//! Whether a `rawLinkset` is of shape v1, to its last byte (`kit.transforms.projections.is_shape_v1`).

use crate::bson::value::{DOCUMENT, STRING, Value, is_utf8};
use crate::bson::walk::Elements;
use crate::names::Names;
use crate::{Doubt, Sure};

/// Notes of which each is compared with each.
const MAX_NOTES: usize = 64;

/// Check that `value` is of the shape: its elements in order, and nothing else.
///
/// # Errors
/// It is not.
pub fn check(value: Value, names: &Names) -> Sure<()> {
    let mut elements = value.document()?;
    let reference = [(&names.kind, false), (&names.url, true), (&names.source, false)];
    let relationship = [(&names.kind, false), (&names.source, false), (&names.target, false)];
    texts(called(&mut elements, &names.aliases)?.ok_or(Doubt)?)?;
    texts(called(&mut elements, &names.purls)?.ok_or(Doubt)?)?;
    texts(called(&mut elements, &names.cpes)?.ok_or(Doubt)?)?;
    documents(called(&mut elements, &names.references)?.ok_or(Doubt)?, reference)?;
    called(&mut elements, &names.scopes)?.map_or(Ok(()), texts)?;
    called(&mut elements, &names.relationships)?.map_or(Ok(()), |value| documents(value, relationship))?;
    texts(called(&mut elements, &names.reconciled_from)?.ok_or(Doubt)?)?;
    notes(called(&mut elements, &names.notes)?.ok_or(Doubt)?)?;
    if elements.is_at_end() { Ok(()) } else { Err(Doubt) }
}

/// Check that a canonical linkset is a document, and cannot be an envelope, whose first member is a true.
///
/// # Errors
/// It is something else.
pub fn check_linkset(value: Option<Value>) -> Sure<()> {
    let first = value.ok_or(Doubt)?.document()?.next_element()?;
    if first.is_some_and(|first| first.value.kind == 8) { Err(Doubt) } else { Ok(()) }
}

/// Return the value of the next element if it is called `name`.
fn called<'a>(elements: &mut Elements<'a>, name: &str) -> Sure<Option<Value<'a>>> {
    let mut ahead = elements.clone();
    let next = ahead.next_element()?.filter(|next| next.name == name.as_bytes());
    if next.is_some() {
        *elements = ahead;
    }
    Ok(next.map(|next| next.value))
}

fn texts(value: Value) -> Sure<()> {
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        item.text()?;
    }
    Ok(())
}

fn documents(value: Value, members: [(&String, bool); 3]) -> Sure<()> {
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        if item.kind != DOCUMENT {
            return Err(Doubt);
        }
        let mut elements = item.document()?;
        if elements.is_at_end() {
            return Err(Doubt);
        }
        for (name, is_required) in members {
            match called(&mut elements, name)? {
                Some(value) => drop(value.text()?),
                None if is_required => return Err(Doubt),
                None => {}
            }
        }
        if !elements.is_at_end() {
            return Err(Doubt);
        }
    }
    Ok(())
}

fn notes(value: Value) -> Sure<()> {
    let mut elements = value.document()?;
    let mut names = Vec::new();
    while let Some(note) = elements.next_element()? {
        if note.value.kind != STRING || !is_utf8(note.name) || names.contains(&note.name) || names.len() >= MAX_NOTES {
            return Err(Doubt);
        }
        note.value.text()?;
        names.push(note.name);
    }
    Ok(())
}
