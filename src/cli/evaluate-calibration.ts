/** `evaluate calibration`: how alike different people are to a pack, as the table that a pack carries. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { Calibration } from "../embedding/calibration.ts";
import { cosineOf } from "../lib/vector.ts";
import { crossCalibration, crossScores, type Portrait } from "../match/cross-pairs.ts";
import { ScoreHistogram } from "../match/score-table.ts";
import type { Models } from "../vision/models.ts";
import type { Arguments } from "./arguments.ts";
import type { Action, CommandContext } from "./command.ts";
import { EXIT, refused, usage } from "./exit.ts";
import { labelsIn } from "./labels.ts";
import { type Embedded, embedAll, embedCrop, failuresOf, openModels } from "./pictures.ts";
import { Progress, printJson, type Terminal } from "./terminal.ts";

/** Pictures of one person that give same-person pairs: the first against each other one. */
const PICTURES_PER_PERSON = 5;
const PEOPLE_MIN = 50;

/** One origin of pictures, embedded. */
interface Origin {
  /** One for each person. */
  readonly portraits: readonly Portrait[];
  readonly genuine: readonly number[];
  readonly embedded: ReadonlyMap<string, Embedded>;
}

export const evaluateCalibration: Action = async (context) => {
  const { args, terminal } = context;
  if (args.optional("root") === undefined && args.optional("crops") === undefined)
    throw usage("give --root, --crops or both");
  await using models = await openModels(resolve(args.text("pack")), args.number("threads", 0, 256));
  const origins = [await peopleOf(models, context), await cropsOf(models, context)];
  const people = origins.flatMap(({ portraits }) => portraits);
  const genuine = new ScoreHistogram();
  for (const score of origins.flatMap((origin) => origin.genuine)) genuine.add(score);
  const progress = new Progress(terminal, "comparing", people.length);
  const scores = crossScores(people, (done) => progress.update(done));
  const table = crossCalibration(args.text("set"), scores, genuine);
  if (table === undefined)
    throw refused("too_few_pairs", "too few people gave an embedding for a score table");
  const out = args.optional("out");
  if (out !== undefined) await writeFile(out, `${JSON.stringify(table, null, 2)}\n`);
  const embedded = origins.flatMap((origin) => [...origin.embedded.values()]);
  const summary = {
    schema: 1,
    packId: models.pack.id,
    spaceId: models.pack.embedder.spaceId,
    people: people.length,
    pictures: embedded.length,
    failuresToAcquire: failuresOf(embedded),
    duplicatesRemoved: scores.nearDuplicates,
    genuinePairs: genuine.total,
    smallestFmr: table.smallestFmr,
    calibration: table,
  };
  if (args.flag("json")) printJson(terminal, summary);
  else print(terminal, table, people.length);
  return EXIT.ok;
};

function print(terminal: Terminal, table: Calibration, people: number): void {
  const rate = (value: number): string => value.toExponential(2);
  terminal.out(
    `people     ${people}, one picture each for ${table.pairs} different-person pairs (not independent: each person is in many)\n` +
      `removed    ${table.nearDuplicates} pairs of the same photograph under two names\n` +
      `supported  false match rates from ${rate(table.smallestFmr ?? 1)} on (30 / pairs)\n\ncosine   FMR        FNMR\n`,
  );
  for (const { cosine, fmr, fnmr } of table.points)
    terminal.out(`${cosine.toFixed(4)}   ${rate(fmr)}   ${fnmr?.toFixed(4) ?? ""}\n`);
  const { groups = [] } = table;
  if (groups[0] !== undefined)
    terminal.out(`\nwithin a group, at cosine ${groups[0].cosine?.toFixed(4)}\n`);
  for (const { group, pairs, fmr, supported } of groups)
    terminal.out(
      `${rate(fmr)}   ${group}, ${pairs} pairs${supported ? "" : " (fewer than 30 false matches)"}\n`,
    );
}

/** `--root`: folders of people, whose first picture stands for each. */
async function peopleOf(
  models: Models,
  { args, terminal, signal }: CommandContext,
): Promise<Origin> {
  const root = args.optional("root");
  if (root === undefined) return { portraits: [], genuine: [], embedded: new Map() };
  const people = await peopleIn(resolve(root));
  if (people.length < PEOPLE_MIN)
    throw refused(
      "too_few_people",
      `${root} holds ${people.length} people (Name/*.jpg): at least ${PEOPLE_MIN} are needed`,
    );
  const embedded = await embedAll(models, people.flat(), terminal, signal);
  const set = basename(resolve(root));
  const portraits: Portrait[] = [];
  const genuine: number[] = [];
  for (const files of people) {
    const [first, ...others] = files.flatMap((file) => vectorIn(embedded, file));
    if (first === undefined) continue;
    portraits.push({ ...first, set, groups: [`set: ${set}`] });
    for (const other of others) genuine.push(cosineOf(first.vector, other.vector));
  }
  return { portraits, genuine, embedded };
}

/** `--crops`: aligned crops, each of somebody else, with labels for the groups. */
async function cropsOf(
  models: Models,
  { args, terminal, signal }: CommandContext,
): Promise<Origin> {
  const folder = args.optional("crops");
  if (folder === undefined) return { portraits: [], genuine: [], embedded: new Map() };
  const files = (await readdir(folder))
    .filter((name) => /\.(jpe?g|png|webp)$/i.test(name))
    .toSorted()
    .map((name) => join(folder, name));
  if (files.length < PEOPLE_MIN)
    throw refused(
      "too_few_people",
      `${folder} holds ${files.length} crops: at least ${PEOPLE_MIN} are needed`,
    );
  const groupsOf = await labelledGroups(args);
  const embedded = await embedAll(models, files, terminal, signal, embedCrop);
  const set = basename(resolve(folder));
  const portraits = files.flatMap((file) =>
    vectorIn(embedded, file).map(
      (found): Portrait => ({ ...found, set, groups: [`set: ${set}`, ...groupsOf(file)] }),
    ),
  );
  return { portraits, genuine: [], embedded };
}

/** @returns `column: value` for each `--group` column of a file, by its name without folder and extension */
async function labelledGroups(args: Arguments): Promise<(file: string) => readonly string[]> {
  const columns = args.list("group");
  const file = args.optional("labels");
  if (file === undefined) {
    if (columns.length > 0) throw usage("--group needs --labels");
    return () => [];
  }
  const labels = labelsIn(await readFile(file, "utf8"), columns);
  if (typeof labels === "string") throw refused("labels_invalid", `${file}: ${labels}`);
  return (picture) => labels.get(basename(picture).replace(/\.[^.]*$/, "")) ?? [];
}

function vectorIn(
  embedded: ReadonlyMap<string, Embedded>,
  file: string,
): readonly Pick<Portrait, "vector" | "thumbnail">[] {
  const found = embedded.get(file);
  return found?.kind === "vector" ? [{ vector: found.vector, thumbnail: found.thumbnail }] : [];
}

/** Pictures by person, both in order of name; at most {@link PICTURES_PER_PERSON} each. */
async function peopleIn(root: string): Promise<readonly (readonly string[])[]> {
  const people: (readonly string[])[] = [];
  const entries = await readdir(root, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory()) continue;
    const files = (await readdir(join(root, entry.name)))
      .filter((name) => /\.(jpe?g|png)$/i.test(name))
      .toSorted();
    if (files.length > 0)
      people.push(files.slice(0, PICTURES_PER_PERSON).map((name) => join(root, entry.name, name)));
  }
  return people;
}
