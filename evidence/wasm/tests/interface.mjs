// Tells what a WebAssembly module imports and exports, and how large it is.

import fs from "node:fs";
import zlib from "node:zlib";

const bytes = fs.readFileSync(process.argv[2]);
const module = new WebAssembly.Module(bytes);
const told = {
  imports: WebAssembly.Module.imports(module).map(({ module, name, kind }) => `${module}.${name} ${kind}`).sort(),
  exports: WebAssembly.Module.exports(module).map(({ name, kind }) => `${name} ${kind}`).sort(),
  size_bytes: bytes.length,
  gzip_bytes: zlib.gzipSync(bytes, { level: 9 }).length,
};
process.stdout.write(JSON.stringify(told) + "\n");
