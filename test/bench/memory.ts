/** Resident memory of every process of the daemon, one camera: nobody in view, then somebody all the time. */
import { startSite } from "../support/site.ts";
import { atMost, type Bench, type Cell } from "./bench.ts";
import { visitClip } from "./pictures.ts";
import { enrolPerson, type Process, pause, processesOf, type Usage, usageOf } from "./site.ts";
import { median } from "./stats.ts";

const CAMERA = "front";
const PERIOD_MS = 1000;

interface Measured extends Usage {
  readonly name: string;
}

export const bench: Bench = async ({ quick, say }) => {
  const busy = await visitClip({ from: 0, until: 60, seconds: 60 });
  const idle = await visitClip({ from: 60, until: 60, seconds: 3 });
  const seconds = quick ? 5 : 30;
  const phases: { readonly what: string; readonly measured: readonly Measured[] }[] = [];
  for (const [what, clip] of [
    ["nobody in view", idle],
    ["a face in every frame", busy],
  ] as const) {
    say(what);
    await using site = await startSite({ cameras: [{ id: CAMERA, clip }] });
    if (clip === busy) await enrolPerson(site);
    // What the start needed is given back, or not.
    await pause(quick ? 1000 : 20_000);
    phases.push({ what, measured: await watched(processesOf(site), seconds) });
  }
  const rows: Cell[][] = phases.flatMap(({ what, measured }) => [
    ...measured.map(({ name, rssMb, pssMb, peakMb, fds }): Cell[] => [
      what,
      name,
      rssMb,
      pssMb,
      peakMb,
      fds,
    ]),
    [what, "main + vision", ...sums(measured), "", ""],
  ]);
  const most = Math.max(...phases.map(({ measured }) => sums(measured)[0]));
  return {
    tables: [
      {
        title: "Memory, 1 camera at 720p and 10 fps, CPU",
        columns: ["when", "process", "RSS MB", "PSS MB", "peak MB", "fds"],
        rows,
        notes: [
          `median over ${seconds} s`,
          "PSS counts pages that several processes map in part (Node's own code, libraries); the budget is held against RSS",
        ],
      },
    ],
    budgets: [atMost("main + vision, 1 camera, RSS", 350, most, "MB")],
  };
};

/** Medians over so many seconds. */
async function watched(
  processes: readonly Process[],
  seconds: number,
): Promise<readonly Measured[]> {
  const seen = processes.map(({ name }) => ({ name, samples: [] as Usage[] }));
  for (let second = 0; second < seconds; second += 1) {
    await pause(PERIOD_MS);
    for (const [index, { pid }] of processes.entries()) {
      const usage = usageOf(pid);
      if (usage !== undefined) seen[index]?.samples.push(usage);
    }
  }
  return seen.map(({ name, samples }) => {
    const of = (field: keyof Usage): number => median(samples.map((usage) => usage[field]));
    return {
      name,
      rssMb: of("rssMb"),
      pssMb: of("pssMb"),
      peakMb: of("peakMb"),
      fds: of("fds"),
      cpuSeconds: of("cpuSeconds"),
    };
  });
}

function sums(measured: readonly Measured[]): readonly [rssMb: number, pssMb: number] {
  const ours = measured.filter(({ name }) => name === "main" || name === "vision");
  const sum = (field: "rssMb" | "pssMb"): number =>
    ours.reduce((all, usage) => all + usage[field], 0);
  return [sum("rssMb"), sum("pssMb")];
}
