/** Numbers for Prometheus, behind an interface that keeps names and label sets honest. */
import { createServer, type Server } from "node:http";
import {
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from "prom-client";
import { assert } from "../lib/assert.ts";
import { codeOf, Fault } from "../lib/fault.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  readonly add: (labels?: Labels, amount?: number) => void;
}
export interface Gauge {
  readonly set: (labels: Labels, value: number) => void;
}
export interface Histogram {
  readonly observe: (labels: Labels, value: number) => void;
}

export interface Metrics {
  readonly counter: (name: string, help: string, labels?: readonly string[]) => Counter;
  readonly gauge: (name: string, help: string, labels?: readonly string[]) => Gauge;
  readonly histogram: (
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly string[],
  ) => Histogram;
  /** Prometheus text format. */
  readonly text: () => Promise<string>;
}

/** Names end in their unit, or in `_total` for counts of events. */
const NAME = /^ostiary_[a-z][a-z0-9_]*_(total|seconds|bytes|ratio|celsius|count|info|per_second)$/;
/** Series of one metric; beyond, labels become `other`, so that a hostile client cannot fill the memory. */
const SERIES_MAX = 500;

export function createMetrics(): Metrics {
  const registry = new Registry();
  const base = (name: string, help: string, labels: readonly string[] = []) => {
    assert(NAME.test(name), `${name} must begin with ostiary_ and end in its unit`);
    return { name, help, labelNames: [...labels], registers: [registry] };
  };
  return {
    counter: (name, help, labels) => {
      assert(name.endsWith("_total"), `counter ${name} must end in _total`);
      const counter = new PromCounter(base(name, help, labels));
      const bounded = boundedLabels();
      return { add: (given = {}, amount = 1) => counter.inc(bounded(given), amount) };
    },
    gauge: (name, help, labels) => {
      const gauge = new PromGauge(base(name, help, labels));
      const bounded = boundedLabels();
      return { set: (given, value) => gauge.set(bounded(given), value) };
    },
    histogram: (name, help, buckets, labels) => {
      const histogram = new PromHistogram({ ...base(name, help, labels), buckets: [...buckets] });
      const bounded = boundedLabels();
      return { observe: (given, value) => histogram.observe(bounded(given), value) };
    },
    text: () => registry.metrics(),
  };
}

function boundedLabels(): (given: Labels) => Labels {
  const seen = new Set<string>();
  return (given) => {
    const key = JSON.stringify(given);
    if (seen.has(key)) return given;
    if (seen.size >= SERIES_MAX)
      return Object.fromEntries(Object.keys(given).map((label) => [label, "other"]));
    seen.add(key);
    return given;
  };
}

export interface MetricsEndpointOptions {
  /** A loopback address: the endpoint has no authentication. */
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
}

/** `GET /metrics` and nothing else. */
export class MetricsEndpoint implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws Fault `metrics_unavailable` */
  static async open(
    options: MetricsEndpointOptions,
    deps: { readonly metrics: Metrics },
  ): Promise<MetricsEndpoint> {
    const server = createServer((request, response) => {
      if (request.method !== "GET" || request.url !== "/metrics") {
        response.writeHead(404).end();
        return;
      }
      deps.metrics.text().then(
        (text) =>
          response
            .writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" })
            .end(text),
        () => response.writeHead(500).end(),
      );
    });
    server.requestTimeout = 5000;
    server.maxConnections = 16;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) =>
        reject(
          new Fault(
            "metrics_unavailable",
            `cannot serve metrics on ${options.host}:${options.port} (${codeOf(error)}): choose another telemetry.metrics.port`,
            {
              cause: error,
            },
          ),
        ),
      );
      server.listen(options.port, options.host, resolve);
    });
    return new MetricsEndpoint(server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
