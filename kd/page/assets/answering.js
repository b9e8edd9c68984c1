// Answers from a graph's outputs: class, probabilities, and the quoted parts of the raw text.

// tasks: rows of tasks.json; outputs: name → its numbers for one row; cleaned and tokens: of the
// text asked about; hasContext: whether a post was given. → a list of answers, one a task that
// can be asked: {task, label, probabilities, value, quotes}; quotes are [start, end) of the raw text.
export function answersOf(tasks, outputs, cleaned, tokens, hasContext) {
  return tasks.filter((task) => hasContext || !task.has_context).map((task) => {
    const logits = Array.from(outputs[task.name]);
    const answer = { task: task.name, label: null, probabilities: [], value: null, quotes: [] };
    if (task.kind === "regression") {
      // The graph's number may lie beyond the ends of the scale.
      const share = Math.min(1, Math.max(0, logits[0]));
      answer.value = task.low + share * (task.high - task.low);
    } else {
      const largest = Math.max(...logits);
      const odds = logits.map((logit) => Math.exp(logit - largest));
      const total = odds.reduce((sum, each) => sum + each);
      answer.probabilities = odds.map((each) => each / total);
      answer.label = task.classes[logits.indexOf(largest)];
    }
    if (task.has_rationale) {
      const threshold = Math.log(task.rationale_threshold / (1 - task.rationale_threshold));
      const chosen = Array.from(outputs[`${task.name}.rationale`], (odds) => odds > threshold);
      answer.quotes = runs(chosen, tokens.spans).map(([start, end]) => [
        cleaned.starts[start], cleaned.ends[end - 1],
      ]);
    }
    return answer;
  });
}

// The spans of each run of chosen tokens; special tokens, whose span is empty, end no run.
function runs(chosen, spans) {
  const found = [];
  let isOpen = false;
  spans.forEach(([start, end], number) => {
    if (start === end) return;
    if (chosen[number] && isOpen) found.at(-1)[1] = end;
    else if (chosen[number]) found.push([start, end]);
    isOpen = chosen[number];
  });
  return found;
}
