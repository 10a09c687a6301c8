// Unwraps records of data keys with nothing but Node's crypto, as the platform does: RSA-OAEP with SHA-256.
// Arguments: the private key (PEM), the records (JSON). Standard output: JSON, name to key (hex).
import { constants, privateDecrypt } from "node:crypto";
import { readFileSync } from "node:fs";

const [key, file] = process.argv.slice(2);
const padding = { key: readFileSync(key), oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING };
const found = {};
for (const record of JSON.parse(readFileSync(file, "utf8")))
  found[record.id] = privateDecrypt(padding, Buffer.from(record.wrappedDek, "base64")).toString("hex");
process.stdout.write(JSON.stringify(found));
