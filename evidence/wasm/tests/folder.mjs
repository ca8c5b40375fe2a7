// Tells in JSON what the host for Node.js gives of a folder: the answer of `open` for each name, and the list of all files.
//
//   node folder.mjs folder name…

import { Folder } from "../verify.mjs";

const [root, ...names] = process.argv.slice(2);
const folder = new Folder(root);
const opened = names.map((name) => Number(folder.open(name)));
const list = new Uint8Array(Number(folder.list()));
folder.read(list);
const files = new TextDecoder().decode(list).split("\0").slice(0, -1).sort();
process.stdout.write(JSON.stringify({ opened, files }) + "\n");
