// Pictures of pages, compared with what somebody has accepted.
//
// What is kept in Git is not the picture but its blocks: the mean colour of each
// 8 by 8 pixels. Of a page of 1440 by 900 that is a PNG of 180 by 112, some 5 KB
// in place of 80. It still tells a changed word from an unchanged one, because a
// word is several blocks, and it is deaf to what differs from one machine to
// the next: the smoothing of an edge. The full pictures are made anew by
// `make shots`, at any commit.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";

const here = fileURLToPath(new URL(".", import.meta.url));
export const acceptedDir = join(here, "accepted");
export const shotsDir = join(here, "shots");

const block = 8;
const same = 10; // of 255: as much may a block differ in a channel
const some = 4; // as many blocks may differ by more

function put(path, data) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
}

/** blocksOf is the mean colour of each block of a picture, in steps of 4, which compress better. */
export function blocksOf(png) {
  const [w, h] = [Math.ceil(png.width / block), Math.ceil(png.height / block)];
  const out = new PNG({ width: w, height: h });
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const sum = [0, 0, 0];
      let n = 0;
      for (let py = y * block; py < Math.min(png.height, (y + 1) * block); py++)
        for (let px = x * block; px < Math.min(png.width, (x + 1) * block); px++) {
          const i = (py * png.width + px) * 4;
          for (let c = 0; c < 3; c++) sum[c] += png.data[i + c];
          n++;
        }
      const o = (y * w + x) * 4;
      for (let c = 0; c < 3; c++) out.data[o + c] = Math.min(255, Math.round(sum[c] / n / 4) * 4);
      out.data[o + 3] = 255;
    }
  return out;
}

/** changed lists the blocks that differ; undefined if the sizes do. */
export function changed(a, b) {
  if (a.width !== b.width || a.height !== b.height) return undefined;
  const out = [];
  for (let i = 0; i < a.data.length; i += 4) if ([0, 1, 2].some((c) => Math.abs(a.data[i + c] - b.data[i + c]) > same)) out.push(i / 4);
  return out.length > some ? out : [];
}

/** sideBySide is what was accepted, enlarged, beside what is there now with red frames around what differs. */
function sideBySide(accepted, now, blocks) {
  const width = Math.max(accepted.width * block, now.width);
  const out = new PNG({ width: width * 2 + block, height: Math.max(accepted.height * block, now.height), fill: true });
  out.data.fill(128);
  const copy = (from, scale, left) => {
    for (let y = 0; y < from.height * scale; y++)
      for (let x = 0; x < from.width * scale; x++) {
        const i = (Math.floor(y / scale) * from.width + Math.floor(x / scale)) * 4;
        from.data.copy(out.data, (y * out.width + left + x) * 4, i, i + 4);
      }
  };
  copy(accepted, block, 0);
  copy(now, 1, width + block);
  const across = Math.ceil(now.width / block);
  for (const b of blocks ?? []) {
    const [x0, y0] = [width + block + (b % across) * block, Math.floor(b / across) * block];
    for (let y = y0; y < Math.min(y0 + block, now.height); y++)
      for (let x = x0; x < x0 + block; x++)
        if (y === y0 || y === y0 + block - 1 || x === x0 || x === x0 + block - 1) out.data.set([220, 0, 0, 255], (y * out.width + x) * 4);
  }
  return PNG.sync.write(out);
}

const write = (png) => PNG.sync.write(png, { colorType: 2, deflateLevel: 9 });

/**
 * compare keeps a picture as shots/NAME.png and says what is wrong with it, or
 * undefined. With `accept` it is what is accepted from now on.
 */
export function compare(name, raw, { accept = false } = {}) {
  put(join(shotsDir, `${name}.png`), raw);
  const now = PNG.sync.read(raw);
  const blocks = blocksOf(now);
  const path = join(acceptedDir, `${name}.png`);
  const how = `accept it by: make shots ACCEPT=1 PAGES=${name.split(".")[0]}`;
  if (!existsSync(path)) {
    if (accept) return void put(path, write(blocks));
    return `nobody has accepted it yet: look at ${join(shotsDir, `${name}.png`)}, then ${how}`;
  }
  const before = PNG.sync.read(readFileSync(path));
  const where = changed(before, blocks);
  if (where?.length === 0) return undefined;
  if (accept) return void put(path, write(blocks));
  const diff = join(shotsDir, "changed", `${name}.png`);
  put(diff, sideBySide(before, now, where));
  return `it has changed (${where ? `${where.length} blocks of ${blocks.width * blocks.height}` : `from ${before.width * block} by ${before.height * block} to ${now.width} by ${now.height} pixels`}): look at ${diff}, then ${how}`;
}
