/** `release.yaml`: how a release workspace signs. Who must sign what is in the TUF root, and only there. */
import { readFile } from "node:fs/promises";
import { parseDocument } from "yaml";
import { z } from "zod";
import { codeOf, Fault } from "../../src/lib/fault.ts";
import { writeDurably } from "./files.ts";

export const KeyName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,31}$/,
    "must be 1 to 32 of a-z 0-9 - and begin with a letter or digit",
  );

export const KeyEntry = z
  .strictObject({
    /** Raw 32 bytes, base64. */
    publicKey: z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64"),
    /** Encrypted PKCS #8 PEM, relative to the workspace. It may be away: in a safe, on a stick. */
    file: z.string().min(1).optional(),
    /** Program that reads the bytes on stdin and writes the signature to stdout: a PKCS #11 token, a KMS. */
    command: z.array(z.string().min(1)).min(1).optional(),
  })
  .refine(({ file, command }) => (file === undefined) !== (command === undefined), {
    message: "needs either file or command",
  });
export type KeyEntry = z.infer<typeof KeyEntry>;

const Expiry = z
  .strictObject({
    rootDays: z.number().positive().max(3660).default(365),
    targetsDays: z.number().positive().max(3660).default(90),
    snapshotDays: z.number().positive().max(3660).default(14),
    timestampHours: z.number().positive().max(8760).default(72),
  })
  .prefault({});

export const Settings = z.strictObject({
  schema: z.literal(1),
  /** Directory that is served, relative to the workspace. */
  repository: z.string().min(1).default("repository"),
  expiry: Expiry,
  /** Key that signs desired states; not of TUF. */
  director: KeyName,
  keys: z.record(KeyName, KeyEntry),
});
export type Settings = z.infer<typeof Settings>;

/** @throws Fault `config_missing`, `config_invalid` */
export async function readYaml<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  hint: string,
): Promise<z.infer<Schema>> {
  const text = await readFile(path, "utf8").catch((thrown: unknown) => {
    throw new Fault("config_missing", `cannot read ${path} (${codeOf(thrown)}): ${hint}`);
  });
  const document = parseDocument(text);
  const syntax = document.errors[0];
  if (syntax !== undefined)
    throw new Fault("config_invalid", `${path}: ${syntax.message.split("\n")[0]}`);
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Fault(
    "config_invalid",
    `${path}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`,
  );
}

/** Changes one place of a YAML file and leaves the rest, comments too, as it is. */
export async function setInYaml(
  path: string,
  changes: readonly (readonly [path: readonly string[], value: unknown])[],
): Promise<void> {
  const document = parseDocument(await readFile(path, "utf8"));
  for (const [at, value] of changes) document.setIn(at, document.createNode(value));
  await writeDurably(path, document.toString());
}
