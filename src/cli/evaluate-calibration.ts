/** `evaluate calibration`: how alike different people are to a pack, as the table that a pack carries. */
import { readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cosineOf } from "../lib/vector.ts";
import { calibrationOf, ScoreHistogram } from "../match/score-table.ts";
import type { Action } from "./command.ts";
import { EXIT, refused } from "./exit.ts";
import { type Embedded, embedAll, failuresOf, openModels } from "./pictures.ts";
import { Progress, printJson, type Terminal } from "./terminal.ts";

/** Two "different" people this alike are one person under two names, or one picture twice. */
const DUPLICATE_COSINE = 0.9;
/** Pictures of one person that give same-person pairs: the first against each other one. */
const PICTURES_PER_PERSON = 5;

export const evaluateCalibration: Action = async ({ args, terminal, signal }) => {
  const people = await peopleIn(resolve(args.text("root")));
  if (people.length < 50)
    throw refused(
      "too_few_people",
      `${args.text("root")} holds ${people.length} people (Name/*.jpg): at least 50 are needed`,
    );
  await using models = await openModels(resolve(args.text("pack")), args.number("threads", 0, 256));
  const embedded = await embedAll(models, people.flat(), terminal, signal);
  const scores = scoresOf(people, embedded, terminal, signal);
  const table = calibrationOf(args.text("set"), scores.impostor, scores.genuine);
  if (table === undefined)
    throw refused("too_few_pairs", "too few people gave an embedding for a score table");
  const out = args.optional("out");
  if (out !== undefined) await writeFile(out, `${JSON.stringify(table, null, 2)}\n`);
  const failures = failuresOf(embedded.values());
  const summary = {
    schema: 1,
    packId: models.pack.id,
    spaceId: models.pack.embedder.spaceId,
    people: people.length,
    pictures: embedded.size,
    failuresToAcquire: failures,
    duplicatesRemoved: scores.duplicates,
    genuinePairs: scores.genuine.total,
    smallestFmr: table.points.at(-1)?.fmr,
    calibration: table,
  };
  if (args.flag("json")) printJson(terminal, summary);
  else {
    terminal.out(
      `people     ${people.length}, one picture each for ${table.pairs} different-person pairs (not independent: each person is in many)\n`,
    );
    terminal.out(
      `removed    ${scores.duplicates} pairs above cosine ${DUPLICATE_COSINE}: taken for one person under two names\n\ncosine   FMR        FNMR\n`,
    );
    for (const { cosine, fmr, fnmr } of table.points)
      terminal.out(
        `${cosine.toFixed(4)}   ${fmr.toExponential(2)}   ${fnmr === undefined ? "" : fnmr.toFixed(4)}\n`,
      );
  }
  return EXIT.ok;
};

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

function scoresOf(
  people: readonly (readonly string[])[],
  embedded: ReadonlyMap<string, Embedded>,
  terminal: Terminal,
  signal: AbortSignal,
) {
  const vectorsOf = (files: readonly string[]): readonly Float32Array[] =>
    files.flatMap((file) => {
      const result = embedded.get(file);
      return result?.kind === "vector" ? [result.vector] : [];
    });
  const all = people.map(vectorsOf).filter((vectors) => vectors.length > 0);
  const [impostor, genuine] = [new ScoreHistogram(), new ScoreHistogram()];
  const progress = new Progress(terminal, "comparing", all.length);
  let duplicates = 0;
  for (const [index, [first, ...others]] of all.entries()) {
    signal.throwIfAborted();
    if (first === undefined) continue;
    for (const other of others) genuine.add(cosineOf(first, other));
    for (let next = index + 1; next < all.length; next += 1) {
      const score = cosineOf(first, all[next]?.[0] as Float32Array);
      if (score > DUPLICATE_COSINE) duplicates += 1;
      else impostor.add(score);
    }
    progress.update(index + 1);
  }
  return { impostor, genuine, duplicates };
}
