// The socket of one page's room, shared by all on the page that want to hear of it.
import { listening } from "./dom.js";
import { isPassing } from "./server.js";

const HIDDEN = 300000; // 5 minutes: a tab out of sight for so long lets go of its socket
const POLL = 5000;

// `hear(event)` gets what the server sends, `{type: "state", state}`, and, where sockets are blocked,
// `{type: "poll"}`; the answer ends that.
export const listen = (server, slug, hear) => (server.links[slug] ??= linkOf(server, slug))(hear);

const linkOf = (server, slug) => {
  const query = server.query(slug);
  const ears = new Set();
  let socket, ready, state, ends, timer, hiding;
  let tries = 0;
  let failures = 0;

  const tell = (event) => [...ears].forEach((hear) => hear(event));
  const become = (now) => {
    if (now !== state) tell({ type: "state", state: (state = now) });
  };

  // Let go of the socket, and say why.
  const rest = (now) => {
    clearTimeout(timer);
    const last = socket;
    socket = ready = null;
    last?.close();
    become(now);
  };

  // Everything begins and resumes here. What belongs to an earlier socket is over.
  const connect = () => {
    rest(state);
    const { token } = server;
    let patience = 20;
    let since = 0;
    let own;
    try {
      own = socket = new WebSocket(`${server.base.replace("http", "ws")}ws${query}`);
    } catch {
      return poll(); // the page forbids it
    }
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => closed({ code: 1006 }), patience * 1000);
    };
    // By the table of close codes.
    const closed = async ({ code }) => {
      if (socket !== own) return;
      if (!since) failures++;
      else if (Date.now() - since > 10000) tries = 0;
      if (code === 4501) {
        server.forget(token); // then all who listen for people hear of it
        if (socket === own) connect(); // another tab has a newer one
      } else if (code === 4402) await server.renew(token).then(connect, () => retry(0));
      else if (code === 4409) rest("elsewhere");
      else if (code === 4503) rest("banned");
      else if (code >= 4500 || /^100[23789]$/.test(code)) rest("reload");
      else retry(/^101[13]$/.test(code) ? 15 : 0);
    };
    wait();
    own.onclose = closed;
    own.onopen = () => own.send(JSON.stringify({ type: "auth", token, visitor: !token, events: true }));
    own.onmessage = ({ data }) => {
      if (socket !== own) return;
      const event = JSON.parse(data);
      if (event.type === "ready") {
        ready = event;
        server.meet(event.user);
        since = Date.now();
        failures = 0;
        patience = event.ping_interval + 15;
        become("live");
      }
      wait();
      tell(event);
    };
  };

  const retry = async (seconds) => {
    rest(state === "polling" ? state : navigator.onLine ? "reconnecting" : "offline");
    const jitter = Math.min(30, 2 ** tries++) * (0.5 + Math.random());
    timer = setTimeout(connect, (seconds + jitter) * 1000);
    // A socket that fails does not say why; the answer to a request does.
    if (failures < 2) return;
    try {
      await server.call("GET", `slugs${query}`);
      poll();
    } catch (error) {
      // A proxy's answer, which has no code of ours, may pass.
      if (error.error && !isPassing(error)) rest("off");
    }
  };

  // Sockets are blocked here: those who listen look for themselves.
  const poll = () => {
    if (state === "live" || !ears.size) return;
    become("polling");
    if (!document.hidden) tell({ type: "poll" });
  };

  const begin = () => {
    ends = new AbortController();
    const { signal } = ends;
    const on = listening(signal);
    on(document, "visibilitychange", () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(rest, HIDDEN, "hidden");
      else if (/hidden|line|ing/.test(state)) connect(); // it may work again
    });
    on(window, "online", connect);
    on(window, "offline", () => rest("offline"));
    on(window, "focusin", () => state === "elsewhere" && connect());
    const poller = setInterval(() => state === "polling" && poll(), POLL);
    signal.addEventListener("abort", () => clearInterval(poller));
    // Not by `on`: what goes with the signal is gone before it tells.
    signal.addEventListener("abort", server.onPerson(connect));
    connect();
  };

  return (hear) => {
    ears.add(hear);
    if (ears.size === 1) begin();
    else if (ready) hear(ready);
    return () => {
      ears.delete(hear);
      if (ears.size) return;
      ends.abort();
      clearTimeout(hiding);
      rest();
    };
  };
};
