//! kit-core for Python: values in, values out, the interpreter's lock released while documents are looked into.
//!
//! Nothing is decided here. `kit_core.pyi` beside this crate documents each function.

#![allow(clippy::needless_pass_by_value, reason = "what Python hands over is extracted into values")]

use std::cell::RefCell;
use std::collections::HashSet;

use kit_core::bson::bounds::{self, Bounds};
use kit_core::bson::fields;
use kit_core::bson::run::Run;
use kit_core::bson::valid;
use kit_core::coverage;
use kit_core::leaves::Digest;
use kit_core::linkset::table::{self, Format, format_of};
use kit_core::proof::{self, Earlier};
use kit_core::run::{self, Found, Gathered, Observations, Sought};
use kit_core::seal::{self, cipher, run::Before, run::Task};
use kit_core::{Doubt, Sure, names};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Values of the core as Python has them: objects with attributes of the same names.
macro_rules! mirrored {
    ($name:ident of $core:path { $($kind:ty: $($(#[$meta:meta])* $field:ident),+;)* }) => {
        #[derive(FromPyObject)]
        struct $name { $($($(#[$meta])* $field: $kind,)+)* }

        impl From<$name> for $core {
            fn from(value: $name) -> Self {
                Self { $($($field: value.$field.into(),)+)* }
            }
        }
    };
}

#[derive(FromPyObject)]
struct Place {
    paths: fields::Place,
}

impl From<Place> for fields::Place {
    fn from(place: Place) -> Self {
        place.paths
    }
}

mirrored!(Places of names::Places {
    Place: tenant, vendor, upstream_id, content_hash, format, raw, linkset, identifiers;
});

mirrored!(Names of names::Names {
    String: linkset, raw_linkset, aliases, purls, cpes, references, scopes, relationships, reconciled_from, notes,
        #[pyo3(attribute("type"))] kind, url, source, target, envelope;
    Vec<String>: reconciled_from_spellings;
});

mirrored!(Members of seal::names::Names {
    String: mark, version, algorithm, ciphertext, iv, tag, dek_id, mek_version, context, bson_type;
});

mirrored!(Map of seal::names::Map {
    Members: names;
    String: algorithm, identity, context;
    i32: bound, version, mek_versions;
    Option<(String, String)>: product;
    Vec<String>: partition, owner;
    Option<HashSet<String>>: partitions;
    HashSet<String>: skipped;
    Vec<Vec<String>>: fields;
    Vec<Vec<u8>>: infixes;
    Vec<u8>: prefix, key_prefix;
});

/// Documents of one tenant, by what became of them.
#[pyclass(frozen, get_all, module = "kit_core")]
struct Tally {
    tenant: String,
    present: usize,
    not_selected: usize,
    from_content: usize,
    from_source: Vec<usize>,
}

/// What became of a run.
#[pyclass(frozen, get_all, module = "kit_core")]
struct Rewritten {
    body: Option<Py<PyBytes>>,
    touched: Py<PyBytes>,
    tallies: Vec<Py<Tally>>,
    alone: Vec<(usize, usize)>,
}

/// Asks Python which format a stated name is; the first error is kept, and nothing is asked after it.
struct Asking<'a> {
    python: &'a Py<PyAny>,
    error: RefCell<Option<PyErr>>,
}

impl Asking<'_> {
    fn format_of(&self, name: &str) -> Option<Format> {
        if self.error.borrow().is_some() {
            return None;
        }
        let answer = Python::attach(|py| self.python.call1(py, (name,))?.extract::<Option<String>>(py));
        match answer {
            Ok(extractor) => extractor.as_deref().and_then(format_of),
            Err(error) => {
                self.error.replace(Some(error));
                None
            }
        }
    }

    fn result<T>(self, result: Sure<T>) -> PyResult<Option<T>> {
        self.error.into_inner().map_or(Ok(result.ok()), Err)
    }
}

#[pyfunction]
#[pyo3(signature = (data, ends, *, names, places, tenants, database))]
fn keys(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    names: Names,
    places: Places,
    tenants: Option<HashSet<String>>,
    database: &str,
) -> Option<Vec<Option<Vec<u8>>>> {
    let (names, places) = (names.into(), places.into());
    let sought = py.detach(|| {
        let run = Run::new(&data, &ends)?;
        run::keys(&Observations { run, names: &names, places: &places, tenants: tenants.as_ref() }, database)
    });
    let key = |sought: &Sought| match sought {
        Sought::Doubt => None,
        Sought::Nothing => Some(Vec::new()),
        Sought::Key(key) => Some(key.to_vec()),
    };
    sought.ok().map(|sought| sought.iter().map(key).collect())
}

#[pyfunction]
#[pyo3(signature = (data, ends, *, names, places, tenants, found, sources, format_of))]
#[allow(clippy::too_many_arguments, reason = "keywords, in Python")]
fn rewrite(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    names: Names,
    places: Places,
    tenants: Option<HashSet<String>>,
    found: Option<Vec<Option<(isize, PyBackedBytes)>>>,
    sources: usize,
    format_of: &Bound<'_, PyAny>,
) -> PyResult<Option<Rewritten>> {
    let (names, places, python) = (names.into(), places.into(), format_of.clone().unbind());
    let result = py.detach(|| {
        let asking = Asking { python: &python, error: RefCell::default() };
        let found: Option<Vec<Found>> =
            found.as_ref().map(|found| found.iter().map(|found| of_document(found.as_ref())).collect());
        let result = Run::new(&data, &ends).and_then(|run| {
            let asked = Observations { run, names: &names, places: &places, tenants: tenants.as_ref() };
            run::rewrite(&asked, found.as_deref(), sources, &|name| asking.format_of(name))
        });
        asking.result(result)
    })?;
    let Some(result) = result else { return Ok(None) };
    let tally = |tally: run::Tally| {
        let run::Tally { tenant, present, not_selected, from_content, from_source } = tally;
        Py::new(py, Tally { tenant, present, not_selected, from_content, from_source })
    };
    Ok(Some(Rewritten {
        body: result.body.map(|body| PyBytes::new(py, &body).unbind()),
        touched: PyBytes::new(py, &result.touched).unbind(),
        tallies: result.tallies.into_iter().map(tally).collect::<PyResult<_>>()?,
        alone: result.alone.iter().map(|one| (one.number, one.offset)).collect(),
    }))
}

fn of_document(found: Option<&(isize, PyBackedBytes)>) -> Found<'_> {
    match found {
        None => Found::Nothing,
        Some((source, element)) => {
            usize::try_from(*source).map_or(Found::Doubt, |source| Found::Element(source, element))
        }
    }
}

#[pyfunction]
#[pyo3(signature = (data, ends, *, names, places, database, format_of))]
fn gather(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    names: Names,
    places: Places,
    database: &str,
    format_of: Option<Py<PyAny>>,
) -> PyResult<Option<Vec<Option<run::Pair>>>> {
    let (names, places) = (names.into(), places.into());
    py.detach(|| {
        let run = Run::new(&data, &ends);
        let gather = |gathered: &Gathered| run::gather(run?, &names, &places, database, gathered);
        match &format_of {
            None => Ok(gather(&Gathered::Linksets).ok()),
            Some(python) => {
                let asking = Asking { python, error: RefCell::default() };
                let pairs = gather(&Gathered::Payloads(&|name| asking.format_of(name)));
                asking.result(pairs)
            }
        }
    })
}

mirrored!(CountedBy of coverage::Counted { String: tenant; Names: names; bool: observed; });

/// By tenant: documents, those without the element, with null, with another type. Then the numbers of all others.
type Counts = (Vec<(String, usize, usize, usize, usize)>, Vec<usize>);

fn counts((covered, alone): coverage::Counts) -> Counts {
    let count = |one: coverage::Covered| (one.tenant, one.documents, one.missing, one.null, one.other_type);
    (covered.into_iter().map(count).collect(), alone)
}

#[pyfunction]
fn count(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    by: CountedBy,
    appended: Option<(PyBackedBytes, PyBackedBytes)>,
) -> Option<(Counts, Vec<usize>)> {
    let by = by.into();
    let counted = py.detach(|| match &appended {
        None => coverage::count(Run::new(&data, &ends)?, &by).map(|counts| (counts, Vec::new())),
        Some((after, touched)) => coverage::count_appended(Run::new(&data, &ends)?, after, touched, &by),
    });
    counted.ok().map(|(counted, ends)| (counts(counted), ends))
}

/// How many had the element appended; the documents as they were, their sizes and leaves.
type EarlierRun = (usize, Option<Vec<u8>>, Vec<u8>, Vec<u8>);

#[pyfunction]
fn prove(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    by: CountedBy,
    bounds: (usize, usize),
    earlier: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
    rooted: bool,
) -> Option<(Counts, Vec<EarlierRun>, Vec<u8>)> {
    let (by, bounds) = (by.into(), valid::Bounds { bytes: bounds.0, depth: bounds.1 });
    let earlier = earlier.into_iter().map(|(appended, cut, is_rooted)| Earlier { appended, cut, is_rooted });
    let earlier: Vec<_> = earlier.collect();
    let proven = py.detach(|| proof::prove(Run::new(&data, &ends)?, bounds, &by, &earlier, rooted)).ok()?;
    let before = |one: proof::EarlierRun| (one.appended, one.documents, one.sizes, one.leaves);
    Some((counts(proven.counts), proven.earlier.into_iter().map(before).collect(), proven.leaves))
}

mirrored!(Observed of kit_core::sketch::Observed {
    Place: tenant, vendor, upstream_id, moments;
    Vec<(fields::Place, Option<HashSet<String>>)>: withdrawn;
});

/// Tenant, vendor, upstream id, moment, whether it was withdrawn, and whether it has the element.
type Advisory = (String, String, String, i64, bool, bool);
/// Digests of the `_id` and of the document, its name, the advisory, and what it was without its last element.
type Sketch = (Digest, Digest, String, Option<Advisory>, Option<(Digest, usize)>);

#[pyfunction]
fn sketch(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    names: Names,
    observed: Option<Observed>,
) -> Option<Vec<Option<Sketch>>> {
    let (names, observed) = (names.into(), observed.map(Into::into));
    let sketches = py.detach(|| kit_core::sketch::sketch(Run::new(&data, &ends)?, &names, observed.as_ref())).ok()?;
    let about = |one: kit_core::sketch::Advisory| {
        (one.tenant, one.vendor, one.upstream_id, one.moment, one.is_withdrawn, one.has_raw_linkset)
    };
    let one =
        |one: kit_core::sketch::Sketch| (one.identity, one.digest, one.name, one.advisory.map(about), one.appended);
    Some(sketches.into_iter().map(|sketch| sketch.map(one)).collect())
}

#[pyfunction]
fn max_elements(py: Python<'_>, block: PyBackedBytes, exactly: bool) -> usize {
    py.detach(|| kit_core::bson::max_elements(&block, exactly))
}

type Survey = (Vec<(String, usize)>, Vec<String>, Vec<usize>);
type Key = ((String, String, bool), (i32, Vec<u8>), [PyBackedBytes; 4]);
type Partition = (String, [usize; 4], Vec<[usize; 4]>);
type Mapped = (Option<Vec<u8>>, Vec<u8>, Vec<Partition>, Vec<(usize, Vec<u8>)>, Vec<(usize, usize)>);

#[derive(FromPyObject)]
enum Against {
    Flags(PyBackedBytes),
    Run(PyBackedBytes, Vec<usize>),
}

#[pyfunction]
#[pyo3(signature = (data, ends, *, mapped, keys, task, against = None))]
fn apply_map(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    mapped: Map,
    keys: Option<Vec<Key>>,
    task: &str,
    against: Option<Against>,
) -> Option<Mapped> {
    py.detach(|| {
        let key = |(name, version, secrets)| cipher::Key::new(name, version, &secrets);
        let keys =
            keys.map(|keys| keys.into_iter().map(key).collect::<Sure<_>>().map(cipher::Keys::new)).transpose()?;
        let task = match (task, &against) {
            ("seal", None) => Task::Seal,
            ("prove", None) => Task::Prove,
            ("open", Some(Against::Flags(flags))) => Task::Open(Before::Flags(flags)),
            ("open", Some(Against::Run(data, ends))) => Task::Open(Before::Run(Run::new(data, ends)?)),
            _ => return Err(Doubt),
        };
        let done = seal::run::work(Run::new(&data, &ends)?, task, &mapped.into(), keys)?;
        let tallies = done.tallies.into_iter().map(|of| (of.partition, of.documents, of.fields)).collect();
        let sums = done.sums.iter().map(|sum| (sum.values, sum.bytes())).collect();
        let alone = done.alone.iter().map(|one| (one.number, one.offset)).collect();
        Ok((done.body, done.touched, tallies, sums, alone))
    })
    .ok()
}

#[pyfunction]
#[pyo3(signature = (data, ends, *, mapped, is_checked))]
fn survey_map(py: Python<'_>, data: PyBackedBytes, ends: Vec<usize>, mapped: Map, is_checked: bool) -> Option<Survey> {
    let found = py.detach(|| seal::run::survey(Run::new(&data, &ends)?, &mapped.into(), is_checked)).ok()?;
    Some((found.owners, found.dek_ids, found.alone))
}

#[pyfunction]
fn frame(py: Python<'_>, data: PyBackedBytes) -> Option<Vec<usize>> {
    py.detach(|| bounds::frame(&data)).ok()
}

#[pyfunction]
fn suspects(
    py: Python<'_>,
    data: PyBackedBytes,
    ends: Vec<usize>,
    touched: PyBackedBytes,
    most: (usize, usize),
) -> Option<Vec<usize>> {
    py.detach(|| bounds::suspects(Run::new(&data, &ends)?, &touched, Bounds { bytes: most.0, levels: most.1 })).ok()
}

#[pyfunction]
fn tables() -> String {
    table::described()
}

/// The core of the offline-kit toolkit.
#[pymodule(name = "kit_core")]
mod module {
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use super::{
        Rewritten, Tally, apply_map, count, frame, gather, keys, max_elements, prove, rewrite, sketch, survey_map, suspects,
        tables,
    };
}
