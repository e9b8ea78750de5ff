// Puts a .br and a .gz beside every text file of the build, so that the server
// compresses nothing while it serves, and says what a first load costs.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const root = new URL("../../dist/app/", import.meta.url).pathname;
const text = /\.(js|css|html|svg|json|txt)$/;

function files(dir) {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

for (const path of files(root).filter((p) => text.test(p) && !p.endsWith("index.html"))) {
  const raw = readFileSync(path);
  writeFileSync(path + ".br", brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  writeFileSync(path + ".gz", gzipSync(raw, { level: 9 }));
}
