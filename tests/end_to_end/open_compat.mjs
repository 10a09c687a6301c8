// Opens the compat envelopes of a patched collection with nothing but Node's crypto and the npm package bson, as the
// platform's reader does. Arguments: the folder that has node_modules, the collection, the data keys (JSON: name to
// hex), the field. Standard output: JSON, [_id, plaintext] of each document.
import { createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, file, keys, field] = process.argv.slice(2);
const { deserialize } = createRequire(join(folder, "/"))("bson");
const deks = JSON.parse(readFileSync(keys, "utf8"));
const data = readFileSync(file);

function opened(envelope) {
  const key = Buffer.from(deks[envelope.dekId], "hex");
  const cipher = createDecipheriv("aes-256-gcm", key, Buffer.from(envelope.iv, "base64"));
  cipher.setAuthTag(Buffer.from(envelope.tag, "base64"));
  return Buffer.concat([cipher.update(Buffer.from(envelope.ct, "base64")), cipher.final()]).toString("utf8");
}

const found = [];
for (let at = 0; at < data.length; ) {
  const end = at + data.readInt32LE(at);
  const document = deserialize(data.subarray(at, end));
  found.push([document._id, opened(document[field])]);
  at = end;
}
process.stdout.write(JSON.stringify(found));
