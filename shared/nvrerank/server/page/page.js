// The page for a person. The server answers with the table; here rows are only dimmed and reordered.
const find = (id) => document.getElementById(id);
const [form, query, passages, key, result] = ["ask", "query", "passages", "key", "result"].map(find);
let scores = []; // of the rows, best first; null for a blank passage

const split = (text) => text.split(/\r?\n[ \t]*\r?\n/).map((part) => part.trim()).filter(Boolean);
const counted = (number) => `${number} passage${number === 1 ? "" : "s"}`;

function say(words, failed = false) {
  find("say").textContent = words;
  find("say").classList.toggle("error", failed);
}

function count() {
  find("count").textContent = counted(split(passages.value).length);
}

async function open(file) {
  passages.value = await file.text();
  count();
}

async function rank() {
  const headers = { "content-type": "application/json" };
  if (key.value) headers.authorization = `Bearer ${key.value}`;
  const body = JSON.stringify({ query: query.value, passages: split(passages.value) });
  const answer = await fetch("page/rank", { method: "POST", headers, body });
  const told = await answer.json();
  if (answer.status === 401) {
    key.hidden = false;
    key.focus();
  }
  if (!answer.ok) throw new Error(told.message ?? answer.statusText);
  show(told);
}

function show(told) {
  find("table").innerHTML = told.table; // made by the server, every text in it escaped
  scores = told.scores;
  const known = scores.filter((score) => score !== null);
  const slider = find("threshold");
  [slider.min, slider.max] = [Math.min(...known), Math.max(...known)];
  slider.value = slider.min;
  document.querySelector("[name=order][value=rank]").checked = true;
  result.hidden = false;
  cut();
}

const rows = () => [...find("table").querySelectorAll("tbody tr")];
const cell = (row, name) => Number(row.querySelector(`[data-name="${name}"]`).textContent);

function cut() {
  const least = Number(find("threshold").value);
  let kept = 0;
  for (const row of rows()) {
    const score = scores[cell(row, "rank") - 1];
    const stays = score !== null && score >= least - 1e-9;
    row.classList.toggle("cut", !stays);
    kept += stays;
  }
  find("kept").textContent = `${kept} of ${counted(scores.length)} score ${least.toFixed(2)} or more`;
}

function reorder(name) {
  const body = find("table").querySelector("tbody");
  body.append(...rows().sort((one, other) => cell(one, name) - cell(other, name)));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  say("");
  try {
    await rank();
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
});
passages.addEventListener("input", count);
find("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
find("threshold").addEventListener("input", cut);
for (const one of document.querySelectorAll("[name=order]")) {
  one.addEventListener("change", () => reorder(one.value));
}
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  passages.addEventListener(kind, (event) => {
    event.preventDefault();
    passages.classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}
find("example").addEventListener("click", () => {
  query.value = "How do I make a class iterable?";
  passages.value = [
    "A list can be sorted in place with its method sort, or copied in order by the function sorted.",
    "Bananas ripen faster in a paper bag, because it keeps the gas that they give off.",
    "An object is iterable when its class defines __iter__, which returns an iterator; a generator will do.",
    "The for statement asks its object for an iterator and calls next on it until StopIteration is raised.",
    "A class is defined by the keyword class, followed by its name and the classes that it inherits from.",
  ].join("\n\n");
  count();
});
count();
