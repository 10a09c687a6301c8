//! kit-core for Python: values in, values out, the interpreter's lock released while documents are looked into.
//!
//! Nothing is decided here. `kit_core.pyi` beside this crate documents each function.

#![allow(clippy::needless_pass_by_value, reason = "what Python hands over is extracted into values")]

use std::{cell::RefCell, collections::HashSet};

use kit_core::bson::{bounds, fields, run::Run};
use kit_core::leaves::Digest;
use kit_core::linkset::table::{self, Format, format_of};
use kit_core::proof::{self, Earlier};
use kit_core::run::{self, Found, Gathered, Observations, Sought};
use kit_core::seal::{self, cipher, run::Before, run::Task};
use kit_core::{Sure, coverage, delta, importing, json, names};
use pyo3::{prelude::*, pybacked::PyBackedBytes};

mod copies;
type Bytes = PyBackedBytes;
type Ends = Vec<usize>;
type Many = Vec<Bytes>;
type Selves = Vec<Option<Bytes>>;
type Tenants = Option<HashSet<String>>;

/// Functions of values alone: the interpreter's lock is released for all of the body.
macro_rules! functions {
    ($($(#[$meta:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $result:ty = $body:expr;)*) => { $(
        #[pyfunction]
        $(#[$meta])*
        fn $name(py: Python<'_>, $($argument: $kind),*) -> $result {
            py.detach(|| $body)
        }
    )* };
}

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
    Vec<Vec<String>>: fields; Vec<Vec<u8>>: infixes;
    Vec<u8>: prefix, key_prefix;
});

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

fn of_document(found: Option<&(isize, PyBackedBytes)>) -> Found<'_> {
    let Some((source, element)) = found else { return Found::Nothing };
    usize::try_from(*source).map_or(Found::Doubt, |source| Found::Element(source, element))
}

mirrored!(CountedBy of coverage::Counted { String: tenant; Names: names; bool: observed; });

/// By tenant: documents, those without the element, with null, with another type. Then the numbers of all others.
type Counts = (Vec<(String, usize, usize, usize, usize)>, Vec<usize>);

fn counts((covered, alone): coverage::Counts) -> Counts {
    let count = |one: coverage::Covered| (one.tenant, one.documents, one.missing, one.null, one.other_type);
    (covered.into_iter().map(count).collect(), alone)
}

/// How many had the element appended; the documents as they were, their sizes and leaves.
type EarlierRun = (usize, Option<Vec<u8>>, Vec<u8>, Vec<u8>);

mirrored!(Observed of kit_core::sketch::Observed {
    Place: tenant, vendor, upstream_id, moments;
    Vec<(fields::Place, Option<HashSet<String>>)>: withdrawn;
});

/// Tenant, vendor, upstream id, moment, whether it was withdrawn, and whether it has the element.
type Advisory = (String, String, String, i64, bool, bool);
/// Digests of the `_id` and of the document, its name, the advisory, and what it was without its last element.
type Sketch = (Digest, Digest, String, Option<Advisory>, Option<(Digest, usize)>);

type Survey = (Vec<(String, usize)>, Vec<String>, Vec<usize>);
type Key = ((String, String, bool), (i32, Vec<u8>), [PyBackedBytes; 4]);
type Partition = (String, [usize; 4], Vec<[usize; 4]>);
type Mapped = (Option<Vec<u8>>, Vec<u8>, Vec<Partition>, Vec<(usize, Vec<u8>)>, Vec<(usize, usize)>);

#[derive(FromPyObject)]
enum Against {
    Flags(PyBackedBytes),
    Run(PyBackedBytes, Vec<usize>),
}

/// What became of each tenant's documents.
type Tally = (String, usize, usize, usize, Vec<usize>);
/// The documents, which changed, the tallies, and those that are the reference's, with their offsets.
type Rewritten = (Option<Vec<u8>>, Vec<u8>, Vec<Tally>, Vec<(usize, usize)>);
type Columns = Option<Vec<delta::columns::Place>>;

