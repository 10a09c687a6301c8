// Checks, applies or undoes the changes of an export of `kit export-changes --for mongosh`: schemas/online-changes.md.
//
//   KIT_ACTION=check                     mongosh "$URI" --quiet --norc --file changes.js
//   KIT_ACTION=apply KIT_STATE=FOLDER    mongosh "$URI" --quiet --norc --file changes.js
//   KIT_ACTION=undo  KIT_STATE=FOLDER    mongosh "$URI" --quiet --norc --file changes.js
//
// KIT_TENANT=T limits it to one tenant ("" for documents without one); KIT_DATABASE=DB works on a copy under another
// name. KIT_STATE is a folder of this program, one for each cluster; it is made. One run at a time uses it.
//
// Prints one JSON object a line. Ends with 0 if the database is as planned, 3 if not, 1 after an error. This text is the
// same in every export. Values come from export.json and the files of lines only, and never become code or operators.
'use strict';

const fs = require('fs');
const path = require('path');
const crypto = require('crypto');

const AS_PLANNED = 0;
const NOT_AS_PLANNED = 3;
const BATCH_BYTES = 8 << 20;
const HELD_BYTES = 64 << 20;
const EXACT = { relaxed: false };
// What is known of a line: whether its document had the field when this program first looked at it.
const UNSEEN = 0;
const LACKED = 1;
const HAD = 2;

function fail(what) {
  throw new Error(`changes.js: ${what}`);
}

function tell(what) {
  print(JSON.stringify(what));
}

// Reads a file line by line, in bounded memory.
class Lines {
  constructor(file) {
    this.name = file;
    this.file = fs.openSync(file, 'r');
    this.rest = Buffer.alloc(0);
  }

  next() {
    for (;;) {
      const at = this.rest.indexOf(10);
      if (at >= 0) {
        const line = this.rest.subarray(0, at).toString('utf8');
        this.rest = this.rest.subarray(at + 1);
        return line;
      }
      const more = Buffer.alloc(1 << 20);
      const size = fs.readSync(this.file, more);
      if (size === 0) {
        fs.closeSync(this.file);
        return this.rest.length > 0 ? fail(`${this.name}: the last line is cut off`) : null;
      }
      this.rest = Buffer.concat([this.rest, more.subarray(0, size)]);
    }
  }
}

function digestOf(file) {
  const digest = crypto.createHash('sha256');
  const handle = fs.openSync(file, 'r');
  const chunk = Buffer.alloc(1 << 20);
  for (let size = fs.readSync(handle, chunk); size > 0; size = fs.readSync(handle, chunk)) {
    digest.update(chunk.subarray(0, size));
  }
  fs.closeSync(handle);
  return digest.digest('hex');
}

function readExport(folder) {
  const found = JSON.parse(fs.readFileSync(path.join(folder, 'export.json'), 'utf8'));
  if (found.format !== 'online-changes' || found.schemaVersion !== '1' || found.for !== 'mongosh') {
    fail('export.json is not of an export for mongosh that this program reads');
  }
  for (const one of found.collections) {
    if (digestOf(path.join(folder, one.file)) !== one.sha256) {
      fail(`${one.file} is not the file that export.json lists: copy the export again`);
    }
  }
  return found;
}

function readOptions(found) {
  const action = process.env.KIT_ACTION;
  if (!['check', 'apply', 'undo'].includes(action)) {
    fail('set KIT_ACTION to check, apply or undo');
  }
  const state = process.env.KIT_STATE;
  if (action !== 'check' && !state) {
    fail('set KIT_STATE to a folder for this cluster, which remembers what was there before');
  }
  const database = process.env.KIT_DATABASE;
  if (database && new Set(found.collections.map((one) => one.db)).size > 1) {
    fail('KIT_DATABASE is for an export of one database');
  }
  const tenant = process.env.KIT_TENANT;
  if (tenant !== undefined && !found.collections.some((one) => one.tenants.some((each) => each.tenant === tenant))) {
    fail(`the export has no documents of tenant ${JSON.stringify(tenant)}`);
  }
  return { action, state, database, tenant };
}

