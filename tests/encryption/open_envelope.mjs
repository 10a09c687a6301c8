// Implements schemas/envelope.md, from that page alone, on Node's stock crypto: the oracle of test_vectors.py.
// Standard input: {"command": "check" | "seal" | "open", ...}; standard output: JSON.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

const U = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
const B = (n) => Buffer.from([n]);
// A type: one byte, or the name of what is kept as text.
const T = (x) => (typeof x === 'string' ? Buffer.from(x, 'utf8') : B(x));
const P = (x) => { const b = typeof x === 'string' ? Buffer.from(x, 'utf8') : x; return Buffer.concat([U(b.length), b]); };
const list = (...parts) => Buffer.concat(parts.map(P));
const hkdf = (dek, info) => Buffer.from(hkdfSync('sha256', dek, Buffer.alloc(0), info, 32));
const hmac = (key, ...data) => data.reduce((h, d) => h.update(d), createHmac('sha256', key)).digest();

function derive(v) {
  const version = B(v.profile === 'bound' ? 2 : 1);
  const dek = Buffer.from(v.dek, 'hex');
  const id = Buffer.concat([T(v.id.type), Buffer.from(v.id.value, 'hex')]);
  const place = [v.product, v.database, v.collection, id];
  const path = list(...v.path);
  const value = Buffer.from(v.value, 'hex');
  const documentKey = hkdf(dek, list('offline-kit/document-key', version, ...place));
  return {
    ad: list('offline-kit/envelope', version, ...place, path, v.context, T(v.bsonType), v.dekId, U(v.mekVersion)),
    documentKey,
    key: v.profile === 'bound' ? documentKey : dek,
    ivKey: hkdf(dek, list('offline-kit/iv-key')),
    commitment: hkdf(dek, list('offline-kit/commitment', v.dekId, v.product, v.context, v.owner)),
    valueDigest: hmac(
      hkdf(dek, list('offline-kit/value-digest')),
      list(list('offline-kit/envelope', version, ...place), Buffer.concat([P(path), P(v.context)]), T(v.bsonType), value),
    ),
    // compat: the UTF-8 bytes of the string, without length and NUL
    plaintext: v.profile === 'bound' ? value : value.subarray(4, value.length - 1),
  };
}

function seal(v, iv) {
  const d = derive(v);
  const vector = iv ?? hmac(d.ivKey, P(d.ad), d.plaintext).subarray(0, 12);
  const cipher = createCipheriv('aes-256-gcm', d.key, vector);
  if (v.profile === 'bound') cipher.setAAD(d.ad);
  const ct = Buffer.concat([cipher.update(d.plaintext), cipher.final()]);
  const envelope = {
    __encrypted: true, v: v.profile === 'bound' ? 2 : 1, alg: 'aes-256-gcm', ct: ct.toString('base64'),
    iv: vector.toString('base64'), tag: cipher.getAuthTag().toString('base64'), dekId: v.dekId, mekVersion: v.mekVersion,
  };
  return v.profile === 'bound' ? { ...envelope, ctx: v.context, bt: v.bsonType } : envelope;
}

function open(v, e) {
  const d = derive(v);
  const decipher = createDecipheriv('aes-256-gcm', d.key, Buffer.from(e.iv, 'base64'));
  if (v.profile === 'bound') decipher.setAAD(d.ad);
  decipher.setAuthTag(Buffer.from(e.tag, 'base64'));
  const opened = Buffer.concat([decipher.update(Buffer.from(e.ct, 'base64')), decipher.final()]);
  return opened.equals(d.plaintext);
}

const sorted = (e) => JSON.stringify(Object.entries(e).sort(([a], [b]) => (a < b ? -1 : 1)));

function check(vectors) {
  const faults = [];
  for (const v of vectors) {
    const d = derive(v);
    const same = (what, mine, theirs) => { if (mine !== theirs) faults.push(`${v.name}: ${what}: ${mine}`); };
    same('associatedData', d.ad.toString('hex'), v.associatedData);
    same('documentKey', d.documentKey.toString('hex'), v.documentKey);
    same('ivKey', d.ivKey.toString('hex'), v.ivKey);
    same('commitment', d.commitment.toString('hex'), v.commitment);
    same('valueDigest', d.valueDigest.toString('hex'), v.valueDigest);
    same('envelope', sorted(seal(v)), sorted(v.envelope));
    same('opens', open(v, v.envelope), true);
  }
  return { checked: vectors.length, faults };
}

const input = JSON.parse(readFileSync(0, 'utf8'));
const results = {
  check: () => check(input.vectors),
  seal: () => input.vectors.map((v) => seal(v, input.iv && Buffer.from(input.iv, 'hex'))),
};
process.stdout.write(JSON.stringify(results[input.command]()));
