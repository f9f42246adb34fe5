/** `evaluate verification`: a pack on LFW-style pairs. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { cosineOf } from "../lib/vector.ts";
import {
  type PicturePair,
  parsePairs,
  type ScoredPair,
  type VerificationReport,
  verificationReport,
} from "../match/verification.ts";
import type { Action } from "./command.ts";
import { EXIT, refused } from "./exit.ts";
import { type Embedded, embedAll, failuresOf, openModels, pictureOf } from "./pictures.ts";
import { printJson } from "./terminal.ts";

const FARS = [1e-3, 1e-4] as const;

export const evaluateVerification: Action = async ({ args, terminal, signal }) => {
  const root = resolve(args.text("root"));
  const pairs = parsePairs(await readFile(args.text("pairs"), "utf8"));
  if (typeof pairs === "string") throw refused("pairs_invalid", `${args.text("pairs")}: ${pairs}`);
  const fileOf = ({ name, number }: PicturePair["first"]): string => pictureOf(root, name, number);
  const files = [...new Set(pairs.flatMap((pair) => [fileOf(pair.first), fileOf(pair.second)]))];
  await using models = await openModels(resolve(args.text("pack")), args.number("threads", 0, 256));
  const embedded = await embedAll(models, files, terminal, signal);
  const scored = pairs.map(
    (pair): ScoredPair => ({
      fold: pair.fold,
      same: pair.same,
      score: scoreOf(embedded.get(fileOf(pair.first)), embedded.get(fileOf(pair.second))),
    }),
  );
  const failures = failuresOf(embedded.values());
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  if (failures["ENOENT"] === files.length)
    throw refused(
      "no_pictures",
      `${root} holds none of the pictures that the pairs name: expected ${files[0]}`,
    );
  const report = verificationReport(scored, FARS);
  if (args.flag("json")) {
    printJson(terminal, {
      schema: 1,
      packId: models.pack.id,
      spaceId: models.pack.embedder.spaceId,
      provider: models.loaded.provider,
      pictures: files.length,
      failuresToAcquire: { pictures: failed, byReason: failures, pairs: report.failedPairs },
      conventions: CONVENTIONS,
      ...report,
    });
  } else terminal.out(textOf(report, files.length, failed));
  return EXIT.ok;
};

const CONVENTIONS = {
  face: "of several faces the one nearest to the picture's centre",
  failureToAcquire:
    "a pair with a picture that gave no embedding is never accepted: an error where it is the same person",
  threshold: "per fold, the best one on the other folds",
  supported: "false where fewer than 30 / FAR different pairs were compared (rule of 30)",
} as const;

function scoreOf(first: Embedded | undefined, second: Embedded | undefined): number | undefined {
  if (first?.kind !== "vector" || second?.kind !== "vector") return undefined;
  return cosineOf(first.vector, second.vector);
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

function textOf(report: VerificationReport, pictures: number, failed: number): string {
  const { accuracy, pairs, failedPairs, folds, tarAtFar } = report;
  const lines = [
    `accuracy      ${percent(accuracy.mean)} ± ${percent(accuracy.std)} (standard deviation over ${folds.length} folds)`,
    ...tarAtFar.map(
      (at) =>
        `TAR at FAR    ${percent(at.tar)} at ${at.far}, threshold ${at.threshold.toFixed(4)}${at.supported ? "" : " (too few pairs for this FAR: rule of 30)"}`,
    ),
    `pairs         ${pairs.same} same, ${pairs.different} different`,
    `not acquired  ${failed} of ${pictures} pictures; ${failedPairs.same} same and ${failedPairs.different} different pairs, counted as never accepted`,
  ];
  return `${lines.join("\n")}\n`;
}