function openState(folder, name, database, isNew) {
  const own = { export: digestOf(path.join(folder, 'export.json')), database: database || null };
  const file = path.join(name, 'state.json');
  if (!isNew && !fs.existsSync(file)) {
    fail(`${name} is no state of this program: nothing was applied with it`);
  }
  fs.mkdirSync(name, { recursive: true, mode: 0o700 });
  if (fs.existsSync(file)) {
    const there = JSON.parse(fs.readFileSync(file, 'utf8'));
    if (there.export !== own.export || there.database !== own.database) {
      fail(`${name} is the state of another export or database: name another folder`);
    }
  } else if (fs.readdirSync(name).some((each) => each !== 'state.json.new')) {
    fail(`${name} has files and is no state of this program: name another folder`);
  } else {
    const made = fs.openSync(`${file}.new`, 'w', 0o600);
    fs.writeSync(made, `${JSON.stringify(own)}\n`);
    fs.fsyncSync(made);
    fs.closeSync(made);
    fs.renameSync(`${file}.new`, file);
  }
}

// One byte a line, on the disk before anything is written to the database.
class Seen {
  constructor(state, number, lines) {
    const file = path.join(state, `seen-${number}`);
    this.file = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    fs.ftruncateSync(this.file, lines);
    this.bytes = fs.readFileSync(file);
  }

  keep(batch) {
    const first = batch[0].number;
    const last = batch[batch.length - 1].number;
    fs.writeSync(this.file, this.bytes, first, last + 1 - first, first);
    fs.fsyncSync(this.file);
  }
}

function parseLine(line, matched, field) {
  const record = EJSON.parse(line, EXACT);
  const names = Object.keys(record);
  const asked = Object.entries(record.match || {});
  const sound = names.length === 3 && names.every((name) => ['_id', 'match', field].includes(name)) && asked.length > 0;
  if (!sound || asked.some(([name, value]) => !matched.includes(name) || typeof value !== 'string')) {
    fail('a line is not of the form that export.json states');
  }
  return { id: record._id, match: asked, value: record[field] };
}

// Calls `work` with batches of lines, each of one tenant and in the order of the file.
function eachBatch(found, one, folder, tenant, work) {
  const lines = new Lines(path.join(folder, one.file));
  const waiting = new Map();
  let held = 0;
  const flush = (name) => {
    const batch = waiting.get(name);
    waiting.delete(name);
    held -= batch.bytes;
    work(batch.lines, name);
  };
  let number = 0;
  for (let line = lines.next(); line !== null; line = lines.next()) {
    const made = parseLine(line, found.matched, found.field);
    made.number = number;
    number += 1;
    const own = made.match.find(([name]) => name === found.matched[0]);
    const name = own === undefined ? '' : own[1];
    if (tenant !== undefined && name !== tenant) {
      continue;
    }
    if (!waiting.has(name)) {
      waiting.set(name, { lines: [], bytes: 0 });
    }
    const batch = waiting.get(name);
    batch.lines.push(made);
    batch.bytes += line.length;
    held += line.length;
    if (batch.lines.length >= found.batchSize || batch.bytes >= BATCH_BYTES) {
      flush(name);
    } else if (held >= HELD_BYTES) {
      flush([...waiting].reduce((most, each) => (each[1].bytes > most[1].bytes ? each : most))[0]);
    }
  }
  for (const name of [...waiting.keys()]) {
    flush(name);
  }
}

// $eq everywhere: an _id may be a document, and its names must not be taken for operators.
function filterOf(line, condition) {
  const filter = { _id: { $eq: line.id } };
  for (const [name, value] of line.match) {
    filter[name] = { $eq: value };
  }
  return Object.assign(filter, condition);
}

