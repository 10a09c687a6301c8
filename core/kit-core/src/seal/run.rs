//! A whole run of documents of one mapped collection.
//!
//! What `find_needs`, `EncryptFields.apply`, `Reopener`, `unseal` and `prove` do, document by document. A document that is
//! not plainly what the map says is returned by its number, and is not counted.

use std::collections::{HashMap, HashSet};

use crate::bson::run::Run;
use crate::bson::value::Value;
use crate::run::Alone;
use crate::seal::cipher::{Ciphers, Digest, Keys};
use crate::seal::envelope::{self, Envelope, is_sealable};
use crate::seal::mapped::{Mapped, Reader, Standing, State};
use crate::seal::names::Map;
use crate::seal::replace::{Replacing, Spot};
use crate::seal::tally::{Became, Outcome, Sum, Tallies, Tally};
use crate::{Doubt, Sure};

/// For whom keys are needed.
#[derive(Debug, Default)]
pub struct Survey {
    /// Owners with plaintext values, and how many each has.
    pub owners: Vec<(String, usize)>,
    /// The data keys that envelopes name.
    pub dek_ids: Vec<String>,
    /// The numbers of documents that are the reference's.
    pub alone: Vec<usize>,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Changed {
    /// The documents as they are now; those that are the reference's, as they were. None if none changed.
    pub body: Option<Vec<u8>>,
    /// Whether each is another than it was: a byte, 0 or 1.
    pub touched: Vec<u8>,
    /// What they add up to.
    pub tallies: Vec<Tally>,
    /// Of each field the digest of all values whose key is at hand.
    pub sums: Vec<Sum>,
    /// Those that are the reference's.
    pub alone: Vec<Alone>,
}

/// What is done with a run.
#[derive(Debug, Clone, Copy)]
pub enum Task<'a> {
    /// Seal what is plaintext.
    Seal,
    /// Open what is sealed, and was not before; without keys, count it. A document is touched if it is another than before.
    Open(Before<'a>),
    /// Look at every mapped value of documents in which none is plaintext; with keys, open and digest each.
    Prove,
}

/// What a run is opened against.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// The same documents, as they were: what is not sealed in them is opened.
    Run(Run<'a>),
    /// A byte for each document: all that is sealed in a document of 1 is opened.
    Flags(&'a [u8]),
}

/// Find the keys that a run needs.
///
/// Args: whether it is checked that each value can be sealed, and each envelope decoded.
///
/// # Errors
/// The map is not such that documents can be looked into by it.
pub fn survey(run: Run, map: &Map, is_checked: bool) -> Sure<Survey> {
    let mut reader = Reader::new(map)?;
    let (mut result, mut buffer) = (Survey::default(), Vec::new());
    let (mut numbers, mut known) = (HashMap::new(), HashSet::new());
    for (number, (_, document)) in run.documents().enumerate() {
        let mut look = || -> Sure<()> {
            let mapped = reader.read(document)?;
            if mapped.standing != Standing::Selected {
                return Ok(());
            }
            let mut plain = 0;
            for field in 0..map.fields.len() {
                match reader.value(field)? {
                    State::Plain(value) if is_checked && !is_sealable(map, value) => return Err(Doubt),
                    State::Plain(_) => plain += 1,
                    State::Envelope(_, envelope) => {
                        if is_checked {
                            envelope.decode(&mut buffer, 0)?;
                        }
                        if known.insert(envelope.dek_id) {
                            result.dek_ids.push(String::from_utf8_lossy(envelope.dek_id).into_owned());
                        }
                    }
                    State::Null | State::Missing => {}
                }
            }
            if plain > 0 {
                let at = *numbers.entry(mapped.owner).or_insert_with(|| {
                    result.owners.push((mapped.owner.to_owned(), 0));
                    result.owners.len() - 1
                });
                result.owners.get_mut(at).ok_or(Doubt)?.1 += plain;
            }
            Ok(())
        };
        if look().is_err() {
            result.alone.push(number);
        }
    }
    Ok(result)
}

/// Do `task` with a run.
///
/// # Errors
/// As [`survey`]; or what the run is opened against is not about these documents.
pub fn work(run: Run, task: Task, map: &Map, keys: Option<Keys>) -> Sure<Changed> {
    let mut work = Work::new(run, map, keys)?;
    let documents = run.documents().enumerate();
    match task {
        Task::Seal => documents.for_each(|(number, place)| work.one(number, place, Work::seal)),
        Task::Prove => documents.for_each(|(number, place)| work.one(number, place, Work::prove)),
        Task::Open(Before::Flags(flags)) => {
            if flags.len() != run.len() {
                return Err(Doubt);
            }
            for ((number, place), _) in documents.zip(flags).filter(|(_, flag)| **flag != 0) {
                work.one(number, place, |work, mapped| work.open(mapped, |_, _| Ok(true)));
            }
        }
        Task::Open(Before::Run(before)) => {
            if before.len() != run.len() {
                return Err(Doubt);
            }
            let mut reader = Reader::new(map)?;
            for ((number, place), (_, was)) in documents.zip(before.documents()) {
                work.compare(number, place, was, &mut reader);
            }
        }
    }
    work.finish()
}

/// One run, on its way.
struct Work<'a, 'n> {
    map: &'n Map,
    data: &'a [u8],
    reader: Reader<'a, 'n>,
    ciphers: Option<Ciphers<'n>>,
    tallies: Tallies,
    changed: Changed,
    body: Vec<u8>,
    /// What is before is in the body.
    kept: usize,
    buffer: Vec<u8>,
    // Of the open document.
    document: &'a [u8],
    start: usize,
    outcomes: Vec<Outcome>,
    digests: Vec<(usize, Digest)>,
    changes: Vec<(Spot, usize, State<'a>)>,
}

impl<'a, 'n> Work<'a, 'n> {
    fn new(run: Run<'a>, map: &'n Map, keys: Option<Keys>) -> Sure<Self> {
        let sums = vec![Sum::default(); map.fields.len()];
        Ok(Self {
            map,
            data: run.data(),
            reader: Reader::new(map)?,
            ciphers: keys.map(|keys| Ciphers::new(map, keys)),
            tallies: Tallies::new(map.fields.len()),
            changed: Changed { touched: vec![0; run.len()], sums, ..Changed::default() },
            body: Vec::new(),
            kept: 0,
            buffer: Vec::new(),
            document: &[],
            start: 0,
            outcomes: Vec::new(),
            digests: Vec::new(),
            changes: Vec::new(),
        })
    }

    /// Do one document; `act` is handed a selected one.
    fn one<F>(&mut self, number: usize, (start, document): (usize, &'a [u8]), act: F)
    where
        F: FnOnce(&mut Self, Mapped<'a>) -> Sure<()>,
    {
        (self.document, self.start) = (document, start);
        self.outcomes.clear();
        self.digests.clear();
        self.changes.clear();
        let (length, kept) = (self.body.len(), self.kept);
        let result = self.reader.read(document).and_then(|mapped| {
            if mapped.standing == Standing::Selected {
                act(self, mapped)?;
            }
            Ok(mapped)
        });
        let Ok(mapped) = result else {
            self.body.truncate(length);
            self.kept = kept;
            self.changed.alone.push(Alone { number, offset: length + start - kept });
            return;
        };
        if let Some(touched) = self.changed.touched.get_mut(number) {
            *touched = u8::from(self.kept != kept);
        }
        if let Some(tally) = self.tallies.of(mapped.partition, &self.reader) {
            match mapped.standing {
                Standing::Selected => tally.count_values(&self.outcomes),
                Standing::SkippedOwner => tally.count(Became::SkippedOwner),
                Standing::NotSelected => tally.count(Became::NotSelected),
            }
        }
        for (field, digest) in &self.digests {
            if let Some(sum) = self.changed.sums.get_mut(*field) {
                sum.add(digest);
            }
        }
    }

    fn finish(mut self) -> Sure<Changed> {
        if self.kept > 0 {
            self.body.extend_from_slice(self.data.get(self.kept..).ok_or(Doubt)?);
            self.changed.body = Some(self.body);
        }
        self.changed.tallies = self.tallies.all();
        Ok(self.changed)
    }

    fn seal(&mut self, mapped: Mapped<'a>) -> Sure<()> {
        self.ciphers.as_mut().ok_or(Doubt)?.open_document(mapped.identity)?;
        for field in 0..self.map.fields.len() {
            match self.reader.value(field)? {
                State::Plain(value) => {
                    if !is_sealable(self.map, value) {
                        return Err(Doubt);
                    }
                    self.change(field, value, State::Plain(value), Outcome::Changed)?;
                }
                State::Envelope(_, envelope) => {
                    self.digest(field, &envelope, mapped.owner)?;
                    self.outcomes.push(Outcome::Envelope);
                }
                State::Null => self.outcomes.push(Outcome::Null),
                State::Missing => self.outcomes.push(Outcome::Missing),
            }
        }
        self.replace(mapped)
    }

    /// Open what is sealed in a document, and was not in the same as it `was`.
    fn compare(&mut self, number: usize, place: (usize, &'a [u8]), was: &'a [u8], reader: &mut Reader<'a, 'n>) {
        let is_other = was != place.1;
        self.one(number, place, |work, mapped| {
            if is_other {
                reader.read(was)?;
            }
            work.open(mapped, |field, buffer| {
                if is_other {
                    let State::Envelope(_, envelope) = reader.value(field)? else { return Ok(true) };
                    envelope.decode(buffer, 0)?;
                }
                Ok(false)
            })
        });
        if let Some(touched) = self.changed.touched.get_mut(number) {
            *touched = u8::from(is_other);
        }
    }

    /// Open the envelopes of those fields for which `is_wanted`.
    fn open<W>(&mut self, mapped: Mapped<'a>, mut is_wanted: W) -> Sure<()>
    where
        W: FnMut(usize, &mut Vec<u8>) -> Sure<bool>,
    {
        for field in 0..self.map.fields.len() {
            match self.reader.value(field)? {
                State::Plain(_) => self.outcomes.push(Outcome::Plain),
                State::Envelope(value, envelope) => {
                    if is_wanted(field, &mut self.buffer)? {
                        self.change(field, value, State::Envelope(value, envelope), Outcome::Changed)?;
                    } else {
                        envelope.decode(&mut self.buffer, 0)?;
                        self.outcomes.push(Outcome::Envelope);
                    }
                }
                State::Null => self.outcomes.push(Outcome::Null),
                State::Missing => self.outcomes.push(Outcome::Missing),
            }
        }
        if self.ciphers.is_some() {
            return self.replace(mapped);
        }
        for (_, _, state) in &self.changes {
            if let State::Envelope(_, envelope) = state {
                envelope.decode(&mut self.buffer, 0)?;
            }
        }
        Ok(())
    }

    fn prove(&mut self, mapped: Mapped<'a>) -> Sure<()> {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.open_document(mapped.identity)?;
        }
        for field in 0..self.map.fields.len() {
            match self.reader.value(field)? {
                State::Plain(_) => return Err(Doubt),
                State::Envelope(_, envelope) => {
                    if self.ciphers.is_some() {
                        self.digest(field, &envelope, mapped.owner)?;
                        self.outcomes.push(Outcome::Changed);
                    } else {
                        envelope.decode(&mut self.buffer, 0)?;
                        self.outcomes.push(Outcome::Envelope);
                    }
                }
                State::Null => self.outcomes.push(Outcome::Null),
                State::Missing => self.outcomes.push(Outcome::Missing),
            }
        }
        Ok(())
    }

    /// Open an envelope, and digest what is in it.
    fn digest(&mut self, field: usize, envelope: &Envelope, owner: &str) -> Sure<()> {
        let ciphers = self.ciphers.as_mut().ok_or(Doubt)?;
        let number = ciphers.keys().opening(envelope.dek_id, owner)?;
        let opened = ciphers.open(field, envelope, number)?;
        self.digests.push((field, ciphers.digest(field, opened.value(), number)?));
        ciphers.give_back(opened);
        Ok(())
    }

    fn change(&mut self, field: usize, value: Value<'a>, state: State<'a>, outcome: Outcome) -> Sure<()> {
        self.changes.push((self.reader.spot(field, value)?, field, state));
        self.outcomes.push(outcome);
        Ok(())
    }

    /// Append the open document with its changes.
    fn replace(&mut self, mapped: Mapped<'a>) -> Sure<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        if self.kept == 0 {
            // What is sealed is mostly a third longer; a longer one is copied on the way.
            self.body.reserve(self.data.len() + self.data.len() / 2);
        }
        let ciphers = self.ciphers.as_mut().ok_or(Doubt)?;
        ciphers.open_document(mapped.identity)?;
        self.changes.sort_unstable_by_key(|(spot, _, _)| spot.start);
        self.body.extend_from_slice(self.data.get(self.kept..self.start).ok_or(Doubt)?);
        let mut replacing = Replacing::new(self.document, &mut self.body);
        for (spot, field, state) in &self.changes {
            match state {
                State::Plain(value) => {
                    let number = ciphers.keys().sealing(mapped.owner)?;
                    let digests = &mut self.digests;
                    replacing.put(spot, envelope::KIND, |out| {
                        digests.push((*field, ciphers.seal(*field, *value, number, out)?));
                        Ok(())
                    })?;
                }
                State::Envelope(_, envelope) => {
                    let number = ciphers.keys().opening(envelope.dek_id, mapped.owner)?;
                    let opened = ciphers.open(*field, envelope, number)?;
                    replacing.put(spot, opened.value().kind, |out| {
                        out.extend_from_slice(opened.value().bytes);
                        Ok(())
                    })?;
                    ciphers.give_back(opened);
                }
                State::Null | State::Missing => return Err(Doubt),
            }
        }
        replacing.finish()?;
        self.kept = self.start + self.document.len();
        Ok(())
    }
}
