//! CSAF 2.0 and 2.1, as `kit/transforms/raw_linkset/csaf.py` reads them.

use crate::bson::level::Level;
use crate::bson::value::Value;
use crate::bson::walk::{Others, pick};
use crate::linkset::pointers::Path;
use crate::linkset::present;
use crate::linkset::projection::{Projection, Reference};
use crate::linkset::table::{Format, Needs, Table};
use crate::{Doubt, Sure};

const DOCUMENT: &[u8] = b"document";
const CSAF_VERSION: &[u8] = b"csaf_version";
const TRACKING: &[u8] = b"tracking";
const ID: &[u8] = b"id";
const ALIASES: &[u8] = b"aliases";
const REFERENCES: &[u8] = b"references";
const CATEGORY: &[u8] = b"category";
const URL: &[u8] = b"url";
const PRODUCT_TREE: &[u8] = b"product_tree";
const BRANCHES: &[u8] = b"branches";
const PRODUCT: &[u8] = b"product";
const FULL_PRODUCT_NAMES: &[u8] = b"full_product_names";
const FULL_PRODUCT_NAME: &[u8] = b"full_product_name";
const RELATIONSHIPS: &[u8] = b"relationships";
const PRODUCT_PATHS: &[u8] = b"product_paths";
const HELPER: &[u8] = b"product_identification_helper";
const PURL: &[u8] = b"purl";
const PURLS: &[u8] = b"purls";
const CPE: &[u8] = b"cpe";
const VULNERABILITIES: &[u8] = b"vulnerabilities";
const CVE: &[u8] = b"cve";
const IDS: &[u8] = b"ids";
const TEXT: &[u8] = b"text";
/// What these hold the core of the format has no place for (2.1, conformance clause 28).
const EXTENSIONS: &[u8] = b"extensions";

const VERSIONS: [&[u8]; 2] = [b"2.0", b"2.1"];

// Members that the schemas have besides those that are read.
const OF_DOCUMENT: &[&[u8]] = &[
    EXTENSIONS,
    b"acknowledgments",
    b"aggregate_severity",
    CATEGORY,
    CSAF_VERSION,
    b"distribution",
    b"lang",
    b"license_expression",
    b"notes",
    b"publisher",
    REFERENCES,
    b"source_lang",
    b"title",
    TRACKING,
];
const OF_TRACKING: &[&[u8]] = &[
    EXTENSIONS,
    ALIASES,
    b"current_release_date",
    b"generator",
    ID,
    b"initial_release_date",
    b"revision_history",
    b"status",
    b"version",
];
const OF_VULNERABILITY: &[&[u8]] = &[
    EXTENSIONS,
    b"acknowledgments",
    CVE,
    b"cwe",
    b"cwes",
    b"disclosure_date",
    b"discovery_date",
    b"first_known_exploitation_dates",
    b"flags",
    IDS,
    b"involvements",
    b"metrics",
    b"notes",
    b"product_status",
    REFERENCES,
    b"release_date",
    b"remediations",
    b"scores",
    b"threats",
    b"title",
];
const OF_TREE: &[&[u8]] = &[EXTENSIONS, BRANCHES, FULL_PRODUCT_NAMES, b"product_groups", PRODUCT_PATHS, RELATIONSHIPS];
const OF_BRANCH: &[&[u8]] = &[EXTENSIONS, BRANCHES, CATEGORY, b"name", PRODUCT];
const OF_PRODUCT: &[&[u8]] = &[EXTENSIONS, b"name", b"product_id", HELPER];
const OF_RELATIONSHIP: &[&[u8]] =
    &[EXTENSIONS, CATEGORY, FULL_PRODUCT_NAME, b"product_reference", b"relates_to_product_reference"];
