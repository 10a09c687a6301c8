//! CVE JSON 5.x, as `kit/transforms/raw_linkset/cve.py` reads it.

use crate::bson::level::Level;
use crate::bson::value::Value;
use crate::bson::walk::{Others, pick};
use crate::linkset::pointers::Path;
use crate::linkset::present;
use crate::linkset::projection::{Projection, Reference};
use crate::linkset::table::{Format, Needs, Table};
use crate::{Doubt, Sure};

const DATA_TYPE: &[u8] = b"dataType";
const DATA_VERSION: &[u8] = b"dataVersion";
const CVE_METADATA: &[u8] = b"cveMetadata";
const CVE_ID: &[u8] = b"cveId";
const CONTAINERS: &[u8] = b"containers";
const CNA: &[u8] = b"cna";
const ADP: &[u8] = b"adp";
const ALTERNATE_IDS: &[u8] = b"alternateIds";
const AFFECTED: &[u8] = b"affected";
const PACKAGE_URL: &[u8] = b"packageURL";
const CPES: &[u8] = b"cpes";
const CPE_APPLICABILITY: &[u8] = b"cpeApplicability";
const NODES: &[u8] = b"nodes";
const CPE_MATCH: &[u8] = b"cpeMatch";
const CRITERIA: &[u8] = b"criteria";
const REFERENCES: &[u8] = b"references";
const URL: &[u8] = b"url";
const TAGS: &[u8] = b"tags";
const PROVIDER_METADATA: &[u8] = b"providerMetadata";
const SHORT_NAME: &[u8] = b"shortName";
/// What a link without a tag is.
const UNTAGGED: &[u8] = b"reference";

const CONTAINER: Needs = Needs::Members(&[
    (ALTERNATE_IDS, Needs::All),
    (AFFECTED, Needs::Members(&[(PACKAGE_URL, Needs::All), (CPES, Needs::All)])),
    (
        CPE_APPLICABILITY,
        Needs::Members(&[(NODES, Needs::Members(&[(CPE_MATCH, Needs::Members(&[(CRITERIA, Needs::All)]))]))]),
    ),
    (REFERENCES, Needs::Members(&[(URL, Needs::All), (TAGS, Needs::All)])),
    (PROVIDER_METADATA, Needs::Members(&[(SHORT_NAME, Needs::All)])),
]);

/// What is read.
pub static TABLE: Table = Table {
    name: "cve",
    format: Format::Cve,
    needs: Needs::Closed(&[
        (DATA_VERSION, Needs::All),
        (CVE_METADATA, Needs::Members(&[(CVE_ID, Needs::All)])),
        (CONTAINERS, Needs::Closed(&[(CNA, CONTAINER), (ADP, CONTAINER)])),
    ]),
    members: &[DATA_TYPE],
    known: &[("MEMBERS", &[DATA_TYPE, DATA_VERSION, CVE_METADATA, CONTAINERS]), ("CONTAINERS", &[CNA, ADP])],
};

/// Project the document whose uppermost level was walked.
///
/// # Errors
/// It is not plainly CVE JSON 5.x.
pub fn extract<'a>(level: &Level<'a>, into: &mut Projection<'a>) -> Sure<()> {
    let [version, metadata, containers, _, envelope] = level.marks()?;
    if envelope.is_some() || level.has_others() {
        return Err(Doubt);
    }
    if let Some(version) = version {
        let version = version.text()?;
        if !version.starts_with(b"5.") && version != b"5" {
            return Err(Doubt);
        }
    }
    let [id] = pick(metadata.ok_or(Doubt)?.document()?, [CVE_ID], Others::Any)?;
    into.take_alias(id.ok_or(Doubt)?, |pointers| pointers.push(b"/cveMetadata/cveId"))?;
    let Some(containers) = present(containers) else { return Ok(()) };
    let [cna, adp] = pick(containers.document()?, [CNA, ADP], Others::Known(&[]))?;
    if let Some(cna) = present(cna) {
        take_container(cna, &mut Path::new(b"/containers/cna"), into)?;
    }
    if let Some(adp) = present(adp) {
        let mut items = adp.array()?;
        let mut path = Path::new(b"/containers/adp");
        while let Some((index, item)) = items.next_item()? {
            path.at_item(index, |path| take_container(item, path, into))?;
        }
    }
    Ok(())
}

