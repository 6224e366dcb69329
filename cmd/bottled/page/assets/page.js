// What has changed on the server replaces what the page shows. Everything can be read and decided without this.

const connection = document.getElementById("connection");

function say(text) {
	connection.textContent = text;
	connection.hidden = text === "";
}

// age says how long ago a time was, or how far away it is.
function age(then) {
	const seconds = Math.round((Date.now() - then) / 1000), n = Math.abs(seconds);
	const text = n < 60 ? n + " s" : n < 3600 ? Math.floor(n / 60) + " min" : n < 172800 ? Math.floor(n / 3600) + " h" : Math.floor(n / 86400) + " days";
	return seconds < 0 ? "in " + text : text + " ago";
}

function showAges(root) {
	for (const t of root.querySelectorAll("time[datetime]")) {
		t.title ||= t.textContent;
		const text = age(Date.parse(t.dateTime));
		if (t.textContent !== text) t.textContent = text;
	}
}

// element makes the element of a piece. The server has escaped everything in it.
function element(html) {
	const t = document.createElement("template");
	t.innerHTML = html;
	return t.content.firstElementChild;
}

// keep carries over what somebody has typed, opened and focused.
function keep(from, to) {
	const fields = to.querySelectorAll("input:not([type=hidden]),textarea,select");
	from.querySelectorAll("input:not([type=hidden]),textarea,select").forEach((f, i) => {
		if (fields[i]?.name !== f.name) return;
		if (f.type === "checkbox") fields[i].checked = f.checked;
		else if (f.value !== f.defaultValue) fields[i].value = f.value;
	});
	const details = to.querySelectorAll("details");
	from.querySelectorAll("details").forEach((d, i) => { if (details[i]) details[i].open = d.open; });
}

const focusable = "a,button,input,select,textarea,summary,pre";

function replace(from, to) {
	const focused = from.contains(document.activeElement) ? [...from.querySelectorAll(focusable)].indexOf(document.activeElement) : -1;
	keep(from, to);
	from.replaceWith(to);
	if (focused >= 0) to.querySelectorAll(focusable)[focused]?.focus({preventScroll: true});
}

function update(u) {
	const list = document.getElementById(u.list);
	if (!list) return;
	const wanted = new Set(u.order);
	for (const child of [...list.children]) if (!wanted.has(child.id)) child.remove();
	let before = null;
	for (const id of u.order) {
		let piece = document.getElementById(id);
		if (u.html[id] !== undefined) {
			const fresh = element(u.html[id]);
			showAges(fresh);
			if (piece) { if (!piece.isEqualNode(fresh)) { replace(piece, fresh); piece = fresh; } } else piece = fresh;
		}
		if (!piece) continue;
		const place = before ? before.nextElementSibling : list.firstElementChild;
		if (piece !== place) list.insertBefore(piece, place);
		before = piece;
	}
}

// A decided proposal is another page.
let state;

function follow(address) {
	const source = new EventSource(address);
	source.addEventListener("open", () => say(""));
	source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED ? "The session has ended. Run bottled web for another link." : "No connection to the controller; trying again."));
	source.addEventListener("ended", () => { source.close(); say("The session has ended. Run bottled web for another link."); });
	source.addEventListener("lists", e => {
		for (const u of JSON.parse(e.data)) update(u);
		const now = document.getElementById("proposal-now")?.dataset.state;
		if (state !== undefined && now !== undefined && now !== state) location.reload();
		state = now ?? state;
	});
	addEventListener("pagehide", () => source.close());
	addEventListener("pageshow", e => { if (e.persisted) location.reload(); });
}

const maxLines = 2000;

// Logs are read while they are open.
for (const pane of document.querySelectorAll("pre[data-log]")) {
	let source;
	pane.parentElement.addEventListener("toggle", () => {
		source?.close();
		pane.textContent = "";
		if (!pane.parentElement.open) return;
		// EventSource asks for text/event-stream, and so gets the lines as they come.
		source = new EventSource(pane.dataset.log);
		source.addEventListener("line", e => {
			const atEnd = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 4;
			pane.append(JSON.parse(e.data) + "\n");
			while (pane.childNodes.length > maxLines) pane.firstChild.remove();
			if (atEnd) pane.scrollTop = pane.scrollHeight;
		});
		source.addEventListener("error", () => source.close());
	});
}

const keys = document.getElementById("keys");

function step(by) {
	const all = [...document.querySelectorAll("[data-step]")], at = all.indexOf(document.activeElement);
	all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
}

document.addEventListener("keydown", e => {
	if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input,textarea,select,dialog")) return;
	const actions = {"/": () => document.getElementById("filter")?.focus(), j: () => step(1), k: () => step(-1), h: () => { location.href = "/"; }, "?": () => keys.showModal()};
	if (!actions[e.key]) return;
	e.preventDefault();
	actions[e.key]();
});

showAges(document);
setInterval(() => showAges(document), 10000);
if (document.body.dataset.live) follow(document.body.dataset.live);
