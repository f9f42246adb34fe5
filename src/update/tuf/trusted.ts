/**
 * The metadata that was verified last, as one file. `tuf-js` writes in place and syncs nothing: it works
 * in a directory that is thrown away, and what it verified there is taken over in one rename.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../../lib/json.ts";
import { Sha256 } from "../../release/repository.ts";
import { writeDurably } from "./durable.ts";

const ROLES = ["root", "timestamp", "snapshot", "targets"] as const;
export type RoleName = (typeof ROLES)[number];

/** Bytes of a role's metadata. */
export type MetadataFiles = Readonly<Partial<Record<RoleName, Buffer>>>;

const text = z.base64().max(8 * 1024 * 1024);
const TrustedFile = z.strictObject({
  schema: z.literal(1),
  /** sha256 of the pinned root that all of it goes back to. */
  anchor: Sha256,
  files: z.strictObject({
    root: text,
    timestamp: text.optional(),
    snapshot: text.optional(),
    targets: text.optional(),
  }),
});

const FILE = "trusted.json";
const WORK = "metadata.new";

/** @returns undefined when there is none, it is torn, or it goes back to another pinned root */
export async function readTrusted(
  directory: string,
  anchor: string,
): Promise<MetadataFiles | undefined> {
  const content = await readFile(join(directory, FILE), "utf8").catch(() => "");
  const parsed = TrustedFile.safeParse(parseJson(content));
  if (!parsed.success || parsed.data.anchor !== anchor) return undefined;
  const files: Partial<Record<RoleName, Buffer>> = {};
  for (const name of ROLES) {
    const value = parsed.data.files[name];
    if (value !== undefined) files[name] = Buffer.from(value, "base64");
  }
  return files;
}

/** Durable when it resolves; before, the file of last time stands. */
export async function writeTrusted(
  directory: string,
  anchor: string,
  files: MetadataFiles,
): Promise<void> {
  const encoded = Object.fromEntries(
    ROLES.flatMap((name) => {
      const bytes = files[name];
      return bytes === undefined ? [] : [[name, bytes.toString("base64")]];
    }),
  );
  const path = join(directory, FILE);
  const content = Buffer.from(JSON.stringify({ schema: 1, anchor, files: encoded }));
  const before = await readFile(path).catch(() => undefined);
  // Most checks find nothing new: the flash is spared.
  if (before?.equals(content) !== true) await writeDurably(path, content);
}

/** An empty working directory for `tuf-js` with these files in it. @returns its path */
export async function makeWorkDirectory(directory: string, files: MetadataFiles): Promise<string> {
  const work = join(directory, WORK);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true, mode: 0o700 });
  for (const name of ROLES) {
    const bytes = files[name];
    if (bytes !== undefined) await writeFile(join(work, `${name}.json`), bytes);
  }
  return work;
}

export async function removeWorkDirectory(directory: string): Promise<void> {
  await rm(join(directory, WORK), { recursive: true, force: true });
}

/** What lies in a working directory now. */
export async function readWorkDirectory(work: string): Promise<MetadataFiles> {
  const files: Partial<Record<RoleName, Buffer>> = {};
  for (const name of ROLES) {
    const bytes = await readFile(join(work, `${name}.json`)).catch(() => undefined);
    if (bytes !== undefined) files[name] = bytes;
  }
  return files;
}
