//! GHSA (REST), as `kit/transforms/raw_linkset/ghsa.py` reads it.

use crate::bson::level::Level;
use crate::bson::value::{DOCUMENT, Value};
use crate::bson::walk::{Others, pick};
use crate::linkset::present;
use crate::linkset::projection::{Projection, Reference};
use crate::linkset::table::{Format, Needs, Table};
use crate::{Doubt, Sure};

const CVE_ID: &[u8] = b"cve_id";
const GHSA_ID: &[u8] = b"ghsa_id";
const IDENTIFIERS: &[u8] = b"identifiers";
const VALUE: &[u8] = b"value";
const REFERENCES: &[u8] = b"references";
const URL: &[u8] = b"url";
/// What every link is.
const KIND: &[u8] = b"reference";

/// What is read.
pub static TABLE: Table = Table {
    name: "ghsa",
    format: Format::Ghsa,
    needs: Needs::Members(&[
        (CVE_ID, Needs::All),
        (GHSA_ID, Needs::All),
        (IDENTIFIERS, Needs::All),
        (REFERENCES, Needs::All),
    ]),
    members: &[],
    known: &[],
};

/// Project the document whose uppermost level was walked.
///
/// # Errors
/// It is not plainly of the format.
pub fn extract<'a>(level: &Level<'a>, into: &mut Projection<'a>) -> Sure<()> {
    let [cve_id, ghsa_id, identifiers, references, envelope] = level.marks()?;
    if envelope.is_some() {
        return Err(Doubt);
    }
    into.take_alias(ghsa_id.ok_or(Doubt)?, |pointers| pointers.push(b"/ghsa_id"))?;
    if let Some(cve_id) = present(cve_id) {
        into.take_alias(cve_id, |pointers| pointers.push(b"/cve_id"))?;
    }
    if let Some(identifiers) = present(identifiers) {
        let mut items = identifiers.array()?;
        while let Some((index, item)) = items.next_item()? {
            let [value] = pick(item.document()?, [VALUE], Others::Sound)?;
            into.take_alias(value.ok_or(Doubt)?, |pointers| pointers.push_item(b"/identifiers", index, b"/value"))?;
        }
    }
    if let Some(references) = present(references) {
        let mut items = references.array()?;
        while let Some((index, item)) = items.next_item()? {
            let reference = Reference { url: url_of(item)?, kind: Some(KIND), source: None };
            into.take_reference(reference, |pointers| pointers.push_item(b"/references", index, b""));
        }
    }
    Ok(())
}

fn url_of(reference: Value<'_>) -> Sure<&[u8]> {
    if reference.kind == DOCUMENT {
        let [url] = pick(reference.document()?, [URL], Others::Sound)?;
        return url.ok_or(Doubt)?.text();
    }
    reference.text()
}