functions! {
    #[pyo3(signature = (data, ends, *, names, places, tenants, database))]
    keys(data: Bytes, ends: Ends, names: Names, places: Places, tenants: Tenants, database: &str)
        -> Option<Vec<Option<Vec<u8>>>> = {
        let (names, places) = (&names.into(), &places.into());
        let key = |sought: &Sought| match sought {
            Sought::Doubt => None,
            Sought::Nothing => Some(Vec::new()),
            Sought::Key(key) => Some(key.to_vec()),
        };
        let asked = |run| Observations { run, names, places, tenants: tenants.as_ref() };
        let sought = Run::new(&data, &ends).and_then(|run| run::keys(&asked(run), database));
        sought.ok().map(|sought| sought.iter().map(key).collect())
    };
    #[pyo3(signature = (data, ends, *, names, places, tenants, found, sources, format_of))]
    #[allow(clippy::too_many_arguments, reason = "keywords, in Python")]
    rewrite(
        data: Bytes, ends: Ends, names: Names, places: Places, tenants: Tenants, found: Option<Vec<Option<(isize, Bytes)>>>,
        sources: usize, format_of: Py<PyAny>
    ) -> PyResult<Option<Rewritten>> = {
        let (names, places) = (&names.into(), &places.into());
        let asking = Asking { python: &format_of, error: RefCell::default() };
        let found: Option<Vec<Found>> =
            found.as_ref().map(|found| found.iter().map(|found| of_document(found.as_ref())).collect());
        let result = Run::new(&data, &ends).and_then(|run| {
            let asked = Observations { run, names, places, tenants: tenants.as_ref() };
            run::rewrite(&asked, found.as_deref(), sources, &|name| asking.format_of(name))
        });
        let tally = |of: run::Tally| (of.tenant, of.present, of.not_selected, of.from_content, of.from_source);
        let alone = |one: &run::Alone| (one.number, one.offset);
        Ok(asking.result(result)?.map(|done| {
            (done.body, done.touched, done.tallies.into_iter().map(tally).collect(), done.alone.iter().map(alone).collect())
        }))
    };
    #[pyo3(signature = (data, ends, *, names, places, database, format_of))]
    gather(data: Bytes, ends: Ends, names: Names, places: Places, database: &str, format_of: Option<Py<PyAny>>)
        -> PyResult<Option<Vec<Option<run::Pair>>>> = {
        let (names, places) = (names.into(), places.into());
        let gather = |of: &Gathered| run::gather(Run::new(&data, &ends)?, &names, &places, database, of);
        match &format_of {
            None => Ok(gather(&Gathered::Linksets).ok()),
            Some(python) => {
                let asking = Asking { python, error: RefCell::default() };
                let pairs = gather(&Gathered::Payloads(&|name| asking.format_of(name)));
                asking.result(pairs)
            }
        }
    };
    count(data: Bytes, ends: Ends, by: CountedBy, appended: Option<(Bytes, Bytes)>) -> Option<(Counts, Ends)> = {
        let by = by.into();
        let counted = Run::new(&data, &ends).and_then(|run| match &appended {
            None => coverage::count(run, &by).map(|counts| (counts, Vec::new())),
            Some((after, touched)) => coverage::count_appended(run, after, touched, &by),
        });
        counted.ok().map(|(counted, ends)| (counts(counted), ends))
    };
    prove(
        data: Bytes, ends: Ends, by: CountedBy, bounds: (usize, usize), earlier: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
        rooted: bool
    ) -> Option<(Counts, Vec<EarlierRun>, Vec<u8>)> = {
        let earlier: Vec<_> = earlier.into_iter().map(|(appended, cut, is_rooted)| Earlier { appended, cut, is_rooted }).collect();
        let run = Run::new(&data, &ends).ok()?;
        let proven = proof::prove(run, bounds.into(), &by.into(), &earlier, rooted).ok()?;
        let before = |one: proof::EarlierRun| (one.appended, one.documents, one.sizes, one.leaves);
        Some((counts(proven.counts), proven.earlier.into_iter().map(before).collect(), proven.leaves))
    };
    leaves(data: Bytes, ends: Ends) -> Option<Vec<u8>> = Run::new(&data, &ends).and_then(kit_core::leaves::of_run).ok();
    sketch(data: Bytes, ends: Ends, names: Names, observed: Option<Observed>) -> Option<Vec<Option<Sketch>>> = {
        let observed = observed.map(Into::into);
        let run = Run::new(&data, &ends).ok()?;
        let sketches = kit_core::sketch::sketch(run, &names.into(), observed.as_ref()).ok()?;
        let about = |one: kit_core::sketch::Advisory| {
            (one.tenant, one.vendor, one.upstream_id, one.moment, one.is_withdrawn, one.has_raw_linkset)
        };
        let one = |of: kit_core::sketch::Sketch| (of.identity, of.digest, of.name, of.advisory.map(about), of.appended);
        Some(sketches.into_iter().map(|sketch| sketch.map(one)).collect())
    };
    #[pyo3(signature = (data, ends, *, mapped, keys, task, against = None))]
    apply_map(data: Bytes, ends: Ends, mapped: Map, keys: Option<Vec<Key>>, task: &str, against: Option<Against>)
        -> Option<Mapped> = {
        let key = |(name, version, secrets)| cipher::Key::new(name, version, &secrets);
        let keys = keys.map(|keys| keys.into_iter().map(key).collect::<Sure<_>>().map(cipher::Keys::new));
        let task = match (task, &against) {
            ("seal", None) => Task::Seal,
            ("prove", None) => Task::Prove,
            ("open", Some(Against::Flags(flags))) => Task::Open(Before::Flags(flags)),
            ("open", Some(Against::Run(data, ends))) => Task::Open(Before::Run(Run::new(data, ends).ok()?)),
            _ => return None,
        };
        let done = seal::run::work(Run::new(&data, &ends).ok()?, task, &mapped.into(), keys.transpose().ok()?).ok()?;
        let tallies = done.tallies.into_iter().map(|of| (of.partition, of.documents, of.fields)).collect();
        let sums = done.sums.iter().map(|sum| (sum.values, sum.bytes())).collect();
        let alone = done.alone.iter().map(|one| (one.number, one.offset)).collect();
        Some((done.body, done.touched, tallies, sums, alone))
    };
    #[pyo3(signature = (data, ends, *, mapped, is_checked))]
    survey_map(data: Bytes, ends: Ends, mapped: Map, is_checked: bool) -> Option<Survey> =
        Run::new(&data, &ends).and_then(|run| seal::run::survey(run, &mapped.into(), is_checked)).ok()
            .map(|found| (found.owners, found.dek_ids, found.alone));
    frame(data: Bytes) -> Option<Ends> = bounds::frame(&data).ok();
    suspects(data: Bytes, ends: Ends, touched: Bytes, most: (usize, usize)) -> Option<Vec<usize>> =
        Run::new(&data, &ends).and_then(|run| bounds::suspects(run, &touched, most.into())).ok();
    import_scan(data: Bytes, ends: Ends, levels: usize, scope: Bytes, place: u64) -> Option<(Vec<usize>, Vec<u8>)> =
        Run::new(&data, &ends).ok().map(|run| importing::scan(run, levels, &scope, place)).map(|found| (found.suspects, found.records));
    import_select(records: Bytes, part: u64, parts: u64) -> Vec<u8> = importing::select(&records, part, parts);
    import_repeats(records: Bytes, most: usize) -> (usize, Vec<importing::Repeat>) = importing::repeats(&records, most);
    max_elements(block: Bytes, exactly: bool) -> usize = kit_core::bson::max_elements(&block, exactly);
    identity_keys(data: Bytes, ends: Ends) -> Option<Vec<u8>> =
        Run::new(&data, &ends).and_then(delta::features::keys).ok();
    delta_features(data: Bytes, ends: Ends, wanted: Many, kept: usize) -> Option<Vec<delta::features::Noted>> =
        Run::new(&data, &ends).ok().map(|run| delta::features::noted(run, &wanted, kept));
    delta_is_nearly(old: Bytes, document: Bytes) -> bool = delta::features::is_nearly(&old, &document);
    delta_gather(documents: Many, olds: Selves) -> Option<delta::shred::Streams> =
        delta::shred::streams(&documents, &olds).ok();
    delta_choose(olds: Many, documents: Many, most: usize, path: usize) -> Columns =
        delta::choose::choose(&olds, &documents, most, path).ok();
    delta_dictionary(references: Many, olds: Many, places: Columns) -> Option<delta::pick::Repeated> =
        delta::pick::dictionary(&references, &olds, places.as_deref()).ok();
    delta_restore(olds: Selves, script: Bytes, headers: Bytes, columns: Bytes, most: usize)
        -> Option<delta::restore::Restored> =
        delta::restore::restore(&olds, &script, &headers, &columns, most).ok();
    census(data: Bytes, ends: Ends, seals: Vec<Vec<Vec<u8>>>, examples: usize, most: (usize, usize)) -> Option<Vec<u8>> =
        Run::new(&data, &ends).and_then(|run| kit_core::census::count(run, &seals, examples, most.into())).ok();
    census_sum(one: Bytes, other: Bytes, examples: usize) -> Option<Vec<u8>> = kit_core::census::sum(&one, &other, examples).ok();
    json_views(data: Bytes, at: json::Spans, most: json::Most) -> Option<json::Views> = json::views(&data, &at, most);
    json_spell(data: Bytes, places: json::Spans) -> Option<Vec<Vec<u8>>> = json::spelled(&data, &places).ok();
    tables() -> String = table::described();
}

/// The core of the offline-kit toolkit.
#[pymodule(name = "kit_core")]
mod module {
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use super::{
        apply_map, census, census_sum, copies::copy_filter, copies::copy_marks, copies::copy_shorts,
        copies::copy_windows, count, delta_choose, delta_dictionary, delta_features, delta_gather, delta_is_nearly,
        delta_restore, frame, gather, identity_keys, import_repeats, import_scan, import_select, json_spell,
        json_views, keys, leaves, max_elements, prove, rewrite, sketch, survey_map, suspects, tables,
    };
}
