//! A run read to its last byte: what `kit.engine.proving` asks of it, in one walk after the other.

use crate::bson::bounds::Bounds;
use crate::bson::run::Run;
use crate::bson::valid::Validator;
use crate::coverage::{Counted, Counting, Counts};
use crate::cut::{appended_at, without};
use crate::leaves::Leaves;
use crate::{Doubt, Sure};

/// A generation below, as far as it concerns a run; a document that is not spoken of was not changed.
#[derive(Debug)]
pub struct Earlier {
    /// Of each document, whether it had the element appended since: a byte, 0 or not.
    pub appended: Vec<u8>,
    /// Whether it had when that generation's frames were cut; None where sizes are not asked for.
    pub cut: Option<Vec<u8>>,
    /// Whether leaves are asked for.
    pub is_rooted: bool,
}

/// What a run gave of a generation below.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EarlierRun {
    /// How many documents ended in the element that was appended.
    pub appended: usize,
    /// The documents as they were; None if none was cut.
    pub documents: Option<Vec<u8>>,
    /// Of each document its size when the frames were cut, as an array of the machine's integers.
    pub sizes: Vec<u8>,
    /// The leaves of the documents as they were.
    pub leaves: Vec<u8>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Proven {
    /// What its documents are.
    pub counts: Counts,
    /// By generation, as asked for.
    pub earlier: Vec<EarlierRun>,
    /// The leaves of the documents, if asked for.
    pub leaves: Vec<u8>,
}

/// Check that every document of a run is well formed, count them, and cut out what was appended.
///
/// # Errors
/// One is not well formed, or names are not such that documents of them can be read here.
pub fn prove(run: Run, bounds: Bounds, by: &Counted, earlier: &[Earlier], is_rooted: bool) -> Sure<Proven> {
    let (mut validator, mut counting) = (Validator::default(), Counting::new(by)?);
    let mut leaves = Leaves::default();
    for (number, (_, document)) in run.documents().enumerate() {
        validator.check(document, bounds)?;
        counting.count(number, document);
        if is_rooted {
            leaves.add(document, &[document])?;
        }
    }
    let earlier = earlier.iter().map(|one| before(run, by.names.raw_linkset.as_bytes(), one)).collect::<Sure<_>>()?;
    Ok(Proven { counts: counting.finish(), earlier, leaves: leaves.lines() })
}

fn before(run: Run, name: &[u8], earlier: &Earlier) -> Sure<EarlierRun> {
    let mut result = EarlierRun::default();
    let (mut documents, mut leaves, data) = (Vec::new(), Leaves::default(), run.data());
    let is = |flags: &[u8], number: usize| flags.get(number).is_some_and(|&flag| flag != 0);
    let mut kept = 0; // what is before is in the documents
    for (number, (start, document)) in run.documents().enumerate() {
        let is_appended = is(&earlier.appended, number);
        let is_cut = earlier.cut.as_ref().is_some_and(|cut| is(cut, number));
        let at = if is_appended || is_cut { appended_at(document, name)? } else { None };
        let size = at.filter(|_| is_cut).map_or(document.len(), |at| at + 1);
        if earlier.cut.is_some() {
            result.sizes.extend_from_slice(&u32::try_from(size).map_err(|_| Doubt)?.to_ne_bytes());
        }
        if let Some(at) = at.filter(|_| is_appended) {
            let (length, inside, nul) = without(document, at)?;
            if documents.is_empty() {
                documents.reserve_exact(data.len());
            }
            for part in [data.get(kept..start).unwrap_or_default(), &length, inside, &nul] {
                documents.extend_from_slice(part);
            }
            kept = start + document.len();
            result.appended += 1;
            if earlier.is_rooted {
                leaves.add(document, &[&length, inside, &nul])?;
            }
        } else if earlier.is_rooted {
            leaves.add(document, &[document])?;
        }
    }
    if kept > 0 {
        documents.extend_from_slice(data.get(kept..).unwrap_or_default());
        result.documents = Some(documents);
    }
    result.leaves = leaves.lines();
    Ok(result)
}
