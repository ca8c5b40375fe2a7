// Tells in JSON what the host for Node.js gives of a folder: the answer of `open` for each name, and the bytes of all names that it lists.
//
//   node folder.mjs folder name…

import { Folder } from "../verify.mjs";

const [root, ...names] = process.argv.slice(2);
const folder = new Folder(root);
const opened = names.map((name) => Number(folder.open(name)));
const list = new Uint8Array(Number(folder.list()));
folder.read(list);
const files = [];
for (let at = 0; at < list.length; at = list.indexOf(0, at) + 1) files.push([...list.subarray(at, list.indexOf(0, at))]);
process.stdout.write(JSON.stringify({ opened, files }) + "\n");