const OF_PATH: &[&[u8]] = &[EXTENSIONS, b"beginning_product_reference", FULL_PRODUCT_NAME, b"subpaths"];
const OF_HELPER: &[&[u8]] = &[
    EXTENSIONS,
    CPE,
    b"hashes",
    b"model_numbers",
    PURL,
    PURLS,
    b"sbom_urls",
    b"serial_numbers",
    b"skus",
    b"x_generic_uris",
];

/// What is read.
pub static TABLE: Table = Table {
    name: "csaf",
    format: Format::Csaf,
    needs: Needs::Closed(&[
        (
            DOCUMENT,
            Needs::Closed(&[
                (CSAF_VERSION, Needs::All),
                (TRACKING, Needs::Closed(&[(ID, Needs::All), (ALIASES, Needs::All)])),
                (REFERENCES, Needs::All),
            ]),
        ),
        (PRODUCT_TREE, Needs::All),
        (VULNERABILITIES, Needs::Closed(&[(CVE, Needs::All), (IDS, Needs::All), (REFERENCES, Needs::All)])),
    ]),
    members: &[EXTENSIONS],
    known: &[
        ("_TOP", &[EXTENSIONS, DOCUMENT, PRODUCT_TREE, VULNERABILITIES]),
        ("_DOCUMENT", OF_DOCUMENT),
        ("_TRACKING", OF_TRACKING),
        ("_VULNERABILITY", OF_VULNERABILITY),
        ("_PRODUCT_TREE", OF_TREE),
        ("_BRANCH", OF_BRANCH),
        ("_PRODUCT", OF_PRODUCT),
        ("_RELATIONSHIP", OF_RELATIONSHIP),
        ("_PATH", OF_PATH),
        ("_IDENTIFIERS", OF_HELPER),
    ],
};

/// Project the document whose uppermost level was walked.
///
/// # Errors
/// It is not plainly CSAF 2.0 or 2.1.
pub fn extract<'a>(level: &Level<'a>, into: &mut Projection<'a>) -> Sure<()> {
    let [document, tree, vulnerabilities, _, envelope] = level.marks()?;
    if envelope.is_some() || level.has_others() {
        return Err(Doubt);
    }
    let names = [CSAF_VERSION, TRACKING, REFERENCES];
    let [version, tracking, references] = pick(document.ok_or(Doubt)?.document()?, names, Others::Known(OF_DOCUMENT))?;
    if let Some(version) = version {
        let version = version.text()?;
        if !VERSIONS.contains(&version) {
            return Err(Doubt);
        }
    }
    let [id, aliases] = pick(tracking.ok_or(Doubt)?.document()?, [ID, ALIASES], Others::Known(OF_TRACKING))?;
    into.take_alias(id.ok_or(Doubt)?, |pointers| pointers.push(b"/document/tracking/id"))?;
    into.take_aliases(present(aliases), b"/document/tracking/aliases")?;
    take_references(present(references), &Path::new(b"/document/references"), into)?;
    if let Some(vulnerabilities) = present(vulnerabilities) {
        let mut items = vulnerabilities.array()?;
        let mut path = Path::new(b"/vulnerabilities");
        while let Some((index, item)) = items.next_item()? {
            path.at_item(index, |path| take_vulnerability(item, path, into))?;
        }
    }
    match present(tree) {
        Some(tree) => take_tree(tree, into),
        None => Ok(()),
    }
}

fn take_vulnerability<'a>(vulnerability: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let known = Others::Known(OF_VULNERABILITY);
    let [cve, ids, references] = pick(vulnerability.document()?, [CVE, IDS, REFERENCES], known)?;
    if let Some(cve) = cve {
        into.take_alias(cve, |pointers| pointers.push_below(path.as_bytes(), CVE))?;
    }
    if let Some(ids) = present(ids) {
        let mut items = ids.array()?;
        while let Some((index, item)) = items.next_item()? {
            let [text] = pick(item.document()?, [TEXT], Others::Sound)?;
            if let Some(text) = text {
                path.at(IDS, |path| {
                    into.take_alias(text, |pointers| pointers.push_item(path.as_bytes(), index, b"/text"))
                })?;
            }
        }
    }
    path.at(REFERENCES, |path| take_references(present(references), path, into))
}

