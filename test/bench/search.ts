/** Exact search, hnswlib-node and usearch beside each other, and the live gallery as the daemon asks it. */
import type { SpaceId } from "../../src/lib/brand.ts";
import { ExactCore } from "../../src/store/index/exact-core.ts";
import { HnswCore } from "../../src/store/index/hnsw-core.ts";
import { LiveGallery } from "../../src/store/index/live-gallery.ts";
import { HNSW_DEFAULTS } from "../../src/store/index/thread-index.ts";
import { VectorTable } from "../../src/store/index/vector-table.ts";
import { createClock } from "../../src/system/clock.ts";
import { RecordingLog } from "../support/log.ts";
import { UsearchIndex } from "../support/usearch-index.ts";
import { atLeast, atMost, type Bench, type BenchContext, type Budget, type Cell } from "./bench.ts";
import { rssMb, samplesOf, timingOf } from "./stats.ts";
import { DIMENSION, type People, people, stored } from "./vectors.ts";

/** As the match stage asks. */
const CANDIDATES = 24;
const SIZES = [1000, 10_000, 100_000];
const QUICK_SIZES = [1000, 30_000];
const SPACE = "bench" as SpaceId;

type Ask = (vector: Float32Array) => Promise<readonly number[]>;

interface Contender {
  readonly what: string;
  /** Best first. */
  readonly ask: Ask;
  readonly buildMs: number;
  readonly addedMb: number;
}

export const bench: Bench = async (context) => {
  const sizes = context.quick ? QUICK_SIZES : SIZES;
  const rows: Cell[][] = [];
  const budgets: Budget[] = [];
  for (const size of sizes) {
    context.say(`${size} templates`);
    const measured = await measureSize(size, context);
    rows.push(...measured.rows);
    budgets.push(...measured.budgets);
  }
  const { m, efConstruction, efSearch } = HNSW_DEFAULTS;
  return {
    tables: [
      {
        title: `Search, ${CANDIDATES} nearest of clustered ${DIMENSION}-d unit vectors`,
        columns: [
          ...["templates", "index", "p50 ms", "p95 ms"],
          ...["recall@1 enrolled", "poor shots", "strangers", "build s", "memory MB"],
        ],
        rows,
        notes: [
          `hnswlib-node and usearch: m ${m}, efConstruction ${efConstruction}, efSearch ${efSearch}`,
          "recall: share of queries whose best, after the exact score of all proposed, is the exact best; poor shots are about 0.5 alike to their person's best template; strangers are unlike everybody, so their best is by chance",
          "in-thread rows call the index directly; the live gallery's includes the hop to its thread where it uses one (above 20 000 templates)",
          "memory: growth of the resident set while the index was built; the exact row is the shared table of vectors itself",
        ],
      },
    ],
    budgets,
  };
};

