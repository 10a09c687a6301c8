//! AES-256-GCM under keys, vectors and associated data that fix the place (schemas/envelope.md, "Sealing").

use std::collections::HashMap;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::bson::value::{STRING, Value};
use crate::seal::envelope::{self, Envelope, IV, Sealed};
use crate::seal::names::Map;
use crate::splice;
use crate::{Doubt, Sure};

/// Bytes of a key, and of a digest.
pub const KEY: usize = 32;

/// A key, overwritten when it is dropped.
pub type Secret = Zeroizing<[u8; KEY]>;

/// A digest.
pub type Digest = [u8; KEY];

/// One data key, for the run it was handed over with.
pub struct Key {
    dek_id: String,
    owner: String,
    is_active: bool,
    mek_version: i32,
    part: Vec<u8>,
    secret: Secret,
    pseudorandom: Secret,
    vectors: Secret,
    values: Secret,
}

impl Key {
    /// Take a key.
    ///
    /// Its name, whose it is, whether it seals, the version of the master key that its envelopes state, its last parts of
    /// associated data, and the secrets: the data key itself, what keys of documents are derived from, the key of synthetic
    /// vectors, and that of digests of values.
    ///
    /// # Errors
    /// A secret is of another length.
    pub fn new<S: AsRef<[u8]>>(
        (dek_id, owner, is_active): (String, String, bool),
        (mek_version, part): (i32, Vec<u8>),
        secrets: &[S; 4],
    ) -> Sure<Self> {
        let copied = |secret: &S| secret.as_ref().try_into().map(Zeroizing::new).map_err(|_| Doubt);
        let [secret, pseudorandom, vectors, values] = secrets.each_ref().map(copied);
        let (secret, pseudorandom, vectors, values) = (secret?, pseudorandom?, vectors?, values?);
        Ok(Self { dek_id, owner, is_active, mek_version, part, secret, pseudorandom, vectors, values })
    }
}

/// The state after a key, made when it is first used: to begin from it costs half of beginning anew.
struct Keyed {
    documents: Hmac<Sha256>,
    vectors: Hmac<Sha256>,
    values: Hmac<Sha256>,
    /// The cipher, where the data key itself is the key of all documents.
    shared: Option<Aes256Gcm>,
}

/// The keys of a run.
pub struct Keys {
    all: Vec<Key>,
    keyed: Vec<Option<Keyed>>,
    by_id: HashMap<String, usize>,
    active: HashMap<String, usize>,
}

impl Keys {
    /// Find keys by their name, and by the owner they seal for.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        let (mut by_id, mut active) = (HashMap::new(), HashMap::new());
        for (number, key) in keys.iter().enumerate() {
            by_id.insert(key.dek_id.clone(), number);
            if key.is_active {
                active.insert(key.owner.clone(), number);
            }
        }
        let keyed = keys.iter().map(|_| None).collect();
        Self { all: keys, keyed, by_id, active }
    }

    /// Return the number of the key that seals for `owner`.
    ///
    /// # Errors
    /// None was handed over.
    pub fn sealing(&self, owner: &str) -> Sure<usize> {
        self.active.get(owner).copied().ok_or(Doubt)
    }

    /// Return the number of the key of an envelope in a document of `owner`.
    ///
    /// # Errors
    /// It was not handed over, or is another owner's.
    pub fn opening(&self, dek_id: &[u8], owner: &str) -> Sure<usize> {
        let number = std::str::from_utf8(dek_id).ok().and_then(|dek_id| self.by_id.get(dek_id)).ok_or(Doubt)?;
        if self.all.get(*number).is_some_and(|key| key.owner == owner) { Ok(*number) } else { Err(Doubt) }
    }

    fn mek_version(&self, number: usize) -> Sure<i32> {
        self.all.get(number).map(|key| key.mek_version).ok_or(Doubt)
    }

    fn at(&mut self, number: usize, map: &Map) -> Sure<(&Key, &Keyed)> {
        let (key, keyed) = (self.all.get(number).ok_or(Doubt)?, self.keyed.get_mut(number).ok_or(Doubt)?);
        if keyed.is_none() {
            *keyed = Some(Keyed {
                documents: mac(&key.pseudorandom)?,
                vectors: mac(&key.vectors)?,
                values: mac(&key.values)?,
                shared: if map.is_bound() { None } else { Some(cipher(&key.secret)) },
            });
        }
        Ok((key, keyed.as_ref().ok_or(Doubt)?))
    }
}