// The database compares numbers by value, whatever their type.
function keyOf(id) {
  const kind = id === null || id === undefined ? '' : id._bsontype;
  const isNumber = typeof id === 'number' || ['Int32', 'Double', 'Long'].includes(kind);
  return isNumber ? `number ${id}` : EJSON.stringify({ id }, EXACT);
}

function valueAt(document, name) {
  return name.split('.').reduce((at, step) => (at === null || at === undefined ? undefined : at[step]), document);
}

function hasField(document, field) {
  return Object.prototype.hasOwnProperty.call(document, field);
}

function findBatch(collection, batch, names, condition) {
  const projection = Object.fromEntries(names.map((name) => [name, 1]));
  const filter = Object.assign({ _id: { $in: batch.map((line) => line.id) } }, condition);
  const there = new Map();
  for (const document of collection.find(filter, projection).toArray()) {
    there.set(keyOf(document._id), document);
  }
  return there;
}

// Writes a batch and returns how many documents changed, and what the server refused, by place in the batch. Some servers
// stop at the first write that they refuse, so the rest is sent again: what is done is not done twice.
function writeBatch(collection, operations) {
  const refused = new Map();
  let changed = 0;
  let waiting = operations.map((_, at) => at);
  while (waiting.length > 0) {
    const sent = waiting;
    try {
      const options = { ordered: false, writeConcern: { w: 'majority' } };
      const result = collection.bulkWrite(sent.map((at) => operations[at]), options);
      changed += result.modifiedCount;
      waiting = [];
    } catch (error) {
      const errors = [].concat(error.writeErrors || []);
      if (errors.length === 0 || !error.result) {
        throw error;
      }
      changed += error.result.modifiedCount;
      errors.forEach((each) => refused.set(sent[each.index], String(each.errmsg)));
      waiting = sent.filter((at) => !refused.has(at));
    }
  }
  return { changed, refused };
}

// Whether a document is as the line would have it, or why it was left.
function judge(line, document, field, refusal) {
  if (document === undefined) {
    return 'absent';
  }
  if (line.match.some(([name, value]) => valueAt(document, name) !== value)) {
    return 'changed';
  }
  if (!hasField(document, field)) {
    return refusal === undefined ? 'lacking' : 'refused';
  }
  return EJSON.stringify(document[field], EXACT) === EJSON.stringify(line.value, EXACT) ? 'equal' : 'other';
}

// Documents without the field, by tenant; those whose tenant is no text count as without one.
function countMissing(collection, found, one, tenant) {
  const stages = [
    { $match: { [found.field]: { $exists: false } } },
    { $group: { _id: `$${found.matched[0]}`, documents: { $sum: 1 } } },
  ];
  const counted = new Map();
  for (const group of collection.aggregate(stages).toArray()) {
    const name = typeof group._id === 'string' ? group._id : '';
    counted.set(name, (counted.get(name) || 0) + Number(group.documents));
  }
  const planned = one.tenants.filter((each) => tenant === undefined || each.tenant === tenant);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  return {
    missing: tenant === undefined ? total([...counted.values()]) : counted.get(tenant) || 0,
    before: total(planned.map((each) => each.missing)),
    after: total(planned.map((each) => each.missingAfter)),
    otherwise: planned
      .map((each) => ({ tenant: each.tenant, missing: counted.get(each.tenant) || 0, planned: each.missingAfter }))
      .filter((each) => each.missing !== each.planned),
  };
}

