// Runs in the page, in a frame; leaves its findings as JSON in an element `measured` beside the frame.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const box = (e) => {
    const r = e.getBoundingClientRect();
    return { x: r.x, y: r.y, width: r.width, height: r.height };
  };
  const numbers = (e) => all("data", e).map((d) => ({ value: d.value, text: d.textContent }));
  const shown = (e) => e.getClientRects().length > 0;
  const style = (e) => getComputedStyle(e);
  const bars = (selector) =>
    all(selector).map((li) => ({
      name: li.querySelector(".name").textContent,
      numbers: numbers(li),
      svg: box(li.querySelector("svg")),
      rects: all("rect", li).map(box),
    }));
  const outside = (e) => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".scroll");
  const findings = {
    width: innerWidth,
    scrollWidth: document.documentElement.scrollWidth,
    outside: all("body *").filter((e) => shown(e) && outside(e)).map((e) => e.outerHTML.slice(0, 120)),
    title: document.title,
    heading: document.querySelector("h1").textContent,
    scripts: all("script").length,
    links: all("[href],[src]").map((e) => e.getAttribute("href") ?? e.getAttribute("src")),
    requests: performance.getEntriesByType("resource").map((r) => r.name),
    ground: style(document.body).backgroundColor,
    ink: style(document.body).color,
    figures: numbers(document.querySelector(".figures")),
    svgs: all("svg").filter(shown).filter((e) => !e.parentElement.closest("svg")).map(box),
    plots: all("svg.plot").filter(shown).map((e) => ({
      svg: box(e),
      circles: all("circle", e).map((c) => ({ ...box(c), title: c.textContent, link: c.parentElement.getAttribute("href") })),
      labels: all("text.label", e).map((t) => ({ ...box(t), text: t.textContent })),
      texts: all("text", e).map((t) => ({ ...box(t), text: t.textContent, fill: style(t).fill })),
    })),
    bars: bars(".bars li"),
    regions: bars(".regions li"),
    snr: bars(".snr li"),
    rows: all("tbody:not(.modes) tr").map((tr) => ({
      id: tr.id,
      text: tr.textContent,
      numbers: numbers(tr),
    })),
    modes: all("tbody.modes tr").map((tr) => ({
      text: tr.textContent,
      numbers: numbers(tr),
      bold: numbers(tr.querySelector("b")),
    })),
  };
  const pre = parent.document.createElement("pre");
  pre.id = "measured";
  pre.textContent = JSON.stringify(findings).replace(/[<>&]/g, (c) => "\\u00" + c.charCodeAt(0).toString(16));
  parent.document.body.append(pre);
})();
