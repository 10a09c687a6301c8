// Reads BSON documents, one after the other, with the npm package "bson", and prints each as one line of canonical
// Extended JSON. Arguments: the folder that has node_modules, the file of documents.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, file] = process.argv.slice(2);
const { BSON, EJSON } = createRequire(join(folder, "package.json"))("bson");
const options = { promoteValues: false, promoteBuffers: false, validation: { utf8: true } };
const body = readFileSync(file);
for (let place = 0; place < body.length; ) {
  const size = body.readInt32LE(place);
  const document = BSON.deserialize(body.subarray(place, place + size), options);
  console.log(EJSON.stringify(document, { relaxed: false }));
  place += size;
}
