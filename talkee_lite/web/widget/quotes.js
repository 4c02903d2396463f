// Talking about a passage of the article: it is chosen by selecting.
import { show } from "./dom.js";
import { bare, lettersOf, placeOf, rangeAt } from "./passages.js";

const LONGEST = 300; // letters of a passage

// `write(text)` begins a comment.
export const quotesOf = (view, { layer, article, put }, write) => {
  const { on, button } = view;
  let chosen;

  // What was selected of the article, as it is read; where that stands there more than once it grows,
  // word by word.
  const chosenOf = (selection) => {
    const { text, nodes } = lettersOf(article());
    const wanted = bare(`${selection}`);
    if (!wanted[2] || wanted[LONGEST]) return null;
    let start = -1;
    do start = text.indexOf(wanted, start + 1);
    while (start >= 0 && !selection.getRangeAt(0).isPointInRange(...placeOf(nodes, start)));
    if (start < 0) return null;
    let end = start + wanted.length;
    const found = () => text.slice(start, end);
    const isInWord = (n) => n && text[n] && !/\s/.test(rangeAt(nodes, n - 1, n + 1));
    while (start > 0 && !found()[LONGEST] && text.indexOf(found()) !== text.lastIndexOf(found())) {
      do start--; while (isInWord(start));
      do end++; while (isInWord(end));
      end = Math.min(end, text.length);
    }
    return rangeAt(nodes, start, end);
  };

  const talk = button("quote", () => {
    look();
    if (!chosen) return;
    const selection = getSelection();
    selection.empty();
    selection.addRange(chosen);
    // As it is read: what is hidden is not in it, and lines are apart.
    const text = `${selection}`.replace(/\u00ad/g, "").replace(/\s+/g, " ").trim();
    selection.empty();
    show(talk, false);
    write(`> ${text.replace(/[\\`*_[\]<>#~&]|^[-+=]|(?<=^\d+)[.)]/g, "\\$&")}\n\n`);
  }, "about", {
    hidden: true,
    // Pressing the button must not end the selection first.
    pointerdown: (event) => event.preventDefault(),
  });
  layer.shadowRoot.firstChild.append(talk);
  document.body.append(layer);

  const look = () => {
    chosen = chosenOf(getSelection());
    show(talk, chosen);
    if (!chosen) return;
    const { right, bottom } = chosen.getBoundingClientRect();
    put(talk, { right: Math.max(right, talk.offsetWidth + 8), top: bottom });
  };
  // Once it has stayed as it is for a moment.
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(look, 250);
  };
  on(document, "selectionchange", later);
  later();
};
