// The page of the admin listener in Chromium without a window. Started by page_suite.py, which passes
// what there is as JSON; prints one line of JSON for each case.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const world = JSON.parse(process.argv[2]);
const { chromium } = createRequire(world.modules + "/")("playwright-core");
const patience = world.patience * 1000;

const check = (claim, what) => {
  if (!claim) throw new Error(what);
};
const eventually = async (what, ask) => {
  const until = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    check(Date.now() < until, `never happened: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
};

/// A page whose console and requests are watched.
const opened = async (browser, options = {}) => {
  const context = await browser.newContext({ ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const wrong = [];
  page.on("console", (said) => said.type() === "error" && wrong.push(`console: ${said.text()}`));
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["127.0.0.1", "localhost"].includes(url.hostname) && url.protocol !== "data:")
      wrong.push(`request to ${request.url()}`);
  });
  return { context, page, wrong };
};
const isLive = (page) => page.getByText("Live: new numbers each second.").waitFor();
const text = (page, selector) => page.locator(selector).innerText();
const ask = (path, options = {}) => fetch(world.open + path, options);

/// The relative luminance of colours by WCAG, for each text on the page that has too little contrast.
const pale = () => {
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) =>
    [r, g, b]
      .map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.className}: ${ratio.toFixed(2)}`);
  }
  return found;
};

