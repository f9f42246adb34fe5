/** `models import`: a pack from model files that the user has, each checked against a pinned checksum. */
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Calibration } from "../embedding/calibration.ts";
import { Pack } from "../embedding/pack.ts";
import { PackIdSchema } from "../lib/id.ts";
import { parseJson } from "../lib/json.ts";
import { buildPack } from "../vision/build-pack.ts";
import type { Action } from "./command.ts";
import { EXIT, refused, usage } from "./exit.ts";
import { printJson } from "./terminal.ts";

export const modelsImport: Action = async ({ args, terminal }) => {
  const out = resolve(args.text("out"));
  const id = basename(out);
  if (!PackIdSchema.safeParse(id).success)
    throw usage(`--out: "${id}" becomes the pack's id: use letters, digits, dot, dash, underscore`);
  if (await exists(out)) throw refused("exists", `${out} exists already: choose another directory`);
  await mkdir(dirname(out), { recursive: true });
  const calibration = await calibrationOf(args.optional("calibration"));
  const building = `${out}.building`;
  await rm(building, { recursive: true, force: true });
  try {
    const built = await buildPack({
      id,
      directory: building,
      detectorFile: args.text("detector"),
      embedderFile: args.text("embedder"),
      embedderPreset: args.text("preset"),
    });
    const pack = calibration === undefined ? built : Pack.parse({ ...built, calibration });
    if (calibration !== undefined)
      await writeFile(join(building, "pack.json"), `${JSON.stringify(pack, null, 2)}\n`);
    // The pack appears whole or not at all.
    await rename(building, out);
    const { embedder, demoOnly } = pack;
    const said = {
      id,
      directory: out,
      spaceId: embedder.spaceId,
      calibrated: pack.calibration !== undefined,
      demoOnly,
    };
    if (args.flag("json")) printJson(terminal, { schema: 1, ...said });
    else
      terminal.out(
        `${out}\n  space        ${said.spaceId}\n  calibration  ${said.calibrated ? "yes" : "none: every decision is a denial unless match.cosineMin is set"}\n`,
      );
    if (demoOnly && !args.flag("json"))
      terminal.out(
        "  use          demo only: these weights are not licensed or measured for a door\n",
      );
    return EXIT.ok;
  } finally {
    await rm(building, { recursive: true, force: true });
  }
};

async function calibrationOf(file: string | undefined): Promise<Calibration | undefined> {
  if (file === undefined) return undefined;
  const parsed = Calibration.safeParse(parseJson(await readFile(file, "utf8")));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw refused(
    "calibration_invalid",
    `${file} is no score table: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}; make one with "ostiary evaluate calibration --out"`,
  );
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
