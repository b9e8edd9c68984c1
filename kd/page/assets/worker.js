// The student, off the page's thread: bytes of its files in, then texts in and answers out.

import * as ort from "onnxruntime-web/wasm";
import { answersOf } from "./answering.js";
import { clean, faultOf } from "./cleaning.js";
import { tokenReader } from "./tokens.js";

let student = null;

onmessage = async ({ data }) => {
  try {
    if (student === null) {
      student = await load(data);
      postMessage({ isReady: true });
    } else {
      const answers = await answer(data.text, data.context);
      postMessage({ number: data.number, ...answers });
    }
  } catch (error) {
    postMessage({ error: String(error?.message ?? error) });
  }
};

// files: {wasm, model, tokenizer, entities} as array buffers; tasks: rows of tasks.json.
async function load({ files, tasks }) {
  // Threads would need headers that a plain server does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = files.wasm;
  const session = await ort.InferenceSession.create(new Uint8Array(files.model), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3,
  });
  const json = (buffer) => JSON.parse(new TextDecoder().decode(buffer));
  const definition = json(files.tokenizer);
  return {
    session,
    tasks,
    entities: json(files.entities),
    padId: definition.padding?.pad_id ?? 0,
    read: tokenReader(definition, tasks[0].max_tokens),
  };
}

// → {answers, readTo, refusal}: readTo is where in the raw text the student stopped reading;
// refusal says why a text has no answer: {of: "text" or "context", fault}; an empty one needs none.
async function answer(text, context) {
  const refused = (of, fault) => ({ answers: [], readTo: text.length, refusal: { of, fault } });
  const fault = faultOf(text);
  if (fault) return refused("text", fault);
  const cleaned = clean(text, student.entities);
  if (cleaned.text === "") return { answers: [], readTo: text.length, refusal: null };
  const faultOfContext = faultOf(context);
  if (faultOfContext) return refused("context", faultOfContext);
  const post = clean(context, student.entities).text;
  const tokens = student.read(cleaned.text);
  if (tokens.spans.every(([start, end]) => start === end)) return refused("text", "holds no word");
  const feeds = {
    ...row("input_ids", tokens.ids, "attention_mask", 1),
    ...(post === ""
      ? row("context_ids", [student.padId], "context_mask", 0)
      : row("context_ids", student.read(post).ids, "context_mask", 1)),
  };
  const named = student.session.inputNames.map((name) => [name, feeds[name]]);
  const results = await student.session.run(Object.fromEntries(named));
  const outputs = Object.fromEntries(
    Object.entries(results).map(([name, tensor]) => [name, tensor.data]),
  );
  const last = Math.max(...tokens.spans.map(([, end]) => end));
  return {
    answers: answersOf(student.tasks, outputs, cleaned, tokens, post !== ""),
    readTo: tokens.isCut ? cleaned.ends[last - 1] : text.length,
    refusal: null,
  };
}

// One row of ids, and its mask.
function row(idsName, ids, maskName, mask) {
  const tensor = (values) =>
    new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  return { [idsName]: tensor(ids), [maskName]: tensor(ids.map(() => mask)) };
}