fn take_container<'a>(container: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let names = [ALTERNATE_IDS, AFFECTED, CPE_APPLICABILITY, REFERENCES, PROVIDER_METADATA];
    let [alternates, affected, applicability, references, provider] = pick(container.document()?, names, Others::Any)?;
    path.at(ALTERNATE_IDS, |path| into.take_aliases(present(alternates), path.as_bytes()))?;
    if let Some(affected) = present(affected) {
        path.at(AFFECTED, |path| take_affected(affected, path, into))?;
    }
    if let Some(applicability) = present(applicability) {
        path.at(CPE_APPLICABILITY, |path| take_applicability(applicability, path, into))?;
    }
    let source = match present(provider) {
        Some(provider) => {
            let [name] = pick(provider.document()?, [SHORT_NAME], Others::Any)?;
            name.map(Value::text).transpose()?
        }
        None => None,
    };
    match present(references) {
        Some(references) => path.at(REFERENCES, |path| take_references(references, source, path, into)),
        None => Ok(()),
    }
}

fn take_affected<'a>(affected: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let mut items = affected.array()?;
    while let Some((index, item)) = items.next_item()? {
        let [purl, cpes] = pick(item.document()?, [PACKAGE_URL, CPES], Others::Any)?;
        if let Some(purl) = purl {
            into.take_purl(purl, |pointers| pointers.push_item(path.as_bytes(), index, b"/packageURL"))?;
        }
        if let Some(cpes) = present(cpes) {
            path.at_item(index, |path| path.at(CPES, |path| into.take_cpes(Some(cpes), path.as_bytes())))?;
        }
    }
    Ok(())
}

fn take_applicability<'a>(applicability: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let mut blocks = applicability.array()?;
    while let Some((outer, block)) = blocks.next_item()? {
        let [nodes] = pick(block.document()?, [NODES], Others::Any)?;
        let Some(nodes) = present(nodes) else { continue };
        let mut nodes = nodes.array()?;
        while let Some((middle, node)) = nodes.next_item()? {
            let [matches] = pick(node.document()?, [CPE_MATCH], Others::Any)?;
            let Some(matches) = present(matches) else { continue };
            let take = |path: &mut Path| take_matches(matches, path, into);
            let node = |path: &mut Path| path.at_item(middle, |path| path.at(CPE_MATCH, take));
            path.at_item(outer, |path| path.at(NODES, node))?;
        }
    }
    Ok(())
}

fn take_matches<'a>(matches: Value<'a>, path: &Path, into: &mut Projection<'a>) -> Sure<()> {
    let mut matches = matches.array()?;
    while let Some((inner, one)) = matches.next_item()? {
        let [criteria] = pick(one.document()?, [CRITERIA], Others::Any)?;
        if let Some(criteria) = criteria {
            into.take_cpe(criteria, |pointers| pointers.push_item(path.as_bytes(), inner, b"/criteria"))?;
        }
    }
    Ok(())
}

fn take_references<'a>(
    references: Value<'a>,
    source: Option<&'a [u8]>,
    path: &Path,
    into: &mut Projection<'a>,
) -> Sure<()> {
    let mut items = references.array()?;
    while let Some((index, item)) = items.next_item()? {
        let [url, tags] = pick(item.document()?, [URL, TAGS], Others::Any)?;
        let url = url.ok_or(Doubt)?.text()?;
        let kind = match present(tags) {
            Some(tags) => first_text(tags)?.unwrap_or(UNTAGGED),
            None => UNTAGGED,
        };
        let reference = Reference { url, kind: Some(kind), source };
        into.take_reference(reference, |pointers| pointers.push_item(path.as_bytes(), index, b""));
    }
    Ok(())
}

/// Return the first of a list, which is a string, or None of an empty one.
fn first_text(list: Value<'_>) -> Sure<Option<&[u8]>> {
    let mut items = list.array()?;
    let Some((_, first)) = items.next_item()? else { return Ok(None) };
    while let Some((_, other)) = items.next_item()? {
        other.sound()?;
    }
    first.text().map(Some)
}
