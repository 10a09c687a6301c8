//! Writes the element that is appended (schemas/raw-linkset.md, "Names").

use crate::Sure;
use crate::bson::value::{ARRAY, DOCUMENT, STRING};
use crate::linkset::pointers::{Pointers, push_decimal};
use crate::linkset::projection::Projection;
use crate::names::Names;
use crate::splice::{close, length, open};

/// Append the element that holds `projection` to `out`.
///
/// # Errors
/// Something is longer than a length can say.
pub fn write(out: &mut Vec<u8>, projection: &Projection, names: &Names) -> Sure<()> {
    head(out, DOCUMENT, &names.raw_linkset);
    let whole = open(out);
    write_texts(out, &names.aliases, projection.aliases.iter().copied())?;
    write_texts(out, &names.purls, projection.purls.iter().copied())?;
    write_texts(out, &names.cpes, projection.cpes.iter().copied())?;
    let references = projection.references.iter();
    let members =
        references.map(|one| [(&names.kind, one.kind), (&names.url, Some(one.url)), (&names.source, one.source)]);
    write_documents(out, &names.references, members)?;
    if let Some(scopes) = &projection.scopes {
        write_texts(out, &names.scopes, scopes.iter().copied())?;
    }
    if let Some(relationships) = &projection.relationships {
        let ties = relationships.iter();
        let members =
            ties.map(|one| [(&names.kind, one.kind), (&names.source, one.source), (&names.target, one.target)]);
        write_documents(out, &names.relationships, members)?;
    }
    write_texts(out, &names.reconciled_from, projection.pointers.iter().flat_map(Pointers::iter))?;
    head(out, DOCUMENT, &names.notes);
    let notes = open(out);
    close(out, notes)?;
    close(out, whole)
}

fn write_texts<'t>(out: &mut Vec<u8>, name: &str, texts: impl Iterator<Item = &'t [u8]>) -> Sure<()> {
    head(out, ARRAY, name);
    let list = open(out);
    for (number, text) in texts.enumerate() {
        item(out, STRING, number);
        write_text(out, text)?;
    }
    close(out, list)
}

fn write_documents<'t>(
    out: &mut Vec<u8>,
    name: &str,
    documents: impl Iterator<Item = [(&'t String, Option<&'t [u8]>); 3]>,
) -> Sure<()> {
    head(out, ARRAY, name);
    let list = open(out);
    for (number, members) in documents.enumerate() {
        item(out, DOCUMENT, number);
        let document = open(out);
        for (name, text) in members {
            if let Some(text) = text {
                head(out, STRING, name);
                write_text(out, text)?;
            }
        }
        close(out, document)?;
    }
    close(out, list)
}

fn head(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

fn item(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    push_decimal(out, number);
    out.push(0);
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Sure<()> {
    out.extend_from_slice(&length(text.len() + 1)?);
    out.extend_from_slice(text);
    out.push(0);
    Ok(())
}
