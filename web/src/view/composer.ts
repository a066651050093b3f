/** The prompt box with its examples, wishes, number of takes and seed. */

import type { App } from "../app";
import { makeChips } from "./chips";
import { h } from "./dom";

const EXAMPLES = [
  "A calm piano piece in D minor, slow and sparse",
  "Funky bass, clean guitar and drums at 104 bpm",
  "A waltz for string quartet in G major",
  "Eight bars of lo-fi with electric piano, as a loop",
  "Cheerful rock song with bright electric guitars",
  "Dark synth pads and an arpeggio, 90 bpm, one minute",
];
const MOST_TAKES = 8;

/** Where the page is one column, what is composed is below the fold. */
function showStage(): void {
  const stage = document.querySelector(".stage");
  if (stage !== null && stage.getBoundingClientRect().top > window.innerHeight / 2) stage.scrollIntoView();
}

export function makeComposer(app: App): { element: HTMLElement; render(): void } {
  const { store, work } = app;
  const prompt = h("textarea", {
    id: "prompt", rows: 3, placeholder: "What should it sound like?", aria: { label: "Prompt" }, spellcheck: true,
    oninput: () => store.change({ prompt: prompt.value }, "prompt"),
    onkeydown: (event: KeyboardEvent) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    },
  });
  const takes = h("select", { aria: { label: "Takes" }, onchange: () => store.change({ takes: Number(takes.value) }) });
  for (let count = 1; count <= MOST_TAKES; count++) {
    takes.append(h("option", { value: String(count) }, count === 1 ? "1 take" : `${count} takes`));
  }
  const seed = h("input", {
    type: "text", inputMode: "numeric", placeholder: "seed", className: "seed", aria: { label: "Seed (empty: drawn)" },
    onchange: () => store.change({ seed: /^\d+$/.test(seed.value.trim()) ? Number(seed.value) : null }),
  });
  const go = h("button", { type: "submit", className: "primary", title: "Compose (Ctrl+Enter)" }, "Compose");
  const examples = h(
    "div",
    { className: "examples", aria: { label: "Examples" } },
    ...EXAMPLES.map((text) =>
      h("button", { type: "button", onclick: () => (store.change({ prompt: text, wishes: {}, seconds: null }), prompt.focus()) }, text),
    ),
  );
  examples.setAttribute("role", "group");
  const chips = makeChips(app);
  const form = h(
    "form",
    {
      className: "composer",
      onsubmit: (event: SubmitEvent) => {
        event.preventDefault();
        if (prompt.value.trim() === "") prompt.focus();
        else {
          void work.compose();
          showStage();
        }
      },
    },
    prompt, chips.element, h("div", { className: "row" }, takes, seed, go), examples,
  );
  return {
    element: form,
    render: () => {
      const { document: doc } = store;
      if (prompt.value !== doc.prompt) prompt.value = doc.prompt;
      takes.value = String(doc.takes);
      if (document.activeElement !== seed) seed.value = doc.seed === null ? "" : String(doc.seed);
      go.disabled = work.asking || !work.online;
      go.textContent = work.asking ? "Asking …" : "Compose";
      examples.hidden = doc.prompt.trim() !== "" && store.remembered.length > 0;
      chips.render();
    },
  };
}
