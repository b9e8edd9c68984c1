// Loading the student: its files come in parts, each a script that calls part(), which a page
// opened from a disk may read too; then it starts in a worker.

import { element } from "./elements.js";

const parts = new Map();

globalThis.part = (file, content) => {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  parts.set(file, [...(parts.get(file) ?? []), bytes]);
};

// student: {tasks, parts}; tell is called with what is being done. → a function of (text, context)
// that gives a promise of {answers, readTo, refusal}; one question at a time.
export async function loadStudent(student, tell) {
  for (const [number, source] of student.parts.entries()) {
    tell(`Loading the student, ${number + 1} of ${student.parts.length} …`);
    await runScript(source);
  }
  tell("Starting the student …");
  const files = {};
  for (const name of ["worker", "wasm", "model", "tokenizer", "entities"]) {
    files[name] = await unpacked(name);
  }
  // From a blob, so that this page's policy, which allows no connection, holds in the worker too.
  const code = URL.createObjectURL(new Blob([files.worker], { type: "text/javascript" }));
  delete files.worker;
  const worker = new Worker(code);
  await ask(worker, { files, tasks: student.tasks }, Object.values(files));
  return (text, context) => ask(worker, { text, context });
}

function runScript(source) {
  return new Promise((resolve, reject) => {
    const script = element("script", { src: source });
    script.onload = () => resolve(script.remove());
    script.onerror = () => reject(new Error(`${source} is missing`));
    document.head.append(script);
  });
}

async function unpacked(name) {
  const packed = new Blob(parts.get(name)).stream();
  parts.delete(name);
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function ask(worker, message, transfer = []) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message ?? "its worker did not start"));
    worker.postMessage(message, transfer);
  });
}
