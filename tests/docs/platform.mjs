// Reads exported documents as the platform does, with nothing but Node's crypto: unwraps the records of data keys
// (RSA-OAEP with SHA-256), then opens every envelope (AES-256-GCM under the data key itself).
// Arguments: the private key (PEM); then files: records of keys (*store*.json), documents (JSON, one a line).
// Standard output: a line for each file of documents; read.json: what was read, by file and id.
import { constants, createDecipheriv, privateDecrypt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

const [pem, ...files] = process.argv.slice(2);
const padding = { key: readFileSync(pem), oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING };
const keys = {};
for (const file of files.filter((name) => name.includes("store")))
  for (const record of JSON.parse(readFileSync(file, "utf8")))
    keys[record.id] = privateDecrypt(padding, Buffer.from(record.wrappedDek, "base64"));

function opened(envelope) {
  const cipher = createDecipheriv("aes-256-gcm", keys[envelope.dekId], Buffer.from(envelope.iv, "base64"));
  cipher.setAuthTag(Buffer.from(envelope.tag, "base64"));
  return Buffer.concat([cipher.update(Buffer.from(envelope.ct, "base64")), cipher.final()]).toString("utf8");
}

const read = {};
for (const file of files.filter((name) => !name.includes("store"))) {
  const name = basename(file, ".json");
  const found = (read[name] = {});
  let values = 0;
  const documents = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  for (const document of documents) {
    found[document.id] = {};
    for (const [field, value] of Object.entries(document))
      if (value?.__encrypted === true) {
        found[document.id][field] = opened(value);
        values += 1;
      }
  }
  console.log(`${name}: ${documents.length} documents, ${values} sealed values read`);
}
writeFileSync("read.json", JSON.stringify(read));