fn mac(key: &Secret) -> Sure<Hmac<Sha256>> {
    Hmac::new_from_slice(key.as_slice()).map_err(|_| Doubt)
}

fn cipher(key: &Secret) -> Aes256Gcm {
    Aes256Gcm::new((&**key).into())
}

/// Seals, opens and digests the values of one document after the other.
pub struct Ciphers<'n> {
    map: &'n Map,
    keys: Keys,
    /// The leading parts of associated data, up to the identity of the open document.
    located: Vec<u8>,
    /// The number of the latest key in that document, and its cipher, where that is the document's own.
    under: Option<(usize, Option<Aes256Gcm>)>,
    associated: Vec<u8>,
    /// Plaintext, or ciphertext.
    buffer: Vec<u8>,
}

impl Drop for Ciphers<'_> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl<'n> Ciphers<'n> {
    /// Seal and open with `keys` what `map` maps.
    #[must_use]
    pub fn new(map: &'n Map, keys: Keys) -> Self {
        Self { map, keys, located: Vec::new(), under: None, associated: Vec::new(), buffer: Vec::new() }
    }

    /// Return the keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Go on with the document of this identity.
    ///
    /// # Errors
    /// It is longer than a length can say.
    pub fn open_document(&mut self, identity: Value) -> Sure<()> {
        self.under = None;
        self.located.clear();
        self.located.extend_from_slice(&self.map.prefix);
        self.located.extend_from_slice(&length(identity.bytes.len() + 1)?);
        self.located.push(identity.kind);
        self.located.extend_from_slice(identity.bytes);
        Ok(())
    }

    /// Append to `out` the envelope of a sealable value of the field of that number; return the digest of the value.
    ///
    /// # Errors
    /// Something is longer than a length can say.
    pub fn seal(&mut self, field: usize, value: Value, number: usize, out: &mut Vec<u8>) -> Sure<Digest> {
        self.derive(number)?;
        self.associate(field, value.kind, number, self.keys.mek_version(number)?)?;
        let plaintext = if self.map.is_bound() { value.bytes } else { value.raw_text().ok_or(Doubt)? };
        let (key, keyed) = self.keys.at(number, self.map)?;
        let mut state = keyed.vectors.clone();
        state.update(&length(self.associated.len())?);
        state.update(&self.associated);
        state.update(plaintext);
        let iv: [u8; IV] = state.finalize().into_bytes().first_chunk().copied().ok_or(Doubt)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(plaintext);
        let own = self.under.as_ref().and_then(|(_, own)| own.as_ref());
        let cipher = own.or(keyed.shared.as_ref()).ok_or(Doubt)?;
        let associated = if self.map.is_bound() { self.associated.as_slice() } else { &[] };
        let tag = cipher
            .encrypt_inout_detached(&iv.into(), associated, self.buffer.as_mut_slice().into())
            .map_err(|_| Doubt)?
            .into();
        let sealed = Sealed { iv, tag };
        envelope::print(out, self.map, &self.buffer, &sealed, key.dek_id.as_bytes(), key.mek_version, value.kind)?;
        self.digest(field, value, number)
    }

    /// Open an envelope of the field of that number.
    ///
    /// # Errors
    /// It does not open here, or holds what is not plainly a value that would be sealed.
    pub fn open(&mut self, field: usize, envelope: &Envelope, number: usize) -> Sure<Opened> {
        if envelope.mek_version > self.map.mek_versions {
            return Err(Doubt);
        }
        self.derive(number)?;
        self.associate(field, envelope.kind, number, envelope.mek_version)?;
        let is_bound = self.map.is_bound();
        // What is sealed of a string in `compat` is without its length and NUL.
        let head = if is_bound { 0 } else { 4 };
        let mut bytes = Zeroizing::new(std::mem::take(&mut self.buffer));
        let sealed = envelope.decode(&mut bytes, head)?;
        let (_, keyed) = self.keys.at(number, self.map)?;
        let own = self.under.as_ref().and_then(|(_, own)| own.as_ref());
        let cipher = own.or(keyed.shared.as_ref()).ok_or(Doubt)?;
        let associated = if is_bound { self.associated.as_slice() } else { &[] };
        let text = bytes.get_mut(head..).ok_or(Doubt)?;
        cipher
            .decrypt_inout_detached(&sealed.iv.into(), associated, text.into(), &sealed.tag.into())
            .map_err(|_| Doubt)?;
        if !is_bound {
            bytes.push(0);
            let length = splice::length(bytes.len() - head)?;
            bytes.get_mut(..head).ok_or(Doubt)?.copy_from_slice(&length);
        }
        let opened = Opened { kind: envelope.kind, bytes };
        if opened.is_whole() && envelope::is_sealable(self.map, opened.value()) { Ok(opened) } else { Err(Doubt) }
    }

    /// Let the memory of an opened value be used again.
    pub fn give_back(&mut self, opened: Opened) {
        let mut opened = opened;
        self.buffer = std::mem::take(&mut *opened.bytes);
    }

    /// Digest a value of the field of that number (schemas/envelope.md, "Value digest").
    ///
    /// # Errors
    /// Something is longer than a length can say.
    pub fn digest(&mut self, field: usize, value: Value, number: usize) -> Sure<Digest> {
        let infix = self.map.infixes.get(field).ok_or(Doubt)?;
        let (_, keyed) = self.keys.at(number, self.map)?;
        let mut state = keyed.values.clone();
        state.update(&length(self.located.len())?);
        state.update(&self.located);
        state.update(&length(infix.len())?);
        state.update(infix);
        state.update(&[0, 0, 0, 1, value.kind]);
        state.update(&length(value.bytes.len())?);
        state.update(value.bytes);
        Ok(state.finalize().into_bytes().into())
    }

    /// Derive the open document's key under the data key of that number.
    fn derive(&mut self, number: usize) -> Sure<()> {
        if self.under.as_ref().is_some_and(|(under, _)| *under == number) {
            return Ok(());
        }
        let (_, keyed) = self.keys.at(number, self.map)?;
        let mut own = None;
        if keyed.shared.is_none() {
            // One block of HKDF-Expand (RFC 5869 section 2.3), of the prefix and the identity.
            let identity = self.located.get(self.map.prefix.len()..).ok_or(Doubt)?;
            let mut state = keyed.documents.clone();
            state.update(&self.map.key_prefix);
            state.update(identity);
            state.update(&[1]);
            let secret: Secret = Zeroizing::new(state.finalize().into_bytes().into());
            own = Some(cipher(&secret));
        }
        self.under = Some((number, own));
        Ok(())
    }

    /// Encode where a value belongs: under the key of that number, and with the version that its envelope states.
    fn associate(&mut self, field: usize, kind: u8, number: usize, mek_version: i32) -> Sure<()> {
        let key = self.keys.all.get(number).ok_or(Doubt)?;
        let [part @ .., _, _, _, _] = key.part.as_slice() else { return Err(Doubt) };
        self.associated.clear();
        self.associated.extend_from_slice(&self.located);
        self.associated.extend_from_slice(self.map.infixes.get(field).ok_or(Doubt)?);
        self.associated.extend_from_slice(&[0, 0, 0, 1, kind]);
        self.associated.extend_from_slice(part);
        self.associated.extend_from_slice(&mek_version.to_be_bytes());
        Ok(())
    }
}

/// A value that was opened; overwritten when it is dropped.
pub struct Opened {
    kind: u8,
    bytes: Zeroizing<Vec<u8>>,
}

impl Opened {
    /// Return it.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        Value { kind: self.kind, bytes: &self.bytes }
    }

    /// Whether the bytes are one value of the type, by its own lengths.
    fn is_whole(&self) -> bool {
        let is_framed = crate::bson::value::size(self.kind, &self.bytes) == Ok(self.bytes.len());
        is_framed && (self.kind != STRING || self.value().text().is_ok())
    }
}

/// Return what stands before a part.
fn length(size: usize) -> Sure<[u8; 4]> {
    u32::try_from(size).map(u32::to_be_bytes).map_err(|_| Doubt)
}
