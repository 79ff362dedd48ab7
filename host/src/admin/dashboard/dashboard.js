"use strict";
// Keeps the page up to date. Each message has the sections that have changed; what is the same in
// them stays in the document, so that focus, scrolling and what is folded open are kept.
(() => {
  const live = document.getElementById("live");
  let heard = Date.now();
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
    const nexts = [...next.childNodes];
    // What only moves down, because something new stands before it, stays the same thing.
    const stays = new Set(nexts.map((node) => node.dataset?.key).filter(Boolean));
    nexts.forEach((node, at) => {
      const was = old.childNodes[at];
      if (!was) old.appendChild(node);
      else if (alike(was, node)) morph(was, node);
      else if (stays.has(was.dataset?.key)) old.insertBefore(node, was);
      else old.replaceChild(node, was);
    });
    [...old.childNodes].slice(nexts.length).forEach((node) => node.remove());
  };
  const show = (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const section = document.getElementById(id);
      const next = new DOMParser().parseFromString(html, "text/html").body;
      if (section) children(section, next);
    }
    heard = Date.now();
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
    heard = Date.now();
    source = new EventSource("/page/events" + location.search);
    source.addEventListener("page", show);
    source.addEventListener("error", () => {
      say("No new numbers now; trying again. Reload the page if this stays.");
      close();
      again = setTimeout(open, 3000);
    });
  };
  // A connection that is cut without a word gives no error: numbers that are old must say so.
  setInterval(() => {
    const silent = Math.round((Date.now() - heard) / 1000);
    if (!source || silent < 5) return;
    if (silent % 15 === 0) open();
    say("No new numbers for some seconds: these are old. Trying again.");
  }, 1000);
  // A page that nobody sees needs no news.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    close();
    say("Paused while the page is hidden.");
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", () => document.hidden || source || open());
  if (!document.hidden) open();
})();
