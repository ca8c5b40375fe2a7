// Runs Rust test programs that were built for wasm32-wasip1 in Node.js, all tests of one in an instance, and those after one that fails in
// another.
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
let waiting = listed.map((line) => line.slice(0, -": test".length));
while (waiting.length > 0) {
  // Names come sorted, and tests run in that order, one after the other: there are no threads.
  const { said } = run(module, ["--exact", ...waiting]);
  const outcomes = new Map([...said.matchAll(/^test (\S+)(?: - should panic)? \.\.\. (ok|ignored)/gm)].map(([, name, outcome]) => [name, outcome]));
  const ended = waiting.findIndex((name) => !outcomes.has(name));
  const done = ended < 0 ? waiting : waiting.slice(0, ended);
  result.passed += done.filter((name) => outcomes.get(name) === "ok").length;
  result.ignored.push(...done.filter((name) => outcomes.get(name) === "ignored"));
  if (ended < 0) break;
  // It panicked, and the instance with it, or it wrote into the list. Alone it says what happened.
  const name = waiting[ended];
  const alone = run(module, ["--exact", name, "--nocapture"]);
  if (alone.code === SUCCESS && alone.said.includes("1 passed")) result.passed += 1;
  else if (LACKING.some((words) => alone.said.includes(words))) result.lacking.push(name);
  else result.failed.push({ name, code: alone.code, said: alone.said.slice(-SHOWN_CHARACTERS) });
  waiting = waiting.slice(ended + 1);
}
process.stdout.write(JSON.stringify(result) + "\n");
