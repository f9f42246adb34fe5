import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Affine,
  apply,
  area,
  centre,
  compose,
  intersection,
  inverse,
  overlap,
} from "../../src/frame/geometry.ts";

const number = fc.double({ min: -100, max: 100, noNaN: true });
const box = fc.record({
  x: number,
  y: number,
  width: fc.double({ min: 0, max: 50, noNaN: true }),
  height: fc.double({ min: 0, max: 50, noNaN: true }),
});

test("overlap is symmetric, within [0, 1], and 1 for itself", () => {
  fc.assert(
    fc.property(box, box, (a, b) => {
      const shared = overlap(a, b);
      assert.ok(shared >= 0 && shared <= 1);
      assert.ok(Math.abs(shared - overlap(b, a)) < 1e-9);
      if (area(a) > 1e-6) assert.ok(overlap(a, a) > 1 - 1e-6);
    }),
  );
});

test("boxes that share a quarter", () => {
  const a = { x: 0, y: 0, width: 10, height: 10 };
  const b = { x: 5, y: 5, width: 10, height: 10 };
  assert.equal(area(intersection(a, b)), 25);
  assert.equal(overlap(a, b), 25 / 175);
  assert.deepEqual(centre(b), { x: 10, y: 10 });
});

test("an inverse undoes its map; a flat map has none", () => {
  const size = fc.double({ min: 0.1, max: 50, noNaN: true });
  const turn = fc.double({ min: -Math.PI, max: Math.PI, noNaN: true });
  fc.assert(
    fc.property(
      fc.tuple(
        turn,
        size,
        fc.oneof(
          size,
          size.map((value) => -value),
        ),
        fc.double({ min: -3, max: 3, noNaN: true }),
      ),
      fc.tuple(number, number),
      fc.record({ x: number, y: number }),
      ([angle, width, height, shear], [c, f], point) => {
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        const map: Affine = [
          cos * width,
          cos * shear - sin * height,
          c,
          sin * width,
          sin * shear + cos * height,
          f,
        ];
        const back = inverse(map);
        assert.ok(back !== undefined);
        const same = apply(compose(back, map), point);
        assert.ok(Math.hypot(same.x - point.x, same.y - point.y) < 1e-6);
      },
    ),
  );
  assert.equal(inverse([1, 2, 0, 2, 4, 0]), undefined);
});
