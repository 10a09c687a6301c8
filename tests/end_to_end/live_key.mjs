// Seals texts as the platform does, with nothing but Node's crypto: AES-256-GCM under the data key itself.
// Standard input: {dek (hex), dekId, mekVersion, texts}; standard output: JSON, an envelope of each text.
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const { dek, dekId, mekVersion, texts } = JSON.parse(readFileSync(0, "utf8"));
const sealed = texts.map((text) => {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", Buffer.from(dek, "hex"), iv);
  const ct = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]).toString("base64");
  const tag = cipher.getAuthTag().toString("base64");
  return { __encrypted: true, v: 1, alg: "aes-256-gcm", ct, iv: iv.toString("base64"), tag, dekId, mekVersion };
});
process.stdout.write(JSON.stringify(sealed));
