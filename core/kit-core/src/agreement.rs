//! Whether a projection and the observation's `linkset` plainly hold the same values (`divergence.compare`).
//!
//! Only plain agreement is seen: equal sets, list by list, aliases without regard to the case of ASCII letters. What needs
//! canonical forms is the reference's.

use std::collections::HashSet;

use crate::Sure;
use crate::bson::value::{DOCUMENT, NULL, Value};
use crate::bson::walk::{Others, pick, plain_name};
use crate::linkset::projection::Projection;
use crate::names::Names;
use crate::{Doubt, bson};

/// Comparisons of each with each up to which no table is made.
const MAX_COMPARED: usize = 1024;

/// The four lists that are compared; used again for one document after the other.
#[derive(Debug, Default)]
pub struct Agreement<'a> {
    aliases: Vec<&'a [u8]>,
    purls: Vec<&'a [u8]>,
    cpes: Vec<&'a [u8]>,
    references: Vec<&'a [u8]>,
    urls: Vec<&'a [u8]>,
}

impl<'a> Agreement<'a> {
    /// Check that `projection` and `linkset` agree.
    ///
    /// # Errors
    /// They may not.
    pub fn check(&mut self, projection: &Projection<'a>, linkset: Value<'a>, names: &Names) -> Sure<()> {
        self.read(linkset, names)?;
        self.urls.clear();
        self.urls.extend(projection.references.iter().map(|reference| reference.url));
        let agree = same(&projection.purls, &self.purls)
            && same(&projection.cpes, &self.cpes)
            && same(&self.urls, &self.references)
            && (same(&projection.aliases, &self.aliases) || same_folded(&projection.aliases, &self.aliases));
        if agree { Ok(()) } else { Err(Doubt) }
    }

    /// All of it is checked, since the reference decodes all of it.
    fn read(&mut self, linkset: Value<'a>, names: &Names) -> Sure<()> {
        let mut elements = linkset.document()?;
        let mut met = 0_u32;
        for list in [&mut self.aliases, &mut self.purls, &mut self.cpes, &mut self.references] {
            list.clear();
        }
        while let Some(element) = elements.next_element()? {
            let is = |wanted: &String| wanted.as_bytes() == element.name;
            let bit = if is(&names.aliases) {
                texts(element.value, &mut self.aliases)?;
                1
            } else if is(&names.purls) {
                texts(element.value, &mut self.purls)?;
                2
            } else if is(&names.cpes) {
                texts(element.value, &mut self.cpes)?;
                4
            } else if is(&names.references) {
                urls(element.value, names, &mut self.references)?;
                8
            } else {
                plain_name(element.name)?;
                element.value.sound()?;
                0
            };
            if met & bit != 0 {
                return Err(Doubt);
            }
            met |= bit;
        }
        Ok(())
    }
}

fn texts<'a>(value: Value<'a>, into: &mut Vec<&'a [u8]>) -> Sure<()> {
    if value.kind == NULL {
        return Ok(());
    }
    let mut items = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        into.push(item.text()?);
    }
    Ok(())
}

fn urls<'a>(value: Value<'a>, names: &Names, into: &mut Vec<&'a [u8]>) -> Sure<()> {
    if value.kind == NULL {
        return Ok(());
    }
    let mut items: bson::walk::Items<'a> = value.array()?;
    while let Some((_, item)) = items.next_item()? {
        // One that is just its URL is compared as such.
        if item.kind == DOCUMENT {
            let [url] = pick(item.document()?, [names.url.as_bytes()], Others::Sound)?;
            into.push(url.ok_or(Doubt)?.text()?);
        } else {
            into.push(item.text()?);
        }
    }
    Ok(())
}

fn same(ours: &[&[u8]], theirs: &[&[u8]]) -> bool {
    if ours == theirs {
        return true;
    }
    if ours.len().saturating_mul(theirs.len()) <= MAX_COMPARED {
        return ours.iter().all(|one| theirs.contains(one)) && theirs.iter().all(|one| ours.contains(one));
    }
    let table: HashSet<&[u8]> = theirs.iter().copied().collect();
    let other: HashSet<&[u8]> = ours.iter().copied().collect();
    table == other
}

/// As [`same`], without regard to the case of ASCII letters; false where there are others.
fn same_folded(ours: &[&[u8]], theirs: &[&[u8]]) -> bool {
    if !ours.iter().chain(theirs).all(|one| one.is_ascii()) {
        return false;
    }
    let folded = |list: &[&[u8]]| -> HashSet<Vec<u8>> { list.iter().map(|one| one.to_ascii_lowercase()).collect() };
    let has = |list: &[&[u8]], one: &&[u8]| list.iter().any(|other| one.eq_ignore_ascii_case(other));
    if ours.len().saturating_mul(theirs.len()) <= MAX_COMPARED {
        return ours.iter().all(|one| has(theirs, one)) && theirs.iter().all(|one| has(ours, one));
    }
    folded(ours) == folded(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_as_sets() {
        assert!(same(&[b"a", b"b", b"a"], &[b"b", b"a"]));
        assert!(!same(&[b"a"], &[b"a", b"b"]));
        assert!(!same(&[b"a", b"b"], &[b"a"]));
        assert!(same(&[], &[]));
    }

    #[test]
    fn long_lists_are_compared_as_sets() {
        let texts: Vec<String> = (0..1000).map(|number| format!("CVE-{number}")).collect();
        let ours: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let mut theirs: Vec<&[u8]> = ours.iter().rev().copied().collect();
        assert!(same(&ours, &theirs) && same_folded(&ours, &theirs));
        theirs.pop();
        assert!(!same(&ours, &theirs) && !same_folded(&ours, &theirs));
    }

    #[test]
    fn case_folding_beyond_ascii_is_not_judged_here() {
        assert!(same_folded(&[b"CVE-1"], &[b"cve-1"]));
        assert!(!same_folded(&["É".as_bytes()], &["é".as_bytes()]));
        assert!(!same_folded(&["\u{212a}".as_bytes()], &[b"k"]));
    }
}
