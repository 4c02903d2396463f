// Where people write; it also asks who they are, when they send for the first time.
import { fill, make, recall, remember, setHtml, show } from "./dom.js";

// `send(text)` is awaited; what was typed stays until it succeeds, and under `key` over a reload.
// With `isChat` Enter sends and nothing waits. Without `label` it asks only who somebody is.
export const composerOf = (view, { label, send, key, value, cancel, isChat, verb = "send" }) => {
  const { server, t, button } = view;
  const draft = key && `draft ${server.base}${server.siteId} ${key}`;
  let busy, next, panel;

  const changed = () => {
    if (draft) remember(draft, area.value);
    said.textContent = "";
    // Where the field does not grow by itself.
    if (!CSS.supports("field-sizing: content")) {
      area.style.height = "auto";
      area.style.height = `${area.scrollHeight + 2}px`;
    }
  };

  const area = make("textarea.input", {
    placeholder: label, ariaLabel: label, rows: isChat ? 1 : 2, maxLength: 10240,
    value: (draft && recall(draft)) ?? value ?? "", input: () => changed(),
    keydown: (event) => {
      // An Enter that ends a composition chooses a word; Safari tells by the 229 alone.
      const isEnter = event.key === "Enter" && !event.isComposing && event.keyCode !== 229;
      if (isEnter && (isChat ? !event.shiftKey : event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        run();
      } else if (event.key === "Escape") cancel?.();
    },
  });
  const shown = make("div.text.preview", { hidden: true, tabIndex: -1 });
  const said = make("p.said", { role: "alert" });
  const ask = make("div.ask");
  const who = make("span.who");
  const leave = button("sign_out", server.signOut);
  const eye = button("preview", () => preview());
  const form = make(`form.composer${isChat ? ".chatting" : ""}`, {
    noValidate: true,
    submit: (event) => {
      event.preventDefault();
      run();
    },
  }, label && area, shown, ask, make("div.tools", {}, who, leave, !isChat && label && eye,
    cancel && button("cancel", cancel), make("button.main", {}, t(verb))), said);

  const drawPerson = () => {
    const { user } = server;
    who.textContent = user ? t("writing_as", { name: user.full_name }) : "";
    show(leave, user);
    if (!user) return;
    panel = null;
    fill(ask, []);
  };

  const preview = async () => {
    const isOpen = shown.hidden;
    const content = area.value.trim();
    show(shown, isOpen);
    show(area, !isOpen);
    eye.textContent = t(isOpen ? "go_on" : "preview");
    shown.textContent = content ? "…" : t("nothing");
    (isOpen ? shown : area).focus();
    if (!isOpen || !content) return;
    try {
      const { data } = await server.call("POST", `preview?site_id=${server.siteId}`, { content });
      setHtml(shown, data.content_html);
    } catch (error) {
      shown.textContent = view.explain(error);
    }
  };

  // What was typed meanwhile stays.
  const settle = (text) => {
    if (area.value.trim() === text) area.value = "";
    if (!shown.hidden) preview();
    changed();
    area.focus();
  };

  const run = async () => {
    const text = area.value.trim();
    if (busy) return void (next = text);
    if (label && !text) return area.focus();
    busy = true;
    next = "";
    said.textContent = "";
    form.ariaBusy = "true";
    try {
      if (!server.user && !panel) {
        const { panelOf } = await import("./sign-in.js");
        panel = await panelOf(view, run, fail);
        fill(ask, [panel.element]);
        panel.focus();
      } else if (server.user || (await panel.submit())) {
        if (isChat) settle(text);
        await send(text);
        if (!isChat) settle(text);
      }
    } catch (error) {
      next = "";
      fail(error);
    }
    busy = false;
    form.ariaBusy = null;
    // What was to be sent meanwhile, if it is another text.
    if (next && next !== text && next === area.value.trim()) run();
  };

  const fail = (error) => {
    server.cure(error);
    said.textContent = view.explain(error);
    panel?.suggest(error);
  };

  view.until(server.onPerson(drawPerson));
  drawPerson();
  requestAnimationFrame(changed);
  return {
    element: form, run, fail,
    text: () => area.value,
    focus: () => area.focus(),
    // Put text before what is there, such as a passage or words that were refused.
    insert: (text) => {
      area.value = [text, area.value].filter(Boolean).join("\n");
      changed();
      area.focus();
    },
  };
};
