//! The linkset of a snapshot, as `kit.transforms.raw_linkset.projection.from_linkset` copies it.

use crate::bson::value::{NULL, Value};
use crate::bson::walk::{Others, pick, plain_name};
use crate::linkset::present;
use crate::linkset::projection::{Projection, Reference, Relationship};
use crate::names::Names;
use crate::{Doubt, Sure};

/// Copy `linkset`, or what `identifiers` has where it has no aliases.
///
/// # Errors
/// Something is not plainly what it should be, or the reference skips a value; or there are notes.
pub fn read<'a>(
    linkset: Value<'a>,
    identifiers: Option<Value<'a>>,
    names: &Names,
    into: &mut Projection<'a>,
) -> Sure<()> {
    into.clear();
    read_lists(linkset, names, into)?;
    let Some(identifiers) = identifiers else { return Ok(()) };
    let [aliases] = pick(identifiers.document()?, [names.aliases.as_bytes()], Others::Sound)?;
    match present(aliases) {
        Some(aliases) if into.aliases.is_empty() => texts(aliases, &mut into.aliases),
        Some(aliases) => aliases.sound(),
        None => Ok(()),
    }
}

fn read_lists<'a>(linkset: Value<'a>, names: &Names, into: &mut Projection<'a>) -> Sure<()> {
    let mut elements = linkset.document()?;
    let mut met = 0_u32;
    let mut pointers: Option<(usize, Value)> = None;
    while let Some(element) = elements.next_element()? {
        let (name, value) = (element.name, element.value);
        let is = |wanted: &String| wanted.as_bytes() == name;
        let spelling = names.reconciled_from_spellings.iter().position(is);
        let number = if is(&names.aliases) {
            list(value, &mut into.aliases)?;
            0
        } else if is(&names.purls) {
            list(value, &mut into.purls)?;
            1
        } else if is(&names.cpes) {
            list(value, &mut into.cpes)?;
            2
        } else if is(&names.references) {
            references(value, names, &mut into.references)?;
            3
        } else if is(&names.scopes) {
            if value.kind != NULL {
                list(value, into.scopes.insert(Vec::new()))?;
            }
            4
        } else if is(&names.relationships) {
            if value.kind != NULL {
                relationships(value, names, into.relationships.insert(Vec::new()))?;
            }
            5
        } else if is(&names.notes) {
            if value.kind != NULL && value.document()?.next_element()?.is_some() {
                return Err(Doubt);
            }
            6
        } else if let Some(spelling) = spelling {
            value.sound()?;
            if value.kind != NULL && pointers.is_none_or(|(other, _)| spelling < other) {
                pointers = Some((spelling, value));
            }
            u32::try_from(7 + spelling).map_err(|_| Doubt)?
        } else {
            plain_name(name)?;
            value.sound()?;
            continue;
        };
        let bit = 1_u32.checked_shl(number).ok_or(Doubt)?;
        if met & bit != 0 {
            return Err(Doubt);
        }
        met |= bit;
    }
    if let Some((_, value)) = pointers {
        let mut items = value.array()?;
        while let Some((_, item)) = items.next_item()? {
            into.pointers[0].push(item.text()?);
        }
    }
    Ok(())
}

fn list<'a>(value: Value<'a>, into: &mut Vec<&'a [u8]>) -> Sure<()> {
    if value.kind == NULL { Ok(()) } else { texts(value, into) }
}

fn texts<'a>(value: Value<'a>, into: &mut Vec<&'a [u8]>) -> Sure<()> {
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        into.push(item.text()?);
    }
    Ok(())
}

fn references<'a>(value: Value<'a>, names: &Names, into: &mut Vec<Reference<'a>>) -> Sure<()> {
    if value.kind == NULL {
        return Ok(());
    }
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        let [kind, url, source] = members(item, [&names.kind, &names.url, &names.source])?;
        into.push(Reference { url: url.ok_or(Doubt)?, kind, source });
    }
    Ok(())
}

fn relationships<'a>(value: Value<'a>, names: &Names, into: &mut Vec<Relationship<'a>>) -> Sure<()> {
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        let [kind, source, target] = members(item, [&names.kind, &names.source, &names.target])?;
        // One of which the source says nothing is none.
        if kind.is_some() || source.is_some() || target.is_some() {
            into.push(Relationship { kind, source, target });
        }
    }
    Ok(())
}

fn members<'a>(value: Value<'a>, names: [&String; 3]) -> Sure<[Option<&'a [u8]>; 3]> {
    let [one, two, three] = pick(value.document()?, names.map(String::as_bytes), Others::Sound)?;
    let text = |value: Option<Value<'a>>| value.map(Value::text).transpose();
    Ok([text(one)?, text(two)?, text(three)?])
}
