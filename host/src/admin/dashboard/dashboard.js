"use strict";
// Keeps the page up to date. Each message has the sections that have changed; what is the same in
// them stays in the document, so that focus, scrolling and what is folded open are kept.
(() => {
  const live = document.getElementById("live");
  const say = (text) => {
    if (live.textContent !== text) live.textContent = text;
  };
  // What has another key is another thing: a button that has the focus must not become another's.
  const alike = (a, b) => a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
  const morph = (old, next) => {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== next.data) old.data = next.data;
      return;
    }
    for (const { name } of [...old.attributes])
      if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    children(old, next);
  };
  const children = (old, next) => {
    const [olds, nexts] = [[...old.childNodes], [...next.childNodes]];
    nexts.forEach((node, at) => {
      const was = olds[at];
      if (!was) old.appendChild(node);
      else if (alike(was, node)) morph(was, node);
      else old.replaceChild(node, was);
    });
    olds.slice(nexts.length).forEach((node) => node.remove());
  };
  const show = (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const section = document.getElementById(id);
      const next = new DOMParser().parseFromString(html, "text/html").body;
      if (section) children(section, next);
    }
    say("Live: new numbers each second.");
  };
  // A result is shown once.
  const here = new URL(location.href);
  here.searchParams.delete("result");
  history.replaceState(null, "", here);
  let source = null;
  let again = 0;
  const close = () => {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  };
  const open = () => {
    close();
    source = new EventSource("/page/events" + location.search);
    source.addEventListener("page", show);
    source.addEventListener("error", () => {
      say("No new numbers now; trying again. Reload the page if this stays.");
      close();
      again = setTimeout(open, 3000);
    });
  };
  // A page that nobody sees needs no news.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", () => document.hidden || source || open());
  if (!document.hidden) open();
})();
