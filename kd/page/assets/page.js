// The page: asks the student about what is typed, and shows the answers to what stands there now.

import { element, plain } from "./elements.js";
import { loadStudent } from "./loading.js";
import { section, sentences } from "./showing.js";

const PAUSE = 200; // ms without a key before the student is asked
const SAY_AFTER = 1000; // ms before a screen reader is told, so that it is not told at every key
const EXAMPLES = [
  ["I lost my job today and I feel like a failure.",
   "I'm so sorry, that must feel awful after all those years. What did your boss say to you?"],
  ["I lost my job today and I feel like a failure.",
   "Other people lose their jobs too. Just get over it and apply somewhere else."],
  ["My sister moved away last week and the house is so quiet now.",
   "Do you still talk in the evenings? What do you miss the most?"],
];

const student = JSON.parse(document.getElementById("student").textContent);
// Those that quote come first, beside the text that they mark.
student.tasks.sort((one, two) => two.has_rationale - one.has_rationale);
const hasContext = student.tasks.some((task) => task.has_context);
const [form, context, text, status, results, said, failure, empty] =
  ["texts", "context", "text", "status", "results", "said", "failure", "empty"]
    .map((id) => document.getElementById(id));

let answer = null; // the loaded student
let isBusy = false;
let pause = 0;
let silence = 0;

async function refresh() {
  if (answer === null || isBusy) return;
  isBusy = true;
  const asked = { text: text.value, context: context.value };
  const start = performance.now();
  let tell;
  try {
    const ofText = await answer(asked.text, asked.context);
    const ofContext = await answer(asked.context, "");
    tell = () => show(asked, ofText, ofContext, performance.now() - start);
  } catch (error) {
    tell = () => fail(`The student could not answer: ${error.message}`);
  }
  isBusy = false;
  const isStale = asked.text !== text.value || asked.context !== context.value;
  return isStale ? refresh() : tell();
}

function show(asked, ofText, ofContext, milliseconds) {
  const name = hasContext ? "reply" : "text";
  // The post is the reply's context, and a text of its own.
  const texts = [
    [name, asked.text, named(ofText, { text: name, context: "post" })],
    ["post", asked.context, named(ofContext, { text: "post" })],
  ].filter(([, , found]) => found.answers.length || found.refusal);
  const shown = texts.map(([name, raw, found]) => section(student.tasks, name, raw, found));
  const isAnswered = texts.some(([, , found]) => found.answers.length);
  const isUnanswered = hasContext && ofText.answers.length && asked.context.trim() === "";
  if (isUnanswered) {
    shown.push(element("p", { class: "hint" },
      "Tasks that read a reply to a post are left out: there is no post."));
  }
  failure.hidden = true;
  results.replaceChildren(...(shown.length ? shown : [empty]));
  status.textContent = isAnswered
    ? `Answered in ${Math.max(1, Math.round(milliseconds))} ms on this device.`
    : "Ready.";
  clearTimeout(silence);
  silence = setTimeout(() => {
    said.textContent = texts.map(([name, raw, found]) => `The ${name}. ${sentences(raw, found)}`)
      .join(" ");
  }, SAY_AFTER);
}

function named(found, names) {
  const { refusal } = found;
  return { ...found, refusal: refusal && `No answer: the ${names[refusal.of]} ${refusal.fault}.` };
}

function fail(message) {
  failure.textContent = message;
  failure.hidden = false;
  status.textContent = "";
  results.replaceChildren();
  clearTimeout(silence);
  said.textContent = "";
}

form.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(refresh, PAUSE);
});
form.addEventListener("submit", (event) => event.preventDefault());
// The fields are empty only after the event.
form.addEventListener("reset", () => setTimeout(refresh));
for (const button of form.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    [context.value, text.value] = EXAMPLES[button.dataset.example];
    refresh();
  });
}
if (!hasContext) {
  document.getElementById("context-field").hidden = true;
  document.querySelector("label[for=text]").textContent = "Text";
  document.getElementById("text-hint").hidden = true;
}
document.getElementById("about").textContent =
  `${student.file}, ${(student.bytes / 1e6).toFixed(1)} MB. It answers: ` +
  `${student.tasks.map((task) => plain(task.name)).join(", ")}.`;

loadStudent(student, (doing) => { status.textContent = doing; }).then((loaded) => {
  answer = loaded;
  status.textContent = "Ready.";
  return refresh();
}).catch((error) => fail(`The student can't run here: ${error.message}`));
