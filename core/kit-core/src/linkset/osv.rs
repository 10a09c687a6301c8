//! OSV 1.x, as `kit/transforms/raw_linkset/osv.py` reads it.

use crate::bson::level::Level;
use crate::bson::value::Value;
use crate::bson::walk::{Others, pick};
use crate::linkset::present;
use crate::linkset::projection::{Projection, Reference, Relationship};
use crate::linkset::table::{Format, Needs, Table};
use crate::{Doubt, Sure};

const SCHEMA_VERSION: &[u8] = b"schema_version";
const ID: &[u8] = b"id";
const MODIFIED: &[u8] = b"modified";
const ALIASES: &[u8] = b"aliases";
const UPSTREAM: &[u8] = b"upstream";
const RELATED: &[u8] = b"related";
const REFERENCES: &[u8] = b"references";
const URL: &[u8] = b"url";
const TYPE: &[u8] = b"type";
const AFFECTED: &[u8] = b"affected";
const PACKAGE: &[u8] = b"package";
const PURL: &[u8] = b"purl";
const DATABASE_SPECIFIC: &[u8] = b"database_specific";
const CPES: &[u8] = b"cpes";

/// What is read.
pub static TABLE: Table = Table {
    name: "osv",
    format: Format::Osv,
    needs: Needs::Members(&[
        (SCHEMA_VERSION, Needs::All),
        (ID, Needs::All),
        (MODIFIED, Needs::All),
        (ALIASES, Needs::All),
        (UPSTREAM, Needs::All),
        (RELATED, Needs::All),
        (REFERENCES, Needs::All),
        (AFFECTED, Needs::Members(&[(PACKAGE, Needs::All), (DATABASE_SPECIFIC, Needs::All)])),
        (DATABASE_SPECIFIC, Needs::All),
    ]),
    members: &[],
    known: &[],
};

/// Project the document whose uppermost level was walked.
///
/// # Errors
/// It is not plainly OSV 1.x.
pub fn extract<'a>(level: &Level<'a>, into: &mut Projection<'a>) -> Sure<()> {
    let [version, id, modified, aliases, upstream, related, references, affected, specific, envelope] =
        level.marks()?;
    if envelope.is_some() || !is_of_the_version(version)? {
        return Err(Doubt);
    }
    if let Some(modified) = modified {
        modified.sound()?;
    }
    let id = id.ok_or(Doubt)?;
    into.take_alias(id, |pointers| pointers.push(b"/id"))?;
    into.take_aliases(present(aliases), b"/aliases")?;
    if let Some(affected) = present(affected) {
        let mut items = affected.array()?;
        let mut where_from = Vec::new();
        while let Some((index, item)) = items.next_item()? {
            let [package, specific] = pick(item.document()?, [PACKAGE, DATABASE_SPECIFIC], Others::Any)?;
            if let Some(package) = present(package) {
                let [purl] = pick(package.document()?, [PURL], Others::Sound)?;
                if let Some(purl) = purl {
                    into.take_purl(purl, |pointers| pointers.push_item(b"/affected", index, b"/package/purl"))?;
                }
            }
            if let Some(cpes) = cpes_of(specific)? {
                where_from.clear();
                where_from.extend_from_slice(b"/affected/");
                crate::linkset::pointers::push_decimal(&mut where_from, index);
                where_from.extend_from_slice(b"/database_specific/cpes");
                into.take_cpes(Some(cpes), &where_from)?;
            }
        }
    }
    into.take_cpes(cpes_of(specific)?, b"/database_specific/cpes")?;
    if let Some(references) = present(references) {
        let mut items = references.array()?;
        while let Some((index, item)) = items.next_item()? {
            let [url, kind] = pick(item.document()?, [URL, TYPE], Others::Sound)?;
            let kind = kind.map(Value::text).transpose()?;
            let reference = Reference { url: url.ok_or(Doubt)?.text()?, kind, source: None };
            into.take_reference(reference, |pointers| pointers.push_item(b"/references", index, b""));
        }
    }
    let source = id.text()?;
    take_others(present(upstream), UPSTREAM, source, into)?;
    take_others(present(related), RELATED, source, into)
}

/// Whether a document that states this version is read: absent, the schema says, means 1.0.0.
fn is_of_the_version(version: Option<Value>) -> Sure<bool> {
    let Some(version) = version else { return Ok(true) };
    let version = version.text()?;
    Ok(version.starts_with(b"1.") || version == b"1")
}

fn cpes_of(specific: Option<Value>) -> Sure<Option<Value>> {
    let Some(specific) = present(specific) else { return Ok(None) };
    let [cpes] = pick(specific.document()?, [CPES], Others::Sound)?;
    Ok(present(cpes))
}

fn take_others<'a>(
    list: Option<Value<'a>>,
    kind: &'static [u8],
    source: &'a [u8],
    into: &mut Projection<'a>,
) -> Sure<()> {
    let Some(list) = list else { return Ok(()) };
    let mut items = list.array()?;
    while let Some((_, item)) = items.next_item()? {
        let tie = Relationship { kind: Some(kind), source: Some(source), target: Some(item.text()?) };
        into.relationships.get_or_insert_default().push(tie);
    }
    Ok(())
}
