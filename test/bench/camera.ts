/** How soon a dead camera is noticed, and how soon frames come again; also when it is vision that died. */

import { type RtspServer, startRtspServer } from "../support/rtsp-server.ts";
import { GROUP, type SignedEvent, Site } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";
import { atMost, type Bench } from "./bench.ts";
import { visitClip } from "./pictures.ts";
import { LAUNCHED, pause } from "./site.ts";
import { median, percentile } from "./stats.ts";

const CAMERA = "front";
const ROUNDS = 5;
/** Longer than any back-off: what it waits for then is what a real outage leaves. */
const OUTAGE_MS = 8000;
const DEADLINE_MS = 60_000;

export const bench: Bench = async ({ quick, say }) => {
  const clip = await visitClip({ from: 0, until: 60, seconds: 60 });
  let server = await startRtspServer({ mounts: { [CAMERA]: clip } });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => server.kill());
  const site = stack.use(await openSite(server));
  // The camera's state is told once a second; the first frame's own time is in the event of the first decision.
  const framed = async (since: number): Promise<number> =>
    Number((await seen(site, since)).body["firstUsableAt"]) - since;
  const noticed = async (since: number): Promise<number> => {
    const state = await site.eventually(
      () =>
        site.tap
          .on(`/camera/${CAMERA}/state`, since)
          .find(({ text }) => JSON.parse(text)["status"] !== "online"),
      "the outage is noticed",
      DEADLINE_MS,
    );
    return state.at - since;
  };
  const killed: number[] = [];
  const silent: number[] = [];
  const back: number[] = [];
  const thawed: number[] = [];
  for (let round = 0; round < (quick ? 1 : ROUNDS); round += 1) {
    let from = monotonicNow();
    await server.kill();
    killed.push(await noticed(from));
    await pause(OUTAGE_MS);
    server = await startRtspServer({ mounts: { [CAMERA]: clip }, port: server.port });
    from = monotonicNow();
    back.push(await framed(from));
    await pause(1500);
    from = monotonicNow();
    await server.command({ freeze: CAMERA });
    silent.push(await noticed(from));
    await pause(OUTAGE_MS);
    await server.command({ thaw: CAMERA });
    from = monotonicNow();
    thawed.push(await framed(from));
    await pause(1500);
    say(
      `round ${round + 1}: noticed ${Math.round(killed.at(-1) ?? 0)} / ${Math.round(silent.at(-1) ?? 0)} ms, back ${Math.round(back.at(-1) ?? 0)} / ${Math.round(thawed.at(-1) ?? 0)} ms`,
    );
  }
  const crashed = await crashes(site, quick ? 1 : ROUNDS, say);
  const row = (what: string, values: readonly number[]) => [
    what,
    values.length,
    median(values) / 1000,
    percentile(values, 1) / 1000,
  ];
  return {
    tables: [
      {
        title: "A camera that dies and comes back",
        columns: ["what", "times", "p50 s", "max s"],
        rows: [
          row("killed (connection reset) → noticed", killed),
          row("silent (connected, no frames) → noticed", silent),
          row("server up again after an outage → frames", back),
          row("server sends again → frames", thawed),
          row("vision killed by SIGSEGV, its decoders run on → decision", crashed),
        ],
        notes: [
          "decision: heard on the broker, so with the three frames that it needs",
          "noticed: the camera's state on the broker is no longer online; frames: the capture of the first frame with a usable face, somebody being in view all the time",
          `outages last ${OUTAGE_MS / 1000} s; back-off capped at 1 s; every client's stream begins with a keyframe, so up to 1 s of the last two rows is back-off`,
        ],
      },
    ],
    budgets: [
      atMost("dead camera noticed, worst", 5, Math.max(...killed, ...silent) / 1000, "s"),
      atMost("frames again, worst", 2, Math.max(...back, ...thawed) / 1000, "s"),
      atMost("vision killed → next decision, worst", 2, Math.max(...crashed) / 1000, "s"),
    ],
  };
};

/** The first decision that rests on frames since then alone. */
function seen(site: Site, since: number): Promise<SignedEvent> {
  return site.eventually(
    () => site.events(since).find(({ body }) => Number(body["firstUsableAt"]) > since),
    "frames come again",
    DEADLINE_MS,
  );
}

/** The first crash of a daemon each time: one that comes again within a minute waits longer by design. */
async function crashes(
  site: Site,
  rounds: number,
  say: (line: string) => void,
): Promise<readonly number[]> {
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await site.kill();
    const started = monotonicNow();
    await site.start();
    await site.cameraIs(CAMERA, "online", started);
    await seen(site, started);
    const from = monotonicNow();
    process.kill(site.daemon.visionPid ?? 0, "SIGSEGV");
    // When it was decided, not when the frame was captured: that may lie before the successor's start.
    took.push((await seen(site, from)).at - from);
    say(`vision killed, round ${round + 1}: a decision after ${Math.round(took.at(-1) ?? 0)} ms`);
  }
  return took;
}

async function openSite(server: RtspServer): Promise<Site> {
  const site = await Site.open({
    env: LAUNCHED,
    cameras: [],
    config: {
      cameras: [{ id: CAMERA, url: server.url(CAMERA), fps: 10 }],
      decision: { coolDownMs: 0 },
      access: {
        groups: [GROUP],
        doors: [{ id: "door", cameras: [CAMERA], allow: { [GROUP]: ["always"] } }],
      },
    },
  });
  await site.start();
  await site.cameraIs(CAMERA, "online");
  return site;
}
