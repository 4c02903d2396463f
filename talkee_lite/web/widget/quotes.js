// Talking about a passage of the article: it is chosen by selecting.
import { show } from "./dom.js";
import { bare, lettersOf, placeOf, rangeAt } from "./passages.js";

const LONGEST = 300; // letters of a passage

// `write(text)` begins a comment.
export const quotesOf = (view, { layer, article, put }, write) => {
  const { on, button, signal } = view;
  if (signal.aborted) return;
  let chosen;

  // What was selected of the article; where it stands there more than once it grows, word by word.
  const chosenOf = (selection) => {
    const { text, nodes } = lettersOf(article());
    const range = selection.rangeCount && selection.getRangeAt(0);
    const within = nodes.filter(([node]) => range && range.intersectsNode(node));
    if (!within[0]) return null;
    // How many letters stand before a place: in this text, or before or behind all of it.
    const upTo = ([node, first], container, offset, other) =>
      first + bare(node.data.slice(0, node === container ? offset : other)).length;
    let start = upTo(within[0], range.startContainer, range.startOffset, 0);
    let end = upTo(within.at(-1), range.endContainer, range.endOffset);
    const found = () => text.slice(start, end);
    if (!found()[2] || found()[LONGEST]) return null;
    const isInWord = (n) => {
      if (!n || !text[n] || found()[LONGEST]) return false;
      const [one, at] = placeOf(nodes, n);
      const [other, before] = placeOf(nodes, n - 1);
      return one === other && at === before + 1;
    };
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
  // Who is at a mark stays there.
  if (!layer.isConnected) document.body.append(layer);

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
