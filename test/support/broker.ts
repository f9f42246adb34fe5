/** A real Mosquitto on a free loopback port that can be stopped, killed and started again. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { end, hasEnded } from "./children.ts";
import { PATIENCE_MS } from "./waiting.ts";

export interface BrokerOptions {
  readonly port?: number;
  /** Serves TLS with a generated authority; clients then need `caFile`. */
  readonly tls?: boolean;
  /** What the certificate is good for; default `IP:127.0.0.1,DNS:localhost`. */
  readonly tlsNames?: string;
  /** Keeps retained messages and sessions over a restart. */
  readonly persistence?: boolean;
  /** Further lines of mosquitto.conf. */
  readonly config?: readonly string[];
}

export interface Broker extends AsyncDisposable {
  readonly port: number;
  /** mqtt:// or mqtts:// on 127.0.0.1. */
  readonly url: string;
  /** PEM of the authority; only with `tls`. */
  readonly caFile: string | undefined;
  /** SIGTERM: clients get a DISCONNECT, persistence is written. */
  readonly stop: () => Promise<void>;
  /** SIGKILL: nothing is said or written. */
  readonly kill: () => Promise<void>;
  /** On the same port; nothing happens while it runs. */
  readonly start: () => Promise<void>;
}

/** Debian puts it where only root's PATH looks. @returns undefined when there is none */
export function mosquittoPath(): string | undefined {
  const directories = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    "/usr/local/sbin",
  ];
  return directories
    .map((directory) => join(directory, "mosquitto"))
    .find((path) => existsSync(path));
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const program = mosquittoPath();
  if (program === undefined) throw new Error("mosquitto is missing: run scripts/setup.sh");
  const port = options.port ?? (await freePort());
  const directory = await mkdtemp(join(tmpdir(), "ostiary-broker-"));
  const tls =
    options.tls === true ? await makeCertificates(directory, options.tlsNames) : undefined;
  const file = join(directory, "mosquitto.conf");
  await writeFile(file, configOf(port, directory, options, tls));

  let child: ChildProcess | undefined;
  const leave = async (signal: NodeJS.Signals): Promise<void> => {
    if (child !== undefined) await end(child, signal);
    child = undefined;
  };
  const start = async (): Promise<void> => {
    if (child !== undefined && !hasEnded(child)) return;
    child = spawn(program, ["-c", file], { stdio: "ignore" });
    await listening(port, child);
  };
  await start();
  return {
    port,
    url: `${tls === undefined ? "mqtt" : "mqtts"}://127.0.0.1:${port}`,
    caFile: tls?.caFile,
    stop: () => leave("SIGTERM"),
    kill: () => leave("SIGKILL"),
    start,
    [Symbol.asyncDispose]: async () => {
      await leave("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

function configOf(
  port: number,
  directory: string,
  options: BrokerOptions,
  tls: Certificates | undefined,
): string {
  return [
    `listener ${port} 127.0.0.1`,
    ...(tls === undefined ? [] : [`certfile ${tls.certFile}`, `keyfile ${tls.keyFile}`]),
    "allow_anonymous true",
    "log_dest none",
    // Mosquitto drops root to this user; as another user the line is ignored.
    "user root",
    ...(options.persistence === true
      ? ["persistence true", `persistence_location ${directory}/`]
      : ["persistence false"]),
    ...(options.config ?? []),
    "",
  ].join("\n");
}

/** An authority and a certificate for this machine signed by it, good for a day. */
export async function makeCertificates(
  directory: string,
  names = "IP:127.0.0.1,DNS:localhost",
): Promise<Certificates> {
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { stdio: "ignore" });
  };
  await writeFile(at("san.cnf"), `subjectAltName=${names}\n`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-days",
    "1",
    "-subj",
    "/CN=ostiary test authority",
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.pem"),
  );
  openssl(
    "req",
    ...key,
    "-subj",
    "/CN=broker",
    "-keyout",
    at("server.key"),
    "-out",
    at("server.csr"),
  );
  openssl(
    "x509",
    "-req",
    "-in",
    at("server.csr"),
    "-CA",
    at("ca.pem"),
    "-CAkey",
    at("ca.key"),
    "-CAcreateserial",
    "-days",
    "1",
    "-extfile",
    at("san.cnf"),
    "-out",
    at("server.pem"),
  );
  return { caFile: at("ca.pem"), certFile: at("server.pem"), keyFile: at("server.key") };
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    if (hasEnded(child))
      throw new Error(
        `mosquitto ended with ${child.exitCode ?? child.signalCode}: is port ${port} in use?`,
      );
    const socket = connect({ port, host: "127.0.0.1" });
    const isUp = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isUp) return;
    await sleep(20);
  }
  throw new Error(`mosquitto does not listen on ${port}`);
}
