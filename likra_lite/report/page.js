"use strict";
(() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // Tooltips: the nearest mark speaks, under the pointer or by the arrow keys.
  const tip = make("div", { id: "tip", role: "status" });
  document.body.append(tip);
  let near = null;
  const show = (mark) => {
    if (near) near.classList.remove("near");
    near = mark;
    tip.textContent = mark ? mark.dataset.tip : "";
    if (!mark) return;
    mark.classList.add("near");
    const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), document.documentElement.clientWidth - own.width - 8);
    const above = box.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 4 ? box.bottom + 8 : above}px`;
  };
  for (const svg of document.querySelectorAll("figure svg")) {
    const marks = [...svg.querySelectorAll(".mark")];
    for (const mark of marks) {
      const title = mark.querySelector("title");
      mark.dataset.tip = title.textContent;
      title.remove();
    }
    if (!marks.length) continue;
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("pointermove", (event) => {
      let best = null, least = 28;
      for (const mark of marks) {
        const box = mark.getBoundingClientRect();
        const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
        const dy = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
        const distance = Math.hypot(dx, dy);
        if (distance < least) [best, least] = [mark, distance];
      }
      if (best !== near) show(best);
    });
    svg.addEventListener("pointerleave", () => show(null));
    svg.addEventListener("blur", () => show(null));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") show(null);
      if (!step) return;
      event.preventDefault();
      const place = marks.indexOf(near);
      show(marks[place < 0 ? (step > 0 ? 0 : marks.length - 1) : Math.min(Math.max(place + step, 0), marks.length - 1)]);
    });
  }
  // A chart that is reached by keyboard scrolls into view: the tooltip goes with its mark.
  addEventListener("scroll", () => near && show(near), { passive: true });

  const command = document.querySelector(".command");
  if (command) {
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      const code = command.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected: copy with Ctrl+C";
      }
    });
    command.append(button);
  }

  const source = document.getElementById("items-data");
  if (!source) return;
  const { items, low, largest } = JSON.parse(source.textContent);
  const PAGE = 20;
  const list = document.getElementById("list");
  const state = document.getElementById("matches");
  const search = document.getElementById("search");
  const filters = document.getElementById("filters");
  const pages = document.getElementById("pages");
  const [back, forward] = pages.querySelectorAll("button");
  const where = pages.querySelector("span");
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  for (const item of items) {
    item.ok = item.p === item.a;
    item.text = fold([item.id, item.q, item.x, ...item.c.map((choice) => choice.t)].join("\n"));
  }
  const KEEP = {
    all: () => true,
    wrong: (item) => !item.ok,
    flipped: (item) => item.p !== item.b,
    low: (item) => item.m <= low,
  };
  const signed = (value, places = 2) => {
    const text = Math.abs(value).toFixed(places);
    return (Number(text) === 0 ? "" : value < 0 ? "\u2212" : "+") + text;
  };
  let shown = items, page = 0;

  const tokensOf = (choice) => {
    if (!choice.k.length) return make("div", { dir: "auto" }, choice.t);
    const line = make("div", { class: "tokens", dir: "auto" });
    choice.k.forEach((token, place) => {
      const value = choice.r[place];
      const strength = Math.min(1, Math.abs(value) / largest);
      // A word's leading space stays outside, so that words are seen to begin.
      const word = token.replace(/^ (?=\S)/, "");
      if (word !== token) line.append(" ");
      const span = make("span", { title: `${signed(value)} nats`, "data-n": signed(value, 1) }, word);
      if (strength > .04) {
        span.className = value > 0 ? "plus" : "minus";
        span.style.setProperty("--a", (.08 + .6 * strength).toFixed(2));
      }
      line.append(span);
    });
    return line;
  };
  const detailOf = (item) => {
    const detail = make("div", { class: "detail" });
    if (item.x) detail.append(make("p", { class: "context", dir: "auto" }, item.x));
    item.c.forEach((choice, place) => {
      const marks = [];
      if (place === item.a) marks.push(make("b", { class: "right" }, "\u2713 right"));
      if (place === item.p) marks.push(make("b", { class: "predicted-mark" }, "\u25B8 predicted"));
      if (place === item.b) marks.push(make("span", {}, "without examples"));
      const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
      bar.firstChild.style.width = `${(100 * choice.v).toFixed(1)}%`;
      const meta = make("div", { class: "meta" }, bar, make("span", {}, `${(100 * choice.v).toFixed(0)} %`),
        make("span", {}, `score ${signed(choice.s)}`), ...marks);
      detail.append(make("div", { class: place === item.p ? "choice predicted" : "choice" }, tokensOf(choice), meta));
    });
    return detail;
  };
  const toggle = (button, item) => {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) button.nextSibling.remove();
    else {
      const detail = detailOf(item);
      detail.id = `${button.id}-detail`;
      button.after(detail);
    }
  };
  const render = () => {
    const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
    page = Math.min(Math.max(page, 0), last);
    list.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map((item, place) => {
      const flip = item.p === item.b ? "" : item.ok ? "gained" : item.b === item.a ? "lost" : "changed";
      const button = make("button", { type: "button", id: `item-${place}`, "aria-expanded": "false", "aria-controls": `item-${place}-detail`, class: item.ok ? "is-right" : "is-wrong" },
        make("span", { class: "verdict", role: "img", "aria-label": item.ok ? "answered right" : "answered wrong" }, item.ok ? "\u2713" : "\u2717"),
        make("span", { class: "question", dir: "auto" }, item.q),
        make("span", { class: "margin" }, [flip, `margin ${item.m.toFixed(2)}`].filter(Boolean).join(" \u00B7 ")));
      button.addEventListener("click", () => toggle(button, item));
      return make("li", {}, button);
    }));
    const few = shown.length === 1 ? "item" : "items";
    state.textContent = `${shown.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} ${few}`;
    where.textContent = `Page ${page + 1} of ${last + 1}`;
    back.disabled = page === 0;
    forward.disabled = page === last;
  };
  const choose = () => {
    const words = fold(search.value).split(/\s+/).filter(Boolean);
    const keep = KEEP[filters.querySelector(":checked").value];
    shown = items.filter((item) => keep(item) && words.every((word) => item.text.includes(word)));
    page = 0;
    render();
  };
  for (const input of filters.querySelectorAll("input")) {
    const count = items.filter(KEEP[input.value]).length;
    input.nextElementSibling.append(` ${count.toLocaleString("en")}`);
    input.addEventListener("change", choose);
  }
  search.addEventListener("input", choose);
  document.getElementById("numbers").addEventListener("change", (event) => list.classList.toggle("with-numbers", event.target.checked));
  const turn = (by) => { page += by; render(); };
  back.addEventListener("click", () => turn(-1));
  forward.addEventListener("click", () => turn(1));
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = [...list.querySelectorAll("li > button")];
    const place = buttons.indexOf(document.activeElement);
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (place < 0) return;
    let target = null;
    if (step) target = place + step;
    if (event.key === "Home") target = 0;
    if (event.key === "End") target = buttons.length - 1;
    if (target === null) return;
    event.preventDefault();
    if (target >= buttons.length && !forward.disabled) {
      turn(1);
      list.querySelector("button").focus();
    } else if (target < 0 && !back.disabled) {
      turn(-1);
      list.querySelector("li:last-child > button").focus();
    } else buttons[Math.min(Math.max(target, 0), buttons.length - 1)].focus();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  document.getElementById("browser").hidden = false;
  render();
})();
