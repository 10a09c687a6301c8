//! What is read of each format, as names: a test holds each table to what the reference reads.

use crate::linkset::{csaf, cve, ghsa, osv};

/// A format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OSV 1.x.
    Osv,
    /// CSAF 2.0 and 2.1.
    Csaf,
    /// CVE JSON 5.x.
    Cve,
    /// GHSA (REST).
    Ghsa,
}

/// What is read of a value.
#[derive(Debug)]
pub enum Needs {
    /// All of it.
    All,
    /// These members; lists are transparent.
    Members(&'static [(&'static [u8], Needs)]),
    /// These members, and the names of all others.
    Closed(&'static [(&'static [u8], Needs)]),
}

impl Needs {
    /// Return the names of the members that are read.
    #[must_use]
    pub fn names(&self) -> Vec<&'static [u8]> {
        match self {
            Self::All => Vec::new(),
            Self::Members(members) | Self::Closed(members) => members.iter().map(|(name, _)| *name).collect(),
        }
    }
}

/// The table of one format.
#[derive(Debug)]
pub struct Table {
    /// The name of its extractor.
    pub name: &'static str,
    /// Which it is.
    pub format: Format,
    /// What is read.
    pub needs: Needs,
    /// Members of the uppermost level that are known and not read.
    pub members: &'static [&'static [u8]],
    /// Members of closed objects by place, as far as they are known.
    pub known: &'static [(&'static str, &'static [&'static [u8]])],
}

/// All of them, in the order of [`Format`].
pub static TABLES: [&Table; 4] = [&osv::TABLE, &csaf::TABLE, &cve::TABLE, &ghsa::TABLE];

/// Return what is read of each format, as JSON by the name of its extractor: what it needs, nested, null for all of a
/// value and with an empty name where the names of all others matter; and the known members by place.
#[must_use]
pub fn described() -> String {
    let known =
        |table: &Table| object(table.known.iter().map(|(place, names)| (quoted(place.as_bytes()), list(names))));
    let table = |table: &&Table| {
        let inside = format!("{{\"needs\":{},\"known\":{}}}", needs(&table.needs), known(table));
        (quoted(table.name.as_bytes()), inside)
    };
    object(TABLES.iter().map(table))
}

fn needs(of: &Needs) -> String {
    let (members, others) = match of {
        Needs::All => return "null".to_owned(),
        Needs::Members(members) => (*members, None),
        Needs::Closed(members) => (*members, Some(("\"\"".to_owned(), "{}".to_owned()))),
    };
    object(members.iter().map(|(name, inner)| (quoted(name), needs(inner))).chain(others))
}

fn object(members: impl Iterator<Item = (String, String)>) -> String {
    let members: Vec<String> = members.map(|(name, value)| format!("{name}:{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn list(names: &[&[u8]]) -> String {
    format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","))
}

/// No name of a format needs an escape in JSON that it does not need in Rust.
fn quoted(name: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(name))
}

/// Return the format that the extractor called `name` reads.
#[must_use]
pub fn format_of(name: &str) -> Option<Format> {
    TABLES.iter().find(|table| table.name == name).map(|table| table.format)
}