function main() {
  const folder = __dirname;
  const found = readExport(folder);
  const { action, state, database, tenant } = readOptions(found);
  const { field } = found;
  const names = [...found.matched, field];
  // What decides is read where it is written, whatever the connection string prefers.
  db.getMongo().setReadPref('primary');
  if (action !== 'check') {
    openState(folder, state, database, action === 'apply');
  }
  const left = action === 'check' ? null : fs.openSync(path.join(state, `left-${action}.ndjson`), 'w', 0o600);
  let code = AS_PLANNED;

  found.collections.forEach((one, number) => {
    const collection = db.getSiblingDB(database || one.db).getCollection(one.collection);
    const place = { db: database || one.db, collection: one.collection };
    const before = countMissing(collection, found, one, tenant);
    if (action === 'check') {
      const is = { [before.before]: 'before', [before.after]: 'after' }[before.missing] || 'otherwise';
      const planned = { before: before.before, after: before.after };
      const otherwise = is === 'otherwise' ? before.otherwise : [];
      tell({ event: 'count', ...place, missing: before.missing, planned, is, otherwise });
      code = is === 'otherwise' ? NOT_AS_PLANNED : code;
      return;
    }
    const seen = new Seen(state, number, one.lines);
    const sums = { lines: 0, equal: 0, now: 0, found: 0, absent: 0, changed: 0, other: 0, lacking: 0, refused: 0 };

    eachBatch(found, one, folder, tenant, (batch, name) => {
      if (action === 'apply' && batch.some((line) => seen.bytes[line.number] === UNSEEN)) {
        const had = findBatch(collection, batch, ['_id'], { [field]: { $exists: true } });
        for (const line of batch.filter((each) => seen.bytes[each.number] === UNSEEN)) {
          seen.bytes[line.number] = had.has(keyOf(line.id)) ? HAD : LACKED;
        }
        seen.keep(batch);
      }
      // What had the field before is not undone, and of the rest only what has exactly the value of the line.
      const own = action === 'apply' ? batch : batch.filter((line) => seen.bytes[line.number] === LACKED);
      const operations = own.map((line) => ({
        updateOne:
          action === 'apply'
            ? { filter: filterOf(line, { [field]: { $exists: false } }), update: { $set: { [field]: line.value } } }
            : { filter: filterOf(line, { [field]: { $eq: line.value } }), update: { $unset: { [field]: '' } } },
      }));
      const { changed, refused } = writeBatch(collection, operations);
      sums.lines += own.length;
      sums.now += changed;
      if (changed === own.length) {
        sums[action === 'apply' ? 'equal' : 'lacking'] += changed;
      } else {
        const there = findBatch(collection, own, names, {});
        own.forEach((line, at) => {
          const verdict = judge(line, there.get(keyOf(line.id)), field, refused.get(at));
          const was = verdict === 'equal' && seen.bytes[line.number] === HAD ? 'found' : verdict;
          sums[was] += 1;
          if (action === 'apply' ? !['equal', 'found'].includes(was) : was !== 'lacking') {
            const why = { ...place, tenant: name, _id: line.id, why: was, error: refused.get(at) || '' };
            fs.writeSync(left, `${EJSON.stringify(why, EXACT)}\n`);
          }
        });
      }
      tell({ event: 'batch', ...place, tenant: name, lines: own.length, changed });
    });

    const after = countMissing(collection, found, one, tenant);
    const undone = { changed: sums.changed, other: sums.other, absent: sums.absent, refused: sums.refused };
    const rest = action === 'apply' ? { ...undone, lacking: sums.lacking } : { ...undone, equal: sums.equal };
    const isLeft = Object.values(rest).some((count) => count > 0);
    tell({
      event: action === 'apply' ? 'applied' : 'undone',
      ...place,
      lines: sums.lines,
      done: action === 'apply' ? sums.equal : sums.lacking,
      now: sums.now,
      ...(action === 'apply' ? { found: sums.found } : {}),
      left: rest,
      missing: { before: before.missing, after: after.missing, planned: action === 'apply' ? after.after : null },
      otherwise: action === 'apply' ? after.otherwise : [],
    });
    if (isLeft || (action === 'apply' && after.missing !== after.after)) {
      code = NOT_AS_PLANNED;
    }
  });
  if (left !== null) {
    fs.closeSync(left);
  }
  return code;
}

quit(main());
