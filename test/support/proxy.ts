/** A TCP proxy on loopback for bad lines: cut it, stall it (half-open), delay it, refuse new connections. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "./waiting.ts";

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Drops every connection with a reset; new ones are accepted. */
  readonly cut: () => void;
  /**
   * Both ends stay connected and nothing passes any more, in either direction. What is already here waits
   * here: before {@link heal}, wait for `ended` if a reset is on its way.
   */
  readonly stall: () => void;
  /** What waited passes; ends {@link stall}. */
  readonly heal: () => void;
  /** New connections are reset at once while true. */
  readonly refuse: (refused: boolean) => void;
  /** Every chunk waits this long, in both directions. */
  readonly delay: (ms: number) => void;
  readonly connections: () => number;
  /** How many of them have ended. */
  readonly ended: () => number;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export async function startProxy(targetPort: number): Promise<Proxy> {
  const pairs = new Set<Pair>();
  let isStalled = false;
  let isRefusing = false;
  let delayMs = 0;
  let accepted = 0;
  let ended = 0;

  const forward = (from: Socket, to: Socket): void => {
    let order = Promise.resolve();
    from.on("data", (chunk: Buffer) => {
      const waitMs = delayMs;
      order = order.then(async () => {
        if (waitMs > 0) await sleep(waitMs);
        if (!to.destroyed) to.write(chunk);
      });
    });
    from.on("end", () => void order.then(() => to.end()));
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  };

  const server = createServer((near) => {
    if (isRefusing) {
      near.on("error", () => {});
      near.resetAndDestroy();
      return;
    }
    accepted += 1;
    const far = connect({ port: targetPort, host: "127.0.0.1" });
    const pair = { near, far };
    pairs.add(pair);
    near.once("close", () => {
      pairs.delete(pair);
      ended += 1;
    });
    forward(near, far);
    forward(far, near);
    if (isStalled) {
      near.pause();
      far.pause();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");

  const cut = (): void => {
    for (const { near, far } of pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  };
  const each = (act: (socket: Socket) => void): void => {
    for (const { near, far } of pairs) {
      act(near);
      act(far);
    }
  };
  return {
    port: address.port,
    cut,
    stall: () => {
      isStalled = true;
      each((socket) => socket.pause());
    },
    heal: () => {
      isStalled = false;
      each((socket) => socket.resume());
    },
    refuse: (refused) => {
      isRefusing = refused;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    connections: () => accepted,
    ended: () => ended,
    [Symbol.asyncDispose]: async () => {
      cut();
      const closed = once(server, "close");
      server.close();
      await within(closed, "the proxy closes");
    },
  };
}