fn take_references<'a>(references: Option<Value<'a>>, path: &Path, into: &mut Projection<'a>) -> Sure<()> {
    let Some(references) = references else { return Ok(()) };
    let mut items = references.array()?;
    while let Some((index, item)) = items.next_item()? {
        let [url, category] = pick(item.document()?, [URL, CATEGORY], Others::Sound)?;
        let kind = category.map(Value::text).transpose()?;
        let reference = Reference { url: url.ok_or(Doubt)?.text()?, kind, source: None };
        into.take_reference(reference, |pointers| pointers.push_item(path.as_bytes(), index, b""));
    }
    Ok(())
}

fn take_tree<'a>(tree: Value<'a>, into: &mut Projection<'a>) -> Sure<()> {
    // The reference decodes all of it; from here on, what is not looked at is sound. Nor is it deep.
    tree.sound()?;
    let names = [BRANCHES, FULL_PRODUCT_NAMES, RELATIONSHIPS, PRODUCT_PATHS];
    let [branches, products, relationships, paths] = pick(tree.document()?, names, Others::Known(OF_TREE))?;
    let mut path = Path::new(b"/product_tree");
    if let Some(branches) = present(branches) {
        path.at(BRANCHES, |path| take_branches(branches, path, into))?;
    }
    if let Some(products) = present(products) {
        let mut items = products.array()?;
        while let Some((index, item)) = items.next_item()? {
            path.at(FULL_PRODUCT_NAMES, |path| path.at_item(index, |path| take_product(item, path, into)))?;
        }
    }
    for (name, list, known) in [(RELATIONSHIPS, relationships, OF_RELATIONSHIP), (PRODUCT_PATHS, paths, OF_PATH)] {
        let Some(list) = present(list) else { continue };
        let mut items = list.array()?;
        while let Some((index, item)) = items.next_item()? {
            let [product] = pick(item.document()?, [FULL_PRODUCT_NAME], Others::Known(known))?;
            let Some(product) = present(product) else { continue };
            let take = |path: &mut Path| path.at(FULL_PRODUCT_NAME, |path| take_product(product, path, into));
            path.at(name, |path| path.at_item(index, take))?;
        }
    }
    Ok(())
}

fn take_branches<'a>(branches: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let mut items = branches.array()?;
    while let Some((index, item)) = items.next_item()? {
        let [product, below] = pick(item.document()?, [PRODUCT, BRANCHES], Others::Known(OF_BRANCH))?;
        path.at_item(index, |path| {
            if let Some(product) = present(product) {
                path.at(PRODUCT, |path| take_product(product, path, into))?;
            }
            match present(below) {
                Some(below) => path.at(BRANCHES, |path| take_branches(below, path, into)),
                None => Ok(()),
            }
        })?;
    }
    Ok(())
}

fn take_product<'a>(product: Value<'a>, path: &mut Path, into: &mut Projection<'a>) -> Sure<()> {
    let [helper] = pick(product.document()?, [HELPER], Others::Known(OF_PRODUCT))?;
    let Some(helper) = present(helper) else { return Ok(()) };
    let [purl, purls, cpe] = pick(helper.document()?, [PURL, PURLS, CPE], Others::Known(OF_HELPER))?;
    path.at(HELPER, |path| {
        if let Some(purl) = purl {
            into.take_purl(purl, |pointers| pointers.push_below(path.as_bytes(), PURL))?;
        }
        path.at(PURLS, |path| into.take_purls(present(purls), path.as_bytes()))?;
        match cpe {
            Some(cpe) => into.take_cpe(cpe, |pointers| pointers.push_below(path.as_bytes(), CPE)),
            None => Ok(()),
        }
    })
}