const cases = {
  async live_update(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.open);
    await isLive(page);
    let loads = 0;
    page.on("framenavigated", () => (loads += 1));
    for (let at = 0; at < 7; at += 1) await fetch(world.proxy);
    const total = page
      .locator("dt", { hasText: "requests so far" })
      .locator("xpath=following-sibling::dd");
    await eventually("the requests are counted", async () => Number(await total.innerText()) >= 7);
    await page
      .locator("#pools svg")
      .first()
      .waitFor({ timeout: patience + 15000 });
    check(loads === 0, "the page was loaded again");
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async markup_of_others_is_text(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.open);
    check(
      (await text(page, "#pools")).includes(`zone=${world.label}`),
      "the label is not shown as it is",
    );
    await isLive(page);
    const before = await text(page, "#overview p");
    await eventually("news came", async () => (await text(page, "#overview p")) !== before);
    check(
      (await text(page, "#pools")).includes(`zone=${world.label}`),
      "news show it in another way",
    );
    check((await page.locator("#pools img").count()) === 0, "the label is markup");
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async news_keep_focus_and_what_is_open(browser) {
    const { context, page } = await opened(browser);
    await page.goto(world.open);
    await isLive(page);
    await page.locator("summary").first().click();
    const button = page.getByRole("button", { name: /^Drain / }).first();
    await button.focus();
    const before = await text(page, "#overview p");
    await eventually("news came", async () => (await text(page, "#overview p")) !== before);
    check(await button.evaluate((b) => b === document.activeElement), "the focus is lost");
    check(
      await page
        .locator("details")
        .first()
        .evaluate((d) => d.open),
      "what was open is closed",
    );
    await context.close();
  },

  async requests_say_why_and_stay_open(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.open);
    await isLive(page);
    const rows = page.locator("#requests tbody tr");
    const asked = async (path, what, seen) =>
      eventually(what, async () => {
        await fetch(world.proxy + path);
        return (await rows.count()) > 0 && (await seen());
      });
    await asked("why", "a request is shown", async () => true);
    const first = rows.last();
    await first.locator("summary").click();
    const said = await first.innerText();
    for (const part of ["GET", "selection: choice", "chose", "candidates", "attempt at"])
      check(said.includes(part), `${part}: ${said}`);
    const key = await first.getAttribute("data-key");
    const same = page.locator(`#requests tr[data-key="${key}"]`);
    const before = await rows.count();
    await asked(
      "later",
      "another one is shown before it",
      async () => (await rows.count()) > before,
    );
    check(await same.locator("details").evaluate((d) => d.open), "what was open is closed");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(wide <= (await page.evaluate(() => innerWidth)), `the page is ${wide} wide`);
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async drain_and_take_back(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.open);
    const name = `${world.backends[0]} of pool all`;
    await page.getByRole("button", { name: `Drain ${name}` }).click();
    await page.getByText(`${world.backends[0]} of pool all gets no new requests`).waitFor();
    const row = page.locator("tr", { hasText: world.backends[0] }).first();
    check((await row.innerText()).includes("draining"), await row.innerText());
    await isLive(page);
    await page.getByRole("button", { name: `Take back ${name}` }).click();
    await page.getByText("gets requests again").waitFor();
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async promote_and_roll_back(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.open);
    await isLive(page);
    const body = readFileSync(world.component);
    const put = await ask("/policies/choice?mode=shadow", { method: "PUT", body });
    check(put.status === 200, await put.text());
    // It comes by the news.
    const promote = page.getByRole("button", { name: /^Promote generation / });
    await promote.waitFor();
    const generation = /generation (\d+)/.exec(await promote.getAttribute("aria-label"))[1];
    await promote.click();
    await page.locator(".result").getByText(`generation ${generation} decides now`).waitFor();
    const now = await (await ask("/policies/choice")).json();
    check(String(now.generation) === generation, `generation ${now.generation} decides`);
    await page
      .getByRole("button", { name: `Roll back generation ${generation} of policy choice` })
      .click();
    await page.locator(".result").getByText("rolled back").waitFor();
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async login_and_logout(browser) {
    const { context, page, wrong } = await opened(browser);
    await page.goto(world.guarded);
    check(page.url().endsWith("/page/login"), page.url());
    check(wrong.length === 0, wrong.join("; "));
    await page.getByLabel("Admin token").fill("not the token");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").getByText("this is not the admin token").waitFor();
    // Chromium itself writes the status of that answer to the console.
    wrong.length = 0;
    await page.getByLabel("Admin token").fill(world.token);
    await page.keyboard.press("Enter");
    await isLive(page);
    const [cookie] = await context.cookies();
    check(
      cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.secure,
      JSON.stringify(cookie),
    );
    const shown = await page.evaluate(() => document.cookie);
    check(shown === "", "a script sees the cookie");
    await page
      .getByRole("button", { name: /^Drain / })
      .first()
      .click();
    await page.getByText("gets no new requests").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Admin token").waitFor();
    await page.goto(world.guarded);
    check(page.url().endsWith("/page/login"), page.url());
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async a_page_elsewhere_changes_nothing(browser) {
    const { context, page } = await opened(browser);
    await page.route("http://elsewhere.test/", (route) =>
      route.fulfill({
        contentType: "text/html",
        body: `<form method=post action="${world.open}/page/act"><input name=do value=drain><input name=pool value=all>
          <input name=address value="${world.backends[1]}"></form><script>document.forms[0].submit()</script>`,
      }),
    );
    await page.goto("http://elsewhere.test/");
    await page.getByText("a page of another site may change nothing here").waitFor();
    const pool = await (await ask("/pools/all")).json();
    check(!JSON.stringify(pool).includes('"draining"'), "it was drained");
    await context.close();
  },

  async without_script(browser) {
    const { context, page, wrong } = await opened(browser, { javaScriptEnabled: false });
    await page.goto(world.open);
    const shown = await text(page, "main");
    for (const part of [...world.backends, "choice", "Routes"])
      check(shown.includes(part), `${part}: ${shown}`);
    await page.getByLabel("Show only").fill(world.backends[1]);
    await page.getByRole("button", { name: "Filter" }).click();
    check(!(await text(page, "#pools")).includes(world.backends[0]), "the filter does nothing");
    await page.getByRole("button", { name: `Drain ${world.backends[1]}` }).click();
    await page.getByText("gets no new requests").waitFor();
    check(new URL(page.url()).searchParams.get("find") === world.backends[1], page.url());
    await page.getByRole("button", { name: `Take back ${world.backends[1]}` }).click();
    await page.getByText("gets requests again").waitFor();
    check(wrong.length === 0, wrong.join("; "));
    await context.close();
  },

  async keyboard_and_names(browser) {
    const { context, page } = await opened(browser);
    await page.goto(world.open);
    await page.keyboard.press("Tab");
    check(
      (await page.evaluate(() => document.activeElement.className)) === "skip",
      "no way past the head",
    );
    for (const landmark of ["banner", "main", "navigation", "search", "contentinfo"])
      check((await page.getByRole(landmark).count()) === 1, `landmark ${landmark}`);
    const nameless = await page.evaluate(() =>
      [
        ...[...document.querySelectorAll("table")].filter((t) => !t.caption?.textContent.trim()),
        ...[...document.querySelectorAll("svg")].filter((s) => !s.getAttribute("aria-label")),
        ...[...document.querySelectorAll("input:not([type=hidden])")].filter(
          (i) => !i.labels.length,
        ),
      ].map((e) => e.outerHTML.slice(0, 100)),
    );
    check(nameless.length === 0, `without a name: ${nameless}`);
    const states = await page.locator(".state").allTextContents();
    for (const state of states) check(/^[●○▲✖] \S/u.test(state), `no sign: ${state}`);
    await context.close();
  },

  async contrast_in_light_and_dark(browser) {
    for (const colorScheme of ["light", "dark"]) {
      const { context, page } = await opened(browser, { colorScheme });
      await page.goto(world.open);
      await isLive(page);
      const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      check(
        (back === "rgb(255, 255, 255)") === (colorScheme === "light"),
        `${colorScheme}: ${back}`,
      );
      const found = await page.evaluate(pale);
      check(found.length === 0, `${colorScheme}: ${found.slice(0, 5).join("; ")}`);
      await context.close();
    }
  },

  async numbers_of_a_proxy_that_hangs_are_said_to_be_old(browser) {
    const { context, page } = await opened(browser);
    await page.goto(world.open);
    await isLive(page);
    process.kill(world.pid, "SIGSTOP");
    try {
      await page.getByText("these are old").waitFor();
    } finally {
      process.kill(world.pid, "SIGCONT");
    }
    await isLive(page);
    await context.close();
  },

  async widths_from_390_to_1600(browser) {
    for (const width of [390, 768, 1280, 1600]) {
      const { context, page } = await opened(browser, { viewport: { width, height: 844 } });
      await page.goto(world.open);
      await isLive(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      check(wide <= width, `${width}: the page is ${wide} wide`);
      await context.close();
    }
  },
};

const browser = await chromium.launch({
  executablePath: world.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
});
try {
  for (const [name, run] of Object.entries(cases)) {
    let why = "";
    try {
      await run(browser);
    } catch (error) {
      why = String(error.message).split("\n").slice(0, 4).join(" ");
    }
    console.log(JSON.stringify({ case: name, why }));
  }
} finally {
  await browser.close();
}
