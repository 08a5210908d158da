// Holds an AsyncAPI and an OpenAPI document to their specifications; each deviation is a line.
//
//   node check.mjs ASYNCAPI.json OPENAPI.json
//
// Ends with 1 where there is one. The parser of AsyncAPI also gives advice: that counts too.
import { readFileSync } from "node:fs";

import { Parser } from "@asyncapi/parser";
import { Validator } from "@seriousme/openapi-schema-validator";

const OPENAPI = "3.1";

async function inAsyncApi(file) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
  const found = diagnostics.map(({ path, code, message }) => `${path.join(".")}: ${message} (${code})`);
  return document === undefined && found.length === 0 ? ["it cannot be read"] : found;
}

async function inOpenApi(file) {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(JSON.parse(readFileSync(file, "utf8")));
  if (!valid) {
    return typeof errors === "string"
      ? [errors]
      : errors.map(({ instancePath, message }) => `${instancePath}: ${message}`);
  }
  // Throws for a reference that leads nowhere.
  validator.resolveRefs();
  return validator.version === OPENAPI ? [] : [`it is ${validator.version}, not ${OPENAPI}`];
}

const [asyncApi, openApi] = process.argv.slice(2);
const found = [
  ...(await inAsyncApi(asyncApi)).map((each) => `AsyncAPI: ${each}`),
  ...(await inOpenApi(openApi)).map((each) => `OpenAPI: ${each}`),
];
for (const each of found) {
  console.error(each);
}
process.exitCode = found.length === 0 ? 0 : 1;
