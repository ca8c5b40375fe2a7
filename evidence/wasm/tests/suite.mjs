// Runs Rust test programs that were built for wasm32-wasip1 in Node.js, each test in an instance of its own.
//
//   node --no-warnings suite.mjs <folder that tests may read> program.wasm      tells in JSON what came of them
//
// Of tests that ask for what WebAssembly has not (a process, a thread, a temporary folder), it says so; whoever called decides.

import fs from "node:fs";
import path from "node:path";
import { WASI } from "node:wasi";

/** What Rust's std says where the platform lacks something. */
const LACKING = ["operation not supported on this platform", "no filesystem on wasm"];
/** As much of what a failed test said as is shown. */
const SHOWN_CHARACTERS = 2000;
/** Bytes of an address or a length in memory, and of the pair of both. */
const WORD_BYTES = 4;
const SUCCESS = 0;

/** Node.js 20 dies of the garbage of its WASI instances, so that none is left to be collected. */
const alive = [];

const [readable, program] = process.argv.slice(2);

function run(module, args) {
  const wasi = new WASI({
    version: "preview1",
    args: ["suite", ...args],
    env: { RUST_BACKTRACE: "0" },
    preopens: { [readable]: readable },
    returnOnExit: true,
  });
  alive.push(wasi);
  const chunks = [];
  let instance;
  const preview1 = { ...wasi.wasiImport };
  const write = preview1.fd_write;
  preview1.fd_write = (file, vectors, count, written) => {
    if (file !== 1 && file !== 2) return write(file, vectors, count, written);
    const view = new DataView(instance.exports.memory.buffer);
    let total = 0;
    for (let vector = vectors; vector < vectors + count * 2 * WORD_BYTES; vector += 2 * WORD_BYTES) {
      const [address, length] = [view.getUint32(vector, true), view.getUint32(vector + WORD_BYTES, true)];
      chunks.push(Buffer.from(view.buffer.slice(address, address + length)));
      total += length;
    }
    view.setUint32(written, total, true);
    return SUCCESS;
  };
  let code;
  try {
    instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: preview1 });
    code = wasi.start(instance);
  } catch (error) {
    // A panic aborts, which is a trap.
    code = String(error);
  }
  return { code, said: Buffer.concat(chunks).toString() };
}

const module = new WebAssembly.Module(fs.readFileSync(program));
const listed = run(module, ["--list", "--format", "terse"]).said.split("\n").filter((line) => line.endsWith(": test"));
const result = { program: path.basename(program), passed: 0, ignored: [], lacking: [], failed: [] };
for (const name of listed.map((line) => line.slice(0, -": test".length))) {
  const began = performance.now();
  const { code, said } = run(module, ["--exact", name, "--nocapture"]);
  if (process.env.EXHIBIT_TIMES) process.stderr.write(`${Math.round(performance.now() - began)} ms ${name}\n`);
  if (code === 0 && said.includes("1 passed")) result.passed += 1;
  else if (code === 0 && said.includes("1 ignored")) result.ignored.push(name);
  else if (LACKING.some((words) => said.includes(words))) result.lacking.push(name);
  else result.failed.push({ name, code, said: said.slice(-SHOWN_CHARACTERS) });
}
process.stdout.write(JSON.stringify(result) + "\n");
