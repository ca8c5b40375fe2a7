// Judges a bundle in a folder with the WebAssembly verifier, in Node.js 18 or later. Needs no package.
//
//   node verify.mjs verifier.wasm anchor.json bundle/     prints the JSON of `exhibit verify --json`; exit code 0, 1 or 2
//   node verify.mjs verifier.wasm --many                  judges each `anchor<TAB>bundle` line of standard input; one line of JSON each
//
// It knows folders and memory; what is judged, and how, is the module's. docs/formats/verifier-wasm.md describes the interface.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const ABSENT = -1n;
const UNREADABLE = -2n;
/** Paths of a bundle have at most this many components; a folder that is as deep is one file. */
const PATH_COMPONENTS_MAX = 8;
const SLASH = Buffer.from("/");
/** What follows a name in the list. */
const END = Buffer.from("\0");
const SLASH_AND_END = Buffer.from("/\0");
/** No file has such a name, or is there. Whatever else keeps a file from being read is no word about the bundle. */
const NOWHERE = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "EINVAL", "ERR_INVALID_ARG_VALUE"];

/** The module judges bundles; `files` has `open(path)` and `list()`, which answer a BigInt, and `read(Uint8Array)`, a number. */
export class Verifier {
  #module;

  constructor(bytes) {
    this.#module = new WebAssembly.Module(bytes);
  }

  /** A fresh instance for each bundle: nothing that one bundle did to its memory meets the next. */
  judge(anchor, files) {
    let exports;
    const memory = (address, length) => new Uint8Array(exports.memory.buffer, address >>> 0, length >>> 0);
    const imports = {
      // A byte order mark is a part of a name like any other character.
      open: (address, length) => files.open(new TextDecoder("utf-8", { ignoreBOM: true }).decode(memory(address, length))),
      list: () => files.list(),
      read: (address, length) => files.read(memory(address, length)),
    };
    exports = new WebAssembly.Instance(this.#module, { exhibit: imports }).exports;
    const address = exports.anchor(anchor.length);
    if (address === 0) return { code: 2, json: JSON.stringify({ error: "not an anchor: it is longer than 256 KiB", exit: 2 }) };
    memory(address, anchor.length).set(anchor);
    const code = exports.verify();
    return { code, json: new TextDecoder().decode(memory(exports.verdict(), exports.verdict_bytes())) };
  }
}

/**
 * The files of a bundle in a folder. A bundle comes from anybody: no name in it leads out, and what a symbolic link leads to, or is no plain
 * file, is not in it.
 */
export class Folder {
  #root;
  #file = null;
  /** What is left of the list of files, while that is what is read. */
  #listing = null;

  constructor(root) {
    this.#root = fs.realpathSync(root);
  }

  open(name) {
    this.close();
    const parts = name.split("/");
    if (parts.some((part) => part === "" || part === "." || part === "..")) return UNREADABLE;
    try {
      let at = this.#root;
      for (const folder of parts.slice(0, -1)) {
        at = path.join(at, folder);
        if (!fs.lstatSync(at).isDirectory()) return ABSENT;
      }
      at = path.join(at, parts.at(-1));
      // Asked before it is opened: opening a pipe would wait for somebody who writes into it.
      const stat = fs.lstatSync(at, { bigint: true });
      if (!stat.isFile()) return ABSENT;
      this.#file = fs.openSync(at, "r");
      return stat.size;
    } catch (error) {
      return NOWHERE.includes(error.code) ? ABSENT : UNREADABLE;
    }
  }

  /** Names are the bytes that the folders have: of names that are only made readable, two files could have the same. */
  list() {
    this.close();
    const names = [];
    const folders = [{ at: Buffer.from(this.#root + "/"), prefix: Buffer.alloc(0), depth: 1 }];
    try {
      while (folders.length > 0) {
        const { at, prefix, depth } = folders.pop();
        for (const entry of fs.readdirSync(at, { withFileTypes: true, encoding: "buffer" })) {
          const file = Buffer.concat([at, entry.name]);
          const name = Buffer.concat([prefix, entry.name]);
          if (entry.isDirectory() && depth < PATH_COMPONENTS_MAX) {
            folders.push({ at: Buffer.concat([file, SLASH]), prefix: Buffer.concat([name, SLASH]), depth: depth + 1 });
          } else {
            const showsFolder = entry.isDirectory() || (entry.isSymbolicLink() && isFolder(file));
            names.push(name, showsFolder ? SLASH_AND_END : END);
          }
        }
      }
    } catch {
      return UNREADABLE;
    }
    this.#listing = Buffer.concat(names);
    return BigInt(this.#listing.length);
  }

  read(buffer) {
    if (this.#listing !== null) {
      const count = this.#listing.copy(buffer);
      this.#listing = this.#listing.subarray(count);
      return count;
    }
    try {
      return buffer.length === 0 ? 0 : fs.readSync(this.#file, buffer, 0, buffer.length, null);
    } catch {
      return -1;
    }
  }

  close() {
    this.#listing = null;
    if (this.#file !== null) fs.closeSync(this.#file);
    this.#file = null;
  }
}

/** Who opens a link to a folder sees a folder, and the files in it are none of the bundle's. A link may lead nowhere, or to itself. */
function isFolder(file) {
  try {
    return fs.statSync(file).isDirectory();
  } catch {
    return false;
  }
}

function judgeFolder(verifier, anchorPath, bundlePath) {
  const folder = new Folder(bundlePath);
  try {
    return verifier.judge(fs.readFileSync(anchorPath), folder);
  } finally {
    folder.close();
  }
}

function main([modulePath, ...rest]) {
  if (modulePath === undefined || (rest.length !== 2 && rest[0] !== "--many")) {
    process.stderr.write("usage: node verify.mjs verifier.wasm (anchor.json bundle/ | --many)\n");
    return 64;
  }
  const verifier = new Verifier(fs.readFileSync(modulePath));
  if (rest[0] !== "--many") {
    const { code, json } = judgeFolder(verifier, rest[0], rest[1]);
    fs.writeSync(1, json + "\n");
    return code;
  }
  for (const line of fs.readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
    const [anchor, bundle] = line.split("\t");
    process.stdout.write(JSON.stringify(judgeFolder(verifier, anchor, bundle)) + "\n");
  }
  return 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv.slice(2));
}
