/** Resident memory of every process of the daemon, one camera: nobody in view, then somebody all the time. */
import { startSite } from "../support/site.ts";
import { atMost, type Bench, type Cell } from "./bench.ts";
import { visitClip } from "./pictures.ts";
import {
  enrolPerson,
  LAUNCHED,
  type Process,
  pause,
  processesOf,
  togetherMb,
  type Usage,
  usageOf,
} from "./site.ts";
import { median } from "./stats.ts";

const CAMERA = "front";
const PERIOD_MS = 1000;

interface Measured extends Usage {
  readonly name: string;
}
interface Phase {
  readonly what: string;
  readonly measured: readonly Measured[];
  /** Main and vision, shared pages once. */
  readonly togetherMb: number;
}

export const bench: Bench = async ({ quick, say }) => {
  const busy = await visitClip({ from: 0, until: 60, seconds: 60 });
  const idle = await visitClip({ from: 60, until: 60, seconds: 3 });
  const seconds = quick ? 5 : 30;
  const phases: Phase[] = [];
  // The first daemon compiles; the others find it done, as every start but an installation's first.
  {
    await using first = await startSite({ env: LAUNCHED, cameras: [] });
    await first.stop();
  }
  for (const [what, clip] of [
    ["nobody in view", idle],
    ["a face in every frame", busy],
  ] as const) {
    say(what);
    await using site = await startSite({ env: LAUNCHED, cameras: [{ id: CAMERA, clip }] });
    if (clip === busy) await enrolPerson(site);
    // What the start needed is given back, or not.
    await pause(quick ? 1000 : 20_000);
    phases.push({ what, ...(await watched(processesOf(site), seconds)) });
  }
  const rows: Cell[][] = phases.flatMap(({ what, measured, togetherMb: together }) => [
    ...measured.map(({ name, rssMb, anonymousMb, peakMb, fds }): Cell[] => [
      what,
      name,
      rssMb,
      anonymousMb,
      peakMb,
      fds,
    ]),
    [what, "main + vision, shared pages once", together, "", "", ""],
  ]);
  const most = Math.max(...phases.map(({ togetherMb: together }) => together));
  return {
    tables: [
      {
        title: "Memory, 1 camera at 720p and 10 fps, CPU",
        columns: ["when", "process", "RSS MB", "of it heap MB", "peak MB", "fds"],
        rows,
        notes: [
          `median over ${seconds} s`,
          "both processes map the same Node and the same libraries: such pages exist once, and count once where it says so, as in systemd's accounting",
        ],
      },
    ],
    budgets: [atMost("main + vision, 1 camera, shared pages once", 350, most, "MB")],
  };
};

/** Medians over so many seconds. */
async function watched(
  processes: readonly Process[],
  seconds: number,
): Promise<Omit<Phase, "what">> {
  const seen = processes.map(({ name }) => ({ name, samples: [] as Usage[] }));
  const ours = processes.filter(({ name }) => name === "main" || name === "vision");
  const together: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    await pause(PERIOD_MS);
    together.push(togetherMb(ours.map(({ pid }) => pid)));
    for (const [index, { pid }] of processes.entries()) {
      const usage = usageOf(pid);
      if (usage !== undefined) seen[index]?.samples.push(usage);
    }
  }
  const measured = seen.map(({ name, samples }) => {
    const of = (field: keyof Usage): number => median(samples.map((usage) => usage[field]));
    const [rssMb, anonymousMb, peakMb] = [of("rssMb"), of("anonymousMb"), of("peakMb")];
    return { name, rssMb, anonymousMb, peakMb, fds: of("fds"), cpuSeconds: of("cpuSeconds") };
  });
  return { measured, togetherMb: median(together) };
}
