/** Writes the generated reference: `scripts/node src/config/write-reference.ts`. */
import { writeFile } from "node:fs/promises";
import { referencePage, referenceSchema } from "./reference.ts";

const folder = new URL("../../config/", import.meta.url);
await writeFile(new URL("README.md", folder), referencePage());
await writeFile(new URL("ostiary.schema.json", folder), referenceSchema());
