"use strict";
// Keeps the page as it is now. The stream says only that there is news; then the page asks for itself again and is
// morphed, so that focus, scrolling and what is half typed stay. At most two requests a second, one at a time.
(() => {
  const REST = 500; // milliseconds between two requests; three times as long as the last one took, if that is more
  const SILENT = 45000; // without a sign from the stream it is taken for dead
  const ASLEEP = 5000; // a second that took so long was a sleep
  const REFUSED = 2000; // until the page asks again that was refused
  const AGAIN = [1000, 2000, 4000, 8000];
  const GLOW = 1600;
  const KEPT = 20000; // characters of what is being written, and twice as many for a while

  const page = document.getElementById("page");
  const line = document.getElementById("line");
  const notice = document.getElementById("notice");
  const address = page.dataset.stream;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let position = page.dataset.position;
  let source = null;
  let heard = 0;
  let failures = 0;
  let retry = 0;
  let timer = 0;
  let asking = false;
  let stale = false;
  let free = 0; // when the next request may begin
  let skew = 0; // of the server's clock against this one
  let written = null; // what a model has written of its answer, until that is a step of the task

  // Times, as backend/interfaces/dashboard/words.py says them.
  const span = (milliseconds) => {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    if (seconds < 120) return `${seconds} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} days`;
  };
  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const say = (element, text) => {
    if (element.firstChild?.nodeType === Node.TEXT_NODE) {
      if (element.firstChild.nodeValue !== text) element.firstChild.nodeValue = text;
    } else element.textContent = text;
  };
  const tell = () => {
    const now = Date.now() + skew;
    for (const time of page.querySelectorAll("time")) {
      const at = Date.parse(time.dateTime);
      if ("since" in time.dataset) say(time, span(now - at));
      else if ("until" in time.dataset) say(time, at > now ? `${span(at - now)} left` : "lease over");
      else if ("at" in time.dataset) say(time, clock(new Date(at)));
    }
  };
  // What is being written at the task. The page knows which steps have ended; what belongs to these comes too late.
  const write = () => {
    const place = document.getElementById("writing");
    if (!place) return;
    if (written && written.step <= Number(place.dataset.ended)) written = null;
    const box = place.firstElementChild;
    box.hidden = !written?.text;
    box.querySelector("strong").textContent = written?.member ?? "";
    say(box.querySelector(".text"), written?.text ?? "");
  };
  const hear = (piece) => {
    if (written?.step !== piece.step || !piece.offset) written = { step: piece.step, member: piece.member, text: "", heard: 0 };
    if (piece.offset !== written.heard) written.text += " … ";
    written.text += piece.text;
    written.heard = piece.offset + [...piece.text].length;
    if (written.text.length > 2 * KEPT) written.text = `… ${written.text.slice(-KEPT)}`;
    write();
  };
  const arrived = () => {
    const now = document.getElementById("now");
    if (now) {
      skew = Date.parse(now.dataset.now) - Date.now();
      document.title = now.dataset.title;
    }
    tell();
    write();
  };

  // The page, again.
  const places = () => new Map([...page.querySelectorAll(".card")].map((card) => [card.id, card.parentNode.id]));
  const glow = (before) => {
    if (calm.matches || !before.size) return;
    for (const card of page.querySelectorAll(".card"))
      if (before.get(card.id) !== card.parentNode.id)
        card.animate([{ outlineColor: "var(--accent)" }, { outlineColor: "transparent" }], GLOW);
  };
  const morph = async (text) => {
    const focused = document.activeElement?.id;
    const before = places();
    await htmx.swap({ sourceElement: page, target: page, swap: "innerMorph", text });
    arrived();
    glow(before);
    if (focused && document.activeElement === document.body)
      document.getElementById(focused)?.focus({ preventScroll: true });
  };
  const ask = async () => {
    timer = 0;
    asking = true;
    stale = false;
    let refused = false;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, {
        headers: { "HX-Request": "true" },
        signal: AbortSignal.timeout(15000),
      });
      if (answer.status === 401) location.assign(answer.headers.get("HX-Redirect"));
      else if (answer.status === 403 || answer.status === 404) location.reload();
      else if (answer.ok) {
        await morph(await answer.text());
        if (source?.readyState === EventSource.OPEN) here();
      } else refused = true;
    } catch {
      refused = true;
    }
    stale ||= refused;
    asking = false;
    const ended = performance.now();
    free = ended + Math.max(REST, 3 * (ended - began), refused ? REFUSED : 0);
    if (stale && source?.readyState === EventSource.OPEN) soon();
  };
  const soon = () => {
    if (!timer && !asking && !document.hidden) timer = setTimeout(ask, Math.max(0, free - performance.now()));
  };
  const news = () => {
    stale = true;
    soon();
  };

  // The stream.
  const here = () => {
    failures = 0;
    say(line, "");
  };
  const gone = () => say(line, "reconnecting …");
  const close = () => {
    source?.close();
    source = null;
    clearTimeout(retry);
  };
  const follow = () => {
    close();
    heard = Date.now();
    const task = document.getElementById("writing")?.dataset.task;
    const stream = (source = new EventSource(`${address}?after=${position}${task ? `&task=${task}` : ""}`));
    let lost = failures > 0;
    stream.addEventListener("open", () => {
      heard = Date.now();
      if (lost) news();
      else here();
      lost = false;
    });
    stream.addEventListener("news", (event) => {
      heard = Date.now();
      position = event.data;
      news();
    });
    stream.addEventListener("step.text", (event) => {
      heard = Date.now();
      hear(JSON.parse(event.data));
    });
    stream.addEventListener("alive", () => (heard = Date.now()));
    stream.addEventListener("error", () => {
      lost = true;
      gone();
      if (stream.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
      close();
      retry = setTimeout(again, AGAIN[Math.min(failures++, AGAIN.length - 1)]);
    });
  };
  // A stream that was refused says no reason, but the page does: whoever is logged out is led to the log-in.
  const again = async () => {
    if (!asking) await ask();
    follow();
  };
  const wake = () => {
    if (document.hidden) return;
    follow();
    news();
  };

  if (address) {
    let last = Date.now();
    setInterval(() => {
      const now = Date.now();
      if (now - last > ASLEEP || (source && now - heard > SILENT)) wake();
      last = now;
      if (!document.hidden) tell();
    }, 1000);
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : wake()));
    addEventListener("online", wake);
    addEventListener("pagehide", close);
    addEventListener("pageshow", (event) => event.persisted && wake());
    document.addEventListener("htmx:after:request", (event) => {
      const { ctx } = event.detail;
      if (ctx.response.status >= 300) return;
      ctx.sourceElement.reset?.();
      notice.replaceChildren();
      free = 0; // whoever has done something sees at once what came of it
      news();
    });
    document.addEventListener("htmx:error", () => {
      const sentence = document.createElement("p");
      sentence.className = "notice";
      sentence.textContent = "The server can't be reached; nothing was sent, so try again in a moment.";
      notice.replaceChildren(sentence);
    });
    if (!document.hidden) follow();
  }
  arrived();
})();
