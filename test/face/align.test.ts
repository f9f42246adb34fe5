import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARCFACE_112, similarity } from "../../src/face/align.ts";
import { type Affine, apply } from "../../src/frame/geometry.ts";

const angle = fc.double({ min: -Math.PI, max: Math.PI, noNaN: true });
const scale = fc.double({ min: 0.05, max: 20, noNaN: true });
const shift = fc.double({ min: -2000, max: 2000, noNaN: true });

test("a moved, turned and scaled template is carried back exactly", () => {
  fc.assert(
    fc.property(angle, scale, shift, shift, (a, s, x, y) => {
      const map: Affine = [
        s * Math.cos(a),
        -s * Math.sin(a),
        x,
        s * Math.sin(a),
        s * Math.cos(a),
        y,
      ];
      const found = similarity(
        ARCFACE_112.map((point) => apply(map, point)),
        ARCFACE_112,
      );
      assert.ok(found !== undefined);
      for (const point of ARCFACE_112) {
        const back = apply(found, apply(map, point));
        assert.ok(Math.hypot(back.x - point.x, back.y - point.y) < 1e-6);
      }
    }),
  );
});

test("no similarity near the result fits noisy points better", () => {
  const point = fc.record({
    x: fc.double({ min: 0, max: 100, noNaN: true }),
    y: fc.double({ min: 0, max: 100, noNaN: true }),
  });
  const nudge = fc.double({ min: -0.05, max: 0.05, noNaN: true });
  fc.assert(
    fc.property(
      fc.tuple(point, point, point, point, point),
      nudge,
      nudge,
      nudge,
      nudge,
      (points, da, db, dx, dy) => {
        const best = similarity(points, ARCFACE_112);
        fc.pre(best !== undefined);
        const [a, , c, b, , f] = best;
        const other: Affine = [a + da, -(b + db), c + dx, b + db, a + da, f + dy];
        assert.ok(error(points, best) <= error(points, other) + 1e-6);
      },
    ),
  );
});

test("mirrored points are not mirrored back, coinciding or broken ones give nothing", () => {
  const found = similarity(
    ARCFACE_112.map(({ x, y }) => ({ x: -x, y })),
    ARCFACE_112,
  );
  assert.ok(found !== undefined && found[0] * found[4] - found[1] * found[3] > 0);
  assert.equal(
    similarity(
      ARCFACE_112.map(() => ({ x: 3, y: 3 })),
      ARCFACE_112,
    ),
    undefined,
  );
  assert.equal(
    similarity(
      ARCFACE_112.map(() => ({ x: Number.NaN, y: 3 })),
      ARCFACE_112,
    ),
    undefined,
  );
});

function error(points: readonly { readonly x: number; readonly y: number }[], map: Affine): number {
  return points.reduce((sum, point, index) => {
    const [to, goal] = [apply(map, point), ARCFACE_112[index] ?? { x: 0, y: 0 }];
    return sum + (to.x - goal.x) ** 2 + (to.y - goal.y) ** 2;
  }, 0);
}