async function measureSize(size: number, { quick, say }: BenchContext) {
  const made = people(size);
  const table = VectorTable.create(DIMENSION);
  const exact = built("exact, in-thread", () => {
    for (let row = 0; row < size; row += 1) table.set(row, made.template(row));
    const core = new ExactCore(table);
    core.add(rowsOf(size));
    return async (vector) => core.search(vector, CANDIDATES).map(({ slot }) => slot);
  });
  say("hnswlib-node");
  const hnsw = built("hnswlib-node, in-thread", () => {
    const core = new HnswCore(table, { ...HNSW_DEFAULTS, capacity: size });
    core.add(rowsOf(size));
    return async (vector) => core.search(vector, CANDIDATES).map(({ slot }) => slot);
  });
  say("usearch");
  const usearch = await builtLater("usearch, in-thread", async () => {
    const index = new UsearchIndex(DIMENSION);
    await index.add(rowsOf(size).map((slot) => ({ slot, vector: table.get(slot) })));
    return async (vector) => (await index.search(vector, CANDIDATES)).map(({ slot }) => slot);
  });
  say("live gallery");
  await using gallery = await openGallery(made);
  const live = await builtLater("live gallery", async () => {
    await served(gallery, size);
    return async (vector) =>
      (await gallery.search(vector, CANDIDATES)).map(({ templateId }) =>
        Number(templateId.slice(1)),
      );
  });
  const contenders = [exact, hnsw, usearch, live];
  const queries = quick ? 200 : 2000;
  const known = Array.from({ length: queries }, made.probe);
  const asked = [
    known,
    Array.from({ length: queries / 2 }, made.poorProbe),
    Array.from({ length: queries / 4 }, made.stranger),
  ];
  say(`${queries} queries`);
  const turns = new Map(contenders.map(({ what }) => [what, 0]));
  const samples = await samplesOf(
    Object.fromEntries(
      contenders.map(({ what, ask }) => [
        what,
        () => {
          const turn = turns.get(what) ?? 0;
          turns.set(what, turn + 1);
          return ask(known[turn % queries] as Float32Array);
        },
      ]),
    ),
    Math.min(queries, 1000),
  );
  const rows: Cell[][] = [];
  const truths = await bestCosines(exact.ask, table, asked);
  let liveRecall = 0;
  for (const { what, ask, buildMs, addedMb } of contenders) {
    const { p50Ms, p95Ms } = timingOf(samples[what] ?? []);
    const found = await bestCosines(ask, table, asked);
    const recalls = truths.map((truth, kind) => shareOf(truth, found[kind] ?? []));
    if (what === live.what) liveRecall = recalls[0] ?? Number.NaN;
    rows.push([size, what, p50Ms, p95Ms, ...recalls, buildMs / 1000, addedMb]);
  }
  const limit = size === 10_000 ? 0.5 : size === 100_000 ? 1 : undefined;
  const name = `${size / 1000} k templates`;
  const liveP50 = timingOf(samples[live.what] ?? []).p50Ms;
  const budgets =
    limit === undefined
      ? []
      : [
          atMost(`search at ${name}, live gallery, p50`, limit, liveP50, "ms"),
          atLeast(`top-1 = exact at ${name}`, 0.999, liveRecall),
        ];
  return { rows, budgets };
}

function built(what: string, build: () => Ask): Contender {
  const [rss, from] = [rssMb(), performance.now()];
  const ask = build();
  return { what, ask, buildMs: performance.now() - from, addedMb: rssMb() - rss };
}

async function builtLater(what: string, build: () => Promise<Ask>): Promise<Contender> {
  const [rss, from] = [rssMb(), performance.now()];
  const ask = await build();
  return { what, ask, buildMs: performance.now() - from, addedMb: rssMb() - rss };
}

const rowsOf = (size: number): number[] => Array.from({ length: size }, (_, row) => row);

function openGallery(made: People): Promise<LiveGallery> {
  return LiveGallery.open(
    { spaceId: SPACE, dimension: DIMENSION },
    {
      record: { templates: () => stored(made, SPACE) },
      changes: () => () => undefined,
      clock: createClock(),
      log: new RecordingLog(),
    },
  );
}

/** Until the generation that the gallery's size asks for is in service. */
async function served(gallery: LiveGallery, size: number): Promise<void> {
  if (size <= 20_000) return;
  while (gallery.stats().kind !== "hnsw") await new Promise((later) => setTimeout(later, 20));
}

/** By kind of query, then by query: exact cosine of the best of what is proposed. */
async function bestCosines(
  ask: Ask,
  table: VectorTable,
  asked: readonly (readonly Float32Array[])[],
): Promise<readonly (readonly number[])[]> {
  const best: number[][] = [];
  for (const queries of asked) {
    const ofKind: number[] = [];
    for (const query of queries)
      ofKind.push(Math.max(...(await ask(query)).map((slot) => table.cosineWith(slot, query))));
    best.push(ofKind);
  }
  return best;
}

/** Of queries whose best is as good as the exact one. */
const shareOf = (exact: readonly number[], found: readonly number[]): number =>
  exact.filter((best, query) => (found[query] ?? -1) >= best - 1e-6).length / exact.length;
