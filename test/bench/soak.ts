/** Two cameras for minutes, people coming and going, somebody enrolled and erased all the time: does anything grow? */

import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIDDLE, stillOf, THREE_PEOPLE, visitClip as walkClip } from "../support/people.ts";
import { GROUP, type Site, startSite } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";
import type { Bench } from "./bench.ts";
import { partsOf, reportsOf } from "./mappings.ts";
import { visitClip } from "./pictures.ts";
import { enrolPerson, LAUNCHED, pause, processesOf, usageOf } from "./site.ts";
import { CHURN_MS, type Churn, type OwnWords, type Sample, soakResult } from "./soak-tables.ts";

const MINUTES = Number(process.env["OSTIARY_SOAK_MINUTES"] ?? 10);
/** Every sample as a line of JSON. */
const SAMPLES_FILE = process.env["OSTIARY_SOAK_SAMPLES"];
const SAMPLE_MS = 2000;

export const bench: Bench = async ({ quick, say }) => {
  const minutes = quick ? 0.5 : MINUTES;
  const front = await visitClip({ from: 2, until: 6, seconds: 10 });
  const side = await walkClip(THREE_PEOPLE);
  const reports = mkdtempSync(join(tmpdir(), "ostiary-soak-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(reports, { recursive: true, force: true }));
  const preload = new URL("./self-report.ts", import.meta.url);
  const site = stack.use(
    await startSite({
      env: {
        ...LAUNCHED,
        NODE_OPTIONS: `${LAUNCHED.NODE_OPTIONS} --import=${preload.href}`,
        OSTIARY_BENCH_REPORTS: reports,
      },
      cameras: [
        { id: "front", clip: front },
        { id: "side", clip: side },
      ],
      config: { decision: { coolDownMs: 1000 } },
    }),
  );
  await enrolPerson(site);
  const stop = new AbortController();
  const churn: Churn = { enrolled: 0, erased: 0, failed: 0, answersMs: [] };
  const churning = churnOf(site, churn, stop.signal);
  const began = monotonicNow();
  const watched = processesOf(site).map(({ name, pid }) => ({
    name,
    pid,
    samples: [] as Sample[],
  }));
  const until = began + minutes * 60_000;
  let told = 0;
  while (monotonicNow() < until) {
    await pause(SAMPLE_MS);
    const atMs = monotonicNow() - began;
    for (const { name, pid, samples } of watched) {
      const usage = usageOf(pid);
      if (usage === undefined) continue;
      const sample = { ...usage, ...ownWordsOf(reports, pid), parts: partsOf(pid), atMs };
      samples.push(sample);
      if (SAMPLES_FILE !== undefined)
        appendFileSync(SAMPLES_FILE, `${JSON.stringify({ name, ...sample })}\n`);
    }
    if (Math.floor(atMs / 60_000) > told) {
      told = Math.floor(atMs / 60_000);
      say(`${told} of ${minutes} min, ${site.decisions.length} decisions`);
    }
  }
  stop.abort();
  await churning;
  const outcomes = (outcome: string): number =>
    site.decisions.filter((decision) => decision.outcome === outcome).length;
  return soakResult({
    minutes,
    watched,
    churn,
    grants: outcomes("grant"),
    denials: outcomes("deny"),
    refusals: site.refusals.length,
    status: await site.status(),
  });
};

function ownWordsOf(directory: string, pid: number): OwnWords | undefined {
  const reports = reportsOf(directory, pid);
  const main = reports.find(({ threadId }) => threadId === 0);
  if (main === undefined) return undefined;
  const threads = reports.filter((report) => report !== main);
  return {
    mainHeapMb: main.resident / 1e6,
    mainHeapUsedMb: main.used / 1e6,
    threadHeapsMb: threads.reduce((sum, { resident }) => sum + resident, 0) / 1e6,
    externalMb: main.external / 1e6,
  };
}

/** Enrols one of the people at the side camera, and erases them again: galleries change under running searches. */
async function churnOf(site: Site, churn: Churn, signal: AbortSignal): Promise<void> {
  const image = (await stillOf(THREE_PEOPLE, 3, MIDDLE)).toString("base64");
  for (let turn = 0; !signal.aborted; turn += 1) {
    const id = `churn-${turn}`;
    for (const [cmd, args] of [
      ["identity/put", { id, displayName: "Churn", groups: [GROUP] }],
      ["enrolment/add-image", { id, image }],
      ["device/status", {}],
    ] as const) {
      const from = monotonicNow();
      const answer = await site.ask(cmd, args);
      churn.answersMs.push(monotonicNow() - from);
      if (!answer.ok) churn.failed += 1;
      else if (cmd === "enrolment/add-image") churn.enrolled += 1;
    }
    await pause(CHURN_MS);
    const erased = await site.ask("identity/erase", { id });
    if (erased.ok) churn.erased += 1;
    else churn.failed += 1;
  }
}
