// The playground's page: plain DOM, no build step.
//
// Everything that people or the bot wrote becomes a text node; nothing is ever
// parsed as HTML. The page holds no truth of its own: it draws what the server
// says (api/state, api/messages), and the live connection (api/events) tells
// what changed.
//
// For browser tests, elements keep these data-testid values:
//   person-<id>, nav-home, conv-<id>, unread         left column
//   back, room-title                                 head of the conversation
//   stream, message (data-id), text, private-note    the stream; the same inside thread
//   card (data-ticket, data-version, data-tone), card-title, badge, fact, card-body, card-note,
//   row, row-action, fact-action, action (data-verb, data-label), more
//   menu, menu-item (data-verb, data-label)          the open menu, if any
//   react-<name>, reaction (data-emoji), tools-menu  on a message
//   composer-input, composer-send, chip, suggestion, file-input, new-ticket, file
//   thread, thread-open, thread-close, thread-input, thread-send
//   form, input-<name>, error-<name>, form-submit, form-cancel
//   confirm, confirm-ok, confirm-cancel
//   home, home-card, toast, offline, welcome, earlier, edit-cancel
//   guide, guide-do, guide-close
//   clock, advance-1h, advance-8h, advance-1d, lang-toggle
// <body data-live="1"> means: state is loaded and the live connection is open.
// The address keeps the place: #as=lisi&conv=g-desk&thread=12

import { words } from './words.js';

// ---------------------------------------------------------------- small tools

/** h makes an element. Strings become text nodes; on<event> keys become listeners. */
function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else if (k === 'class') el.className = v;
    else if (k === 'testid') el.dataset.testid = v;
    else if (k === 'data') Object.assign(el.dataset, v);
    else if (k === 'value') el.value = v;
    else el.setAttribute(k, v === true ? '' : v);
  }
  el.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false && c !== ''));
  return el;
}

const icons = {
  back: 'M15 5l-7 7 7 7', close: 'M6 6l12 12M18 6L6 18', send: 'M4 12l16-8-6 16-3-7z', clip: 'M8 12l6-6a3 3 0 0 1 5 5l-8 8a5 5 0 0 1-7-7l8-8',
  ticket: 'M4 7h16v3a2 2 0 0 0 0 4v3H4v-3a2 2 0 0 0 0-4zM14 7v2M14 11v2M14 15v2', dots: 'M5.500 11.500v1M12 11.500v1M18.500 11.500v1', reply: 'M4 5h16v11H10l-4 4v-4H4z',
  down: 'M6 9l6 6 6-6', clock: 'M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M12 7v5l3 2', file: 'M7 3h7l5 5v13H7zM14 3v5h5', home: 'M4 11l8-7 8 7v9h-5v-6H9v6H4z', lock: 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3',
  group: 'M9 11a3 3 0 1 0 0-6a3 3 0 0 0 0 6M3 19c0-3.500 3-5 6-5s6 1.500 6 5M16 5.500a3 3 0 0 1 0 5M18 14.500c2 .700 3 2.300 3 4.500',
};

function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

const reactions = [
  ['ticket', '🎫'], ['eyes', '👀'], ['white_check_mark', '✅'], ['rotating_light', '🚨'], ['double_vertical_bar', '⏸️'], ['repeat', '🔁'],
];
const emojiOf = (name) => (reactions.find((r) => r[0] === name) || [name, ':' + name + ':'])[1];

// ---------------------------------------------------------------- what we know

const S = {
  me: '', people: [], convs: [], unread: {}, home: null, zone: 'Asia/Shanghai', maxFile: 25 << 20, rev: 0,
  ahead: 0, skew: 0, // of the bot's clock: from the real time, from ours; ms
  place: 'home', // a conversation's id, or home
  thread: 0,
  messages: new Map(), // by id: everything loaded of what I see
  more: {}, // by conversation: there is something earlier
  loaded: new Set(), // conversations and threads
  editing: null, // message being edited
  drafts: {}, // by place: what is typed
  files: {}, // by place: what will be sent along
  lang: 'zh',
  guide: 1, // step of the first walk; 0 when it is over
};

const $ = (id) => document.getElementById(id);
const t = (key, args) => {
  let s = words[S.lang][args && args.n === 1 && words[S.lang][key + '1'] ? key + '1' : key];
  for (const [k, v] of Object.entries(args || {})) s = s.replaceAll('{' + k + '}', v);
  return s;
};
const person = (id) => S.people.find((p) => p.id === id);
const nameOf = (p) => (p ? (S.lang === 'en' ? p.name_en : p.name) : S.bot || 'Paidan');
const roleOf = (p) => (S.lang === 'en' ? p.role_en : p.role);
const conv = (id) => S.convs.find((c) => c.id === id);
const convName = (c) => (S.lang === 'en' ? c.name_en : c.name);
const kindOf = (id) => ({ wangfang: 'customer', zhaomin: 'lead', chenzong: 'manager' })[id] || 'agent';
const botNow = () => Date.now() + S.skew;

function timeText(ms) {
  return new Intl.DateTimeFormat(S.lang === 'en' ? 'en-GB' : 'zh-CN', { timeZone: S.zone, hour: '2-digit', minute: '2-digit', hour12: false }).format(ms);
}
function dayKey(ms) {
  return new Intl.DateTimeFormat('en-CA', { timeZone: S.zone }).format(ms);
}
function dayText(ms) {
  const key = dayKey(ms);
  if (key === dayKey(botNow())) return t('today');
  if (key === dayKey(botNow() - 864e5)) return t('yesterday');
  return new Intl.DateTimeFormat(S.lang === 'en' ? 'en-GB' : 'zh-CN', { timeZone: S.zone, month: 'long', day: 'numeric', weekday: 'short' }).format(ms);
}
function spanText(ms) {
  const hours = Math.round(ms / 36e5);
  return hours >= 24 && hours % 24 === 0 ? t('days', { n: hours / 24 }) : hours >= 48 ? t('days', { n: Math.floor(hours / 24) }) + ' ' + t('hours', { n: hours % 24 }) : t('hours', { n: hours });
}

// ---------------------------------------------------------------- the server

class Refusal extends Error {
  constructor(key, says) {
    super(words[S.lang].errors[key] || says || words[S.lang].errors.internal);
  }
}

async function call(path, options) {
  let res;
  try {
    res = await fetch('api/' + path, options);
  } catch {
    throw new Refusal('network');
  }
  const body = await res.json().catch(() => null);
  if (!res.ok || !body) throw new Refusal(body && body.error, body && body.says);
  return body;
}

const get = (path, query) => call(path + '?' + new URLSearchParams({ as: S.me, ...query }));
const post = (path, body) => call(path, {
  method: 'POST', headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ as: S.me, lang: S.lang === 'en' ? 'en' : 'zh-CN', ...body }),
});

/** perform runs an act of the visitor and shows its refusal as a sentence. */
async function perform(fn, busy) {
  if (busy) {
    busy.disabled = true;
    busy.setAttribute('aria-busy', 'true');
  }
  try {
    return await fn();
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    toast(err.message, 'bad');
    return null;
  } finally {
    if (busy) {
      busy.disabled = false;
      busy.removeAttribute('aria-busy');
    }
  }
}

/** heard shows what the bot said to an act. ctx is where a form's answer goes. */
function heard(out, ctx) {
  if (!out) return;
  if (out.pending) toast(t('pending'));
  const r = out.reply || {};
  if (r.toast) toast(r.toast);
  if (r.form && r.form.form) openForm(r.form, ctx);
}

let live = null;
let retry = 0;

function connect() {
  if (live) live.close();
  clearTimeout(retry);
  const me = S.me;
  live = new EventSource('api/events?' + new URLSearchParams({ as: me, since: S.rev }));
  live.onopen = () => online(true);
  live.onerror = () => {
    online(false);
    // The browser reconnects by itself unless the server refused.
    if (live.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000);
  };
  const on = (kind, fn) => live.addEventListener(kind, (ev) => {
    if (S.me !== me) return;
    if (ev.lastEventId) S.rev = Math.max(S.rev, Number(ev.lastEventId));
    fn(JSON.parse(ev.data));
  });
  on('message', received);
  on('unread', (u) => {
    S.unread = u;
    drawPeople();
    drawConvs();
    markRead();
  });
  on('home', (c) => {
    S.home = c;
    if (S.place === 'home') drawRoom();
  });
  on('clock', setClock);
}

function online(yes) {
  $('offline').hidden = yes;
  document.body.dataset.live = yes ? '1' : '';
}

function received(m) {
  const old = S.messages.get(m.id);
  if (old && old.rev >= m.rev) return;
  const c = conv(m.conv);
  if (m.deleted) S.messages.delete(m.id);
  else S.messages.set(m.id, m);
  if (c && (!c.last || m.id >= c.last.id)) c.last = m.deleted ? latest(m.conv) : m;
  const changed = old && JSON.stringify(old.card) !== JSON.stringify(m.card);
  drawConvs();
  if (m.conv === S.place) {
    drawStream();
    if (S.thread) drawThread();
    if (changed) flash(m.id);
  }
  markRead();
}

function latest(convID) {
  let out;
  for (const m of S.messages.values()) if (m.conv === convID && (!out || m.id > out.id)) out = m;
  return out;
}

function flash(id) {
  for (const el of document.querySelectorAll(`[data-testid="message"][data-id="${id}"]`)) {
    el.classList.remove('flash');
    void el.offsetWidth; // begins the animation anew
    el.classList.add('flash');
  }
}

function setClock(c) {
  S.skew = c.now - Date.now();
  S.ahead = c.offset;
  drawClock();
}

function markRead() {
  if (document.hidden || S.place === 'home' || !(S.unread[S.me] || {})[S.place]) return;
  if (matchMedia('(max-width: 720px)').matches && $('app').dataset.view === 'list') return;
  let upto = 0;
  for (const m of S.messages.values()) if (m.conv === S.place) upto = Math.max(upto, m.id);
  if (upto) post('read', { conv: S.place, upto }).catch(() => { /* the dot stays; the next look tries again */ });
}

// ---------------------------------------------------------------- moving about

/** become switches to a person and opens place, or what that person should look at first. */
async function become(id, place, thread) {
  if (live) live.close();
  document.body.dataset.live = '';
  closeMenu();
  const s = await perform(() => call('state?' + new URLSearchParams({ as: id })));
  if (!s) {
    online(false);
    retry = setTimeout(() => become(id, place, thread), 2000);
    return;
  }
  Object.assign(S, { me: s.me, people: s.people, convs: s.convs, unread: s.unread, home: s.home || null, zone: s.zone, rev: s.rev, bot: s.bot, maxFile: s.max_file });
  S.messages.clear();
  S.loaded.clear();
  S.more = {};
  S.editing = null;
  S.thread = 0;
  setClock(s.clock);
  const waiting = S.convs.find((c) => (S.unread[S.me] || {})[c.id]);
  const here = place === 'home' || conv(place) ? place : (waiting || S.convs[0] || { id: 'home' }).id;
  drawAll();
  connect();
  await open(here, thread);
}

async function open(place, thread, show) {
  S.place = place;
  S.thread = 0;
  S.editing = null;
  if (show) $('app').dataset.view = 'room';
  remember();
  drawConvs();
  drawRoom();
  drawThread();
  if (place === 'home') {
    heard(await perform(() => post('home', {})), {});
    return;
  }
  await load(place);
  if (S.place !== place) return;
  drawStream(true);
  markRead();
  if (thread) openThread(thread);
}

async function load(place, before) {
  if (S.loaded.has(place) && !before) return;
  const me = S.me;
  const out = await perform(() => get('messages', { conv: place, ...(before && { before }) }));
  if (!out || S.me !== me) return;
  S.loaded.add(place);
  S.more[place] = out.more;
  keep(out.messages);
}

function keep(list) {
  for (const m of list) {
    const old = S.messages.get(m.id);
    if (!old || old.rev <= m.rev) S.messages.set(m.id, m);
  }
}

async function openThread(id) {
  S.thread = id;
  S.editing = null;
  remember();
  drawThread();
  const key = 'thread-' + id;
  if (!S.loaded.has(key)) {
    const me = S.me;
    const out = await perform(() => get('messages', { conv: S.place, thread: id }));
    if (!out || S.me !== me) return;
    S.loaded.add(key);
    keep(out.messages);
  }
  if (S.thread === id) {
    drawThread(true);
    $('thread').querySelector('textarea')?.focus({ preventScroll: true });
  }
}

function closeThread() {
  const id = S.thread;
  S.thread = 0;
  remember();
  drawThread();
  document.querySelector(`#stream [data-id="${id}"] .thread-link`)?.focus();
}

function remember() {
  const q = new URLSearchParams({ as: S.me, conv: S.place });
  if (S.thread) q.set('thread', S.thread);
  history.replaceState(null, '', '#' + q);
}

// ---------------------------------------------------------------- the frame

function avatar(id, size) {
  if (!id) return h('span', { class: 'avatar bot ' + (size || ''), 'aria-hidden': 'true' }, icon('ticket'));
  const i = S.people.findIndex((p) => p.id === id);
  const n = nameOf(person(id));
  const letters = S.lang === 'en' ? n.split(' ').map((w) => w[0]).join('').slice(0, 2) : n.slice(-1);
  return h('span', { class: `avatar a${i % 6} ${size || ''}`, 'aria-hidden': 'true' }, letters);
}

function drawAll() {
  document.documentElement.lang = S.lang === 'en' ? 'en' : 'zh-CN';
  document.title = 'Paidan 派单 · ' + t('title');
  $('app').replaceChildren(
    h('header', { class: 'top' },
      h('img', { src: 'icon.svg', alt: '', class: 'logo', width: 30, height: 30 }),
      h('h1', {}, h('b', {}, S.lang === 'en' ? 'Paidan' : 'Paidan 派单'), h('span', {}, t('title'))),
      h('span', { class: 'demo', title: t('demoWhy') }, t('demo')),
      h('div', { class: 'clock', role: 'group', 'aria-label': t('clock'), title: t('clockWhy') },
        h('span', { class: 'time' }, icon('clock'), h('time', { id: 'clock', testid: 'clock' }), h('small', { id: 'ahead' })),
        [['1h', 3600, 'h1'], ['8h', 8 * 3600, 'h8'], ['1d', 86400, 'd1']].map(([id, seconds, label]) =>
          h('button', { class: 'quiet', testid: 'advance-' + id, onclick: (ev) => advance(seconds, ev.currentTarget) }, t(label)))),
      h('button', { class: 'quiet lang', testid: 'lang-toggle', 'aria-label': t('langLabel'), onclick: toggleLang }, t('lang'))),
    h('div', { id: 'offline', testid: 'offline', role: 'alert', hidden: true }, h('span', { class: 'spin' }), t('offline')),
    h('main', {},
      h('nav', { id: 'side' },
        h('section', { class: 'who' }, h('h2', {}, t('youAre'), h('small', {}, t('switchHint'))), h('div', { id: 'people', role: 'group', 'aria-label': t('persons') })),
        h('section', { class: 'places' }, h('h2', {}, t('groups')), h('ul', { id: 'convs' }))),
      h('section', { id: 'room' }),
      h('aside', { id: 'thread', testid: 'thread', hidden: true, 'aria-label': t('thread') })));
  drawClock();
  drawPeople();
  drawConvs();
  drawRoom();
  drawThread();
}

function drawClock() {
  if (!$('clock')) return;
  const now = botNow();
  const lang = S.lang === 'en' ? 'en-GB' : 'zh-CN';
  const day = new Intl.DateTimeFormat(lang, { timeZone: S.zone, month: 'short', day: 'numeric', weekday: 'short' }).format(now);
  const text = day + ' ' + timeText(now);
  if ($('clock').textContent !== text) $('clock').textContent = text;
  const ahead = S.ahead > 6e4 ? t('ahead', { d: spanText(S.ahead) }) : '';
  if ($('ahead').textContent !== ahead) $('ahead').textContent = ahead;
}

async function advance(seconds, button) {
  if (await perform(() => post('advance', { seconds }), button)) toast(t('advanced', { d: spanText(seconds * 1000) }));
}

function toggleLang() {
  S.lang = S.lang === 'en' ? 'zh' : 'en';
  try {
    localStorage.setItem('paidan-lang', S.lang);
  } catch { /* private mode: it holds until the page closes */ }
  seen.clear();
  const off = $('offline').hidden;
  drawAll();
  $('offline').hidden = off;
  document.querySelector('[data-testid="lang-toggle"]').focus();
}

function drawPeople() {
  const el = $('people');
  if (!el) return;
  const focus = document.activeElement?.dataset.testid;
  el.replaceChildren(...S.people.map((p) => {
    const n = Object.values(S.unread[p.id] || {}).reduce((a, b) => a + b, 0);
    const me = p.id === S.me;
    return h('button', { class: 'person', testid: 'person-' + p.id, 'aria-pressed': String(me), onclick: () => become(p.id, me ? S.place : undefined) },
      avatar(p.id, 'large'),
      h('span', { class: 'label' }, h('b', {}, nameOf(p)), h('small', {}, roleOf(p))),
      !me && n > 0 && h('span', { class: 'dot', title: t('unread', { n }), 'aria-label': t('unread', { n }) }, n > 99 ? '99+' : String(n)));
  }));
  if (focus?.startsWith('person-')) el.querySelector(`[data-testid="${focus}"]`)?.focus();
}

function preview(m) {
  if (!m) return t('empty');
  let card = m.card && (m.card.alt || m.card.title || m.card.body || t('cardWord'));
  const text = card || m.text || (m.files && m.files.length ? t('fileCard') + ' ' + m.files[0].name : '');
  const c = conv(m.conv);
  return (m.author && c && !c.private ? nameOf(person(m.author)) + ': ' : '') + text;
}

function drawConvs() {
  const el = $('convs');
  if (!el) return;
  const focus = document.activeElement?.dataset.testid;
  const item = (id, cls, sign, name, line, when, n, testid) => h('li', {},
    h('button', { class: 'conv ' + cls, testid, 'aria-current': S.place === id ? 'page' : undefined, onclick: () => open(id, 0, true) },
      h('span', { class: 'sign' }, sign),
      h('span', { class: 'label' }, h('span', { class: 'line1' }, h('b', {}, name), when && h('time', {}, when)), h('small', {}, line)),
      n > 0 && h('span', { class: 'dot', testid: 'unread', 'aria-label': t('unread', { n }) }, n > 99 ? '99+' : String(n))));
  el.replaceChildren(
    ...S.convs.map((c) => item(c.id, c.private ? 'private' : 'group', icon(c.private ? 'reply' : 'group'), convName(c), preview(c.last),
      c.last && (dayKey(c.last.at) === dayKey(botNow()) ? timeText(c.last.at) : dayText(c.last.at)), (S.unread[S.me] || {})[c.id] || 0, 'conv-' + c.id)),
    item('home', 'home', icon('home'), t('mine'), t('mineAbout'), '', 0, 'nav-home'));
  if (focus?.startsWith('conv-') || focus === 'nav-home') el.querySelector(`[data-testid="${focus}"]`)?.focus();
}

// ---------------------------------------------------------------- the room

function drawRoom() {
  const room = $('room');
  if (!room) return;
  const c = conv(S.place);
  const head = h('header', { class: 'head' },
    h('button', { class: 'icon-button back', testid: 'back', 'aria-label': t('back'), onclick: () => { $('app').dataset.view = 'list'; } }, icon('back')),
    h('div', { class: 'label' },
      h('h2', { testid: 'room-title' }, c ? convName(c) : t('mine')),
      h('small', {}, c ? (S.lang === 'en' ? c.about_en : c.about) : t('mineAbout'))),
    c && !c.private && h('div', { class: 'members', title: c.members.map((m) => nameOf(person(m))).join(S.lang === 'en' ? ', ' : '、') },
      c.members.map((m) => avatar(m, 'small')), h('small', {}, t('members', { n: c.members.length }))));
  if (!c) {
    room.replaceChildren(head, h('div', { class: 'scroll home', testid: 'home' },
      S.home ? h('div', { class: 'page', testid: 'home-card' }, drawCard(S.home, {})) : h('p', { class: 'nothing' }, t('homeEmpty'))));
    return;
  }
  room.replaceChildren(head, h('div', { id: 'guide' }),
    pinned(h('div', { class: 'scroll', id: 'scroll' }, h('ol', { id: 'stream', testid: 'stream', role: 'log', 'aria-label': convName(c) }))),
    composer(S.place, 0));
  drawStream(true);
}

/**
 * pinned keeps a scroller at its end, whatever happens to its size or to what is
 * in it, until the reader scrolls up; it is pinned again when he comes back down.
 * A scroller that is not shown (a phone shows one thing at a time) has no size,
 * so that scrolling it once, when it is filled, is not enough.
 */
function pinned(el) {
  let top = 0;
  el.pinned = true;
  const toEnd = () => { if (el.pinned) el.scrollTop = el.scrollHeight; };
  el.addEventListener('scroll', () => {
    if (!el.clientHeight) return;
    if (el.scrollHeight - el.scrollTop - el.clientHeight < 80) el.pinned = true;
    else if (el.scrollTop < top) el.pinned = false;
    top = el.scrollTop;
  });
  const watch = new ResizeObserver(toEnd);
  watch.observe(el);
  watch.observe(el.firstElementChild);
  return el;
}

// What was drawn: by place and message, so that what did not change stays as it
// is, with its focus and its animations.
const seen = new Map();

function entry(key, sign, make) {
  const old = seen.get(key);
  if (old && old.sign === sign) return old.el;
  const el = make();
  seen.set(key, { sign, el });
  return el;
}

/** place makes list the children of parent, touching only what differs. */
function place(parent, list) {
  list.forEach((el, i) => {
    if (parent.children[i] !== el) parent.insertBefore(el, parent.children[i] || null);
  });
  while (parent.children.length > list.length) parent.lastElementChild.remove();
}

function drawStream(toEnd) {
  const stream = $('stream');
  if (!stream) return;
  const all = [...S.messages.values()].filter((m) => m.conv === S.place && !m.thread).sort((a, b) => a.id - b.id);
  const scroll = $('scroll');
  if (toEnd) scroll.pinned = true;
  const list = [];
  if (S.more[S.place]) {
    list.push(entry('earlier', S.lang + S.place, () => h('li', { class: 'earlier' }, h('button', {
      class: 'quiet', testid: 'earlier', onclick: async (ev) => {
        const button = ev.currentTarget;
        const from = scroll.scrollHeight - scroll.scrollTop;
        scroll.pinned = false;
        button.disabled = true;
        const first = [...S.messages.values()].filter((m) => m.conv === S.place && !m.thread).reduce((a, m) => Math.min(a, m.id), Infinity);
        await load(S.place, first);
        button.disabled = false;
        drawStream();
        scroll.scrollTop = scroll.scrollHeight - from;
      },
    }, t('earlier')))));
  }
  list.push(...rows(all, 'room'));
  if (!all.length && S.loaded.has(S.place)) list.push(entry('welcome', [S.lang, S.place, S.me].join(), welcome));
  place(stream, list);
  if (scroll.pinned) scroll.scrollTop = scroll.scrollHeight;
  drawGuide();
}

/** rows are messages with the days between them. */
function rows(all, where) {
  const out = [];
  let last = null;
  for (const m of all) {
    const day = dayKey(m.at);
    if (!last || dayKey(last.at) !== day) {
      out.push(entry(where + 'day' + day, S.lang + dayText(m.at), () => h('li', { class: 'day' }, h('span', {}, dayText(m.at)))));
      last = null;
    }
    const joined = last && last.author === m.author && m.author && !last.card && m.at - last.at < 3e5 && !last.only_for_me && !m.only_for_me;
    out.push(entry(where + m.id, [m.rev, S.lang, S.me, joined].join(), () => drawMessage(m, where, joined)));
    last = m;
  }
  return out;
}

// ---------------------------------------------------------------- the first walk

/** go becomes somebody in a conversation and fills in the first thing to say there. */
async function go(who, where, chip) {
  if (S.me !== who || S.place !== where) await become(who, where);
  const el = document.querySelector('[data-testid="composer-input"]');
  if (!chip || !el) return;
  el.value = t('prefix') + words[S.lang].chips[chip][0];
  el.dispatchEvent(new Event('input'));
  el.focus();
}

/** walked takes the guide from one step to the next; it does nothing at any other step. */
function walked(from, to) {
  if (S.guide !== from || from === to) return;
  S.guide = to;
  try {
    localStorage.setItem('paidan-guide', String(to));
  } catch { /* private mode: it holds until the page closes */ }
  if (!to && from === 3) toast(t('guideDone'));
  drawGuide();
}

const guideSteps = [null, ['wangfang', 'g-east', 'customer'], ['lisi', 'g-desk'], ['wangfang', 'g-east']];

/** drawGuide shows the step that is next, in one line, once the welcome has been left. */
function drawGuide() {
  const el = $('guide');
  if (!el) return;
  const n = S.guide;
  const asked = n === 1 && [...S.messages.values()].some((m) => m.conv === S.place && m.author === 'wangfang'); // in another browser
  el.hidden = !n || asked || Boolean(document.querySelector('#stream [data-testid="welcome"]'));
  el.replaceChildren();
  if (el.hidden) return;
  const [who, where, chip] = guideSteps[n];
  const there = S.me === who && S.place === where;
  el.append(h('div', { class: 'guide', testid: 'guide', data: { step: n } },
    h('b', {}, n + '/3'), h('span', {}, t('g' + n + (there ? 'there' : ''))),
    (!there || chip) && h('button', { class: 'button small primary', testid: 'guide-do', onclick: () => go(who, where, chip) }, t(there ? 'fillIn' : 'w' + n + 'do')),
    h('button', { class: 'icon-button', testid: 'guide-close', 'aria-label': t('guideClose'), title: t('guideClose'), onclick: () => walked(n, 0) }, icon('close'))));
}

function welcome() {
  const c = conv(S.place);
  const box = (head, ...rest) => h('li', { class: 'welcome', testid: 'welcome' }, h('h3', {}, head), ...rest);
  if (c.private) return box(t('welcomePrivate'), h('p', {}, t('welcomePrivateText')));
  if (S.place === 'g-desk') return box(t('welcomeDesk'), h('p', {}, t('welcomeDeskText')), h('button', { class: 'button', onclick: () => become('wangfang', 'g-east') }, t('welcomeDeskDo')));
  if (S.place === 'g-managers') {
    return box(t('welcomeManagers'), h('p', {}, t('welcomeManagersText')), h('button', { class: 'button', onclick: () => go('chenzong', 'g-managers', 'manager') }, t('welcomeManagersDo')));
  }
  return box(t('welcome'), h('ol', { class: 'steps' },
    h('li', {}, h('span', {}, t('w1')), h('button', { class: 'button primary', onclick: () => go('wangfang', 'g-east', 'customer') }, t('w1do'))),
    h('li', {}, h('span', {}, t('w2')), h('button', { class: 'button', onclick: () => become('lisi', 'g-desk') }, t('w2do'))),
    h('li', {}, h('span', {}, t('w3')), h('button', { class: 'button', onclick: () => become('wangfang', 'g-east') }, t('w3do')))),
  h('p', { class: 'hint' }, icon('clock'), t('w4')));
}

/** richText marks the mentions in a text. */
function richText(text) {
  const names = S.people.flatMap((p) => [p.name, p.name_en, p.id]).concat('工单', '派单', 'Paidan', 'ticket').sort((a, b) => b.length - a.length);
  const re = new RegExp('(?<![A-Za-z0-9_])@(?:' + names.join('|') + ')(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])@(?:' + names.filter((n) => !/[a-z]/i.test(n)).join('|') + ')', 'gi');
  const out = [];
  let end = 0;
  for (const m of text.matchAll(re)) {
    out.push(text.slice(end, m.index));
    const p = S.people.find((x) => [x.name, x.name_en, x.id].some((n) => n.toLowerCase() === m[0].slice(1).toLowerCase()));
    out.push(h('span', { class: 'mention' + (p && p.id === S.me ? ' me' : '') }, m[0]));
    end = m.index + m[0].length;
  }
  out.push(text.slice(end));
  return out;
}

function drawMessage(m, where, joined) {
  const me = m.author === S.me;
  const bot = !m.author;
  const inThread = where === 'thread';
  return h('li', { class: 'msg' + (joined ? ' joined' : '') + (m.only_for_me ? ' whisper' : '') + (bot ? ' from-bot' : ''), testid: 'message', data: { id: m.id, author: m.author || 'bot' } },
    h('span', { class: 'gutter' }, joined ? h('time', {}, timeText(m.at)) : avatar(m.author)),
    h('div', { class: 'content' },
      !joined && h('div', { class: 'by' }, h('b', {}, nameOf(person(m.author))), bot && h('span', { class: 'tag' }, t('bot')), me && h('span', { class: 'tag you' }, t('you')), h('time', {}, timeText(m.at)),
        m.only_for_me && h('span', { class: 'only', testid: 'private-note' }, icon('lock'), t('onlyYou'))),
      m.text && h('div', { class: 'text', testid: 'text' }, richText(m.text), m.edited && h('small', { class: 'edited' }, ' (' + t('edited') + ')')),
      m.card && drawCard(m.card, { message: m.id }),
      m.files && h('div', { class: 'files' }, m.files.map(drawFile)),
      m.only_for_me && h('button', { class: 'link', onclick: (ev) => perform(() => post('delete', { message: m.id }), ev.currentTarget) }, t('dismiss')),
      m.reactions && h('div', { class: 'reactions' }, m.reactions.map((r) => {
        const mine = r.people.includes(S.me);
        return h('button', { class: 'reaction', testid: 'reaction', data: { emoji: r.emoji }, 'aria-pressed': String(mine), title: r.people.map((p) => nameOf(person(p))).join(', '), onclick: (ev) => react(m, r.emoji, !mine, ev.currentTarget) },
          emojiOf(r.emoji), h('small', {}, String(r.people.length)));
      })),
      !inThread && m.replies > 0 && h('button', { class: 'thread-link', testid: 'thread-open', onclick: () => openThread(m.id) }, icon('reply'), t('replies', { n: m.replies }))),
    !m.only_for_me && tools(m, inThread));
}

function tools(m, inThread) {
  const mine = (name) => (m.reactions || []).some((r) => r.emoji === name && r.people.includes(S.me));
  const menu = (ev) => openMenu(ev.currentTarget, [
    ...(narrow() ? reactions.map(([name, sign]) => ({ label: sign, compact: true, pick: () => react(m, name, !mine(name)) })) : []),
    ...(inThread || !narrow() ? [] : [{ label: t('replyHere'), pick: () => openThread(m.thread || m.id) }]),
    ...(m.author ? [{ label: t('makeTicket'), pick: () => shortcut({ message: m.id }) }] : []),
    ...(m.author === S.me && m.text ? [{ label: t('edit'), pick: () => edit(m) }] : []),
    ...(m.author === S.me ? [{ label: t('del'), style: 'danger', pick: () => confirmed(t('delSure'), () => perform(() => post('delete', { message: m.id })), true) }] : []),
  ]);
  return h('div', { class: 'tools', role: 'group', 'aria-label': t('messageMenu') },
    reactions.map(([name, sign]) => h('button', { class: 'wide-only', testid: 'react-' + name, 'aria-label': t('react', { name }), title: name, onclick: (ev) => react(m, name, !mine(name), ev.currentTarget) }, sign)),
    !inThread && h('button', { class: 'wide-only', testid: 'thread-open', 'aria-label': t('replyHere'), title: t('replyHere'), onclick: () => openThread(m.id) }, icon('reply')),
    h('button', { class: m.author ? '' : 'narrow-only', testid: 'tools-menu', 'aria-label': t('messageMenu'), title: t('messageMenu'), 'aria-haspopup': 'menu', onclick: menu }, icon('dots')));
}

const narrow = () => matchMedia('(max-width: 720px)').matches;

async function react(m, emoji, on, button) {
  heard(await perform(() => post('react', { message: m.id, emoji, on }), button), { message: m.id });
}

async function shortcut(where, button) {
  heard(await perform(() => post('shortcut', where), button), where);
}

function fileURL(f) {
  return 'api/files/' + encodeURIComponent(f.id) + '?' + new URLSearchParams({ as: S.me });
}

function sizeText(n) {
  return n < 1024 ? n + ' B' : n < 1 << 20 ? Math.round(n / 1024) + ' KB' : (n / (1 << 20)).toFixed(1) + ' MB';
}

function drawFile(f) {
  const picture = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'].includes(f.type);
  return h('a', { class: 'file' + (picture ? ' picture' : ''), testid: 'file', href: fileURL(f), download: f.name, 'aria-label': t('download', { name: f.name }) },
    picture ? h('img', { src: fileURL(f), alt: f.name, loading: 'lazy' }) : icon('file'),
    h('span', {}, h('b', {}, f.name), h('small', {}, sizeText(f.size))));
}

// ---------------------------------------------------------------- cards

function drawCard(c, ctx) {
  const long = c.body && (c.body.length > 420 || c.body.split('\n').length > 8);
  const body = c.body && h('div', { class: 'card-body' + (long ? ' clipped' : ''), testid: 'card-body' }, c.body);
  // What somebody said, or a sentence of the bot's: nothing to press, nothing that changes.
  const light = !c.tone && !c.ticket && !c.form && ![c.actions, c.more, c.rows].some((x) => x?.length) && (c.facts || []).every((f) => f.wide && !f.action);
  return h('article', { class: 'card' + (light ? ' light' : ''), testid: 'card', data: { tone: c.tone || 'plain', ticket: c.ticket || '', version: c.version || 0 } },
    (c.title || (c.badges || []).length > 0) && h('header', {},
      c.title && h('h4', { testid: 'card-title' }, c.title),
      (c.ping || []).includes(S.me) && h('span', { class: 'badge ping', testid: 'badge' }, t('atYou')),
      (c.badges || []).map((b) => h('span', { class: 'badge', testid: 'badge' }, b))),
    (c.facts || []).length > 0 && h('dl', { class: 'facts' }, c.facts.map((f) => h('div', { class: f.wide ? 'wide' : '', testid: 'fact' },
      h('dt', {}, f.label), h('dd', {}, f.value, f.action && button(f.action, ctx, 'small', 'fact-action'))))),
    body,
    long && h('button', { class: 'link', 'aria-expanded': 'false', onclick: (ev) => {
      const open = body.classList.toggle('clipped') === false;
      ev.currentTarget.setAttribute('aria-expanded', String(open));
      ev.currentTarget.textContent = t(open ? 'collapse' : 'expand');
    } }, t('expand')),
    (c.rows || []).length > 0 && h('ul', { class: 'rows' }, c.rows.map((r) => h('li', { testid: 'row', data: { tone: r.tone || 'plain' } },
      h('span', { class: 'label' }, h('span', {}, r.text), r.detail && h('small', {}, r.detail)),
      (r.actions || []).length > 0 && h('span', { class: 'row-actions' }, r.actions.map((a) => button(a, ctx, 'small', 'row-action')))))),
    c.form && h('div', { class: 'actions' }, h('button', { class: 'button primary', testid: 'action', data: { verb: c.form.verb || '', label: c.form.submit || '' }, onclick: () => openForm(c, ctx) }, c.form.submit || t('submit'))),
    ((c.actions || []).length > 0 || (c.more || []).length > 0) && h('div', { class: 'actions' },
      (c.actions || []).map((a) => button(a, ctx, '', 'action')),
      (c.more || []).length > 0 && h('button', { class: 'button', testid: 'more', 'aria-haspopup': 'menu', 'aria-label': t('menuFor'), onclick: (ev) => {
        const anchor = ev.currentTarget;
        openMenu(anchor, c.more.map((a) => ({ label: a.label, verb: a.verb, style: a.style, url: a.url, pick: () => press(a, ctx, anchor) })));
      } }, t('more'), icon('down'))),
    c.note && h('footer', { testid: 'card-note' }, c.note));
}

function button(a, ctx, size, testid) {
  const cls = `button ${a.style || ''} ${size}`;
  const data = { verb: a.verb || '', label: a.label };
  if (a.url) return h('a', { class: cls, testid, data, href: a.url, target: '_blank', rel: 'noopener noreferrer' }, a.label);
  if ((a.options || []).length) {
    return h('button', { class: cls, testid, data, 'aria-haspopup': 'menu', onclick: (ev) => {
      const anchor = ev.currentTarget;
      openMenu(anchor, a.options.map((o) => ({ label: o.label, verb: a.verb, pick: () => press(a, ctx, anchor, o.value) })));
    } }, a.label, icon('down'));
  }
  return h('button', { class: cls, testid, data, onclick: (ev) => press(a, ctx, ev.currentTarget) }, a.label);
}

function press(a, ctx, anchor, value) {
  const send = async () => {
    const out = await perform(() => post('click', { ...ctx, token: a.token || '', ...(value !== undefined && { value }) }), anchor);
    heard(out, ctx);
    if (out && a.verb === 'confirm') walked(3, 0);
  };
  if (a.confirm) confirmed(a.confirm, send, a.style === 'danger', a.label);
  else send();
}

// ---------------------------------------------------------------- menus

let menuAnchor = null;
let menuTop = 0; // of the anchor, when the menu opened

function openMenu(anchor, items) {
  if (menuAnchor === anchor) {
    closeMenu();
    return;
  }
  const menu = $('menu');
  menu.replaceChildren(...items.map((i) => {
    const common = { role: 'menuitem', tabindex: '-1', testid: 'menu-item', class: `${i.style || ''}${i.compact ? ' compact' : ''}`, data: { verb: i.verb || '', label: i.label } };
    if (i.url) return h('a', { ...common, href: i.url, target: '_blank', rel: 'noopener noreferrer', onclick: () => closeMenu() }, i.label);
    return h('button', { ...common, onclick: () => { closeMenu(true); i.pick(); } }, i.label);
  }));
  menuAnchor = anchor;
  anchor.setAttribute('aria-expanded', 'true');
  menu.hidden = false;
  const r = anchor.getBoundingClientRect();
  menuTop = r.top;
  const w = menu.offsetWidth;
  const high = menu.offsetHeight;
  menu.style.left = Math.max(8, Math.min(r.left, innerWidth - w - 8)) + 'px';
  menu.style.top = (r.bottom + high + 8 < innerHeight ? r.bottom + 4 : Math.max(8, r.top - high - 4)) + 'px';
  menu.querySelector('[role="menuitem"]')?.focus({ preventScroll: true });
}

function closeMenu(focus) {
  if (!menuAnchor) return;
  menuAnchor.removeAttribute('aria-expanded');
  if (focus && menuAnchor.isConnected) menuAnchor.focus();
  menuAnchor = null;
  $('menu').hidden = true;
}

$('menu').addEventListener('keydown', (ev) => {
  const all = [...ev.currentTarget.querySelectorAll('[role="menuitem"]')];
  const i = all.indexOf(document.activeElement);
  const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: all.length - 1 }[ev.key];
  if (to !== undefined) {
    ev.preventDefault();
    all[(to + all.length) % all.length].focus();
  } else if (ev.key === 'Escape' || ev.key === 'Tab') {
    ev.preventDefault();
    ev.stopPropagation();
    closeMenu(true);
  }
});
document.addEventListener('pointerdown', (ev) => {
  if (menuAnchor && !$('menu').contains(ev.target) && !menuAnchor.contains(ev.target)) closeMenu();
});
addEventListener('resize', () => closeMenu());
// A menu stays where it opened: it goes when its button moves away from it.
document.addEventListener('scroll', () => {
  if (menuAnchor && (!menuAnchor.isConnected || Math.abs(menuAnchor.getBoundingClientRect().top - menuTop) > 8)) closeMenu();
}, true);

// ---------------------------------------------------------------- dialogs

function dialog(testid, cls, ...children) {
  const d = h('dialog', { testid, class: cls, onclose: () => { document.body.append(toasts); d.remove(); }, onclick: (ev) => { if (ev.target === d && !d.dataset.dirty) d.close(); } }, ...children);
  document.body.append(d);
  d.showModal();
  return d;
}

function confirmed(question, then, danger, label) {
  const d = dialog('confirm', 'confirm',
    h('h3', {}, t('confirm')), h('p', {}, question),
    h('div', { class: 'buttons' },
      h('button', { class: 'button', testid: 'confirm-cancel', onclick: () => d.close() }, t('cancel')),
      h('button', { class: 'button ' + (danger ? 'danger' : 'primary'), testid: 'confirm-ok', autofocus: true, onclick: () => { d.close(); then(); } }, label || t('ok'))));
}

function control(i, id, described) {
  const common = { id, name: i.name, testid: 'input-' + i.name, 'aria-required': i.required ? 'true' : undefined, 'aria-describedby': described, maxlength: i.max || undefined };
  const choice = (list) => {
    const el = h('select', common, h('option', { value: '' }, i.required ? t('choose') : '—'), list.map(([value, label]) => h('option', { value }, label)));
    el.value = i.value || '';
    if (el.selectedIndex < 0) el.value = '';
    return el;
  };
  switch (i.kind) {
    case 'text': return h('textarea', { ...common, rows: 4, value: i.value || '' });
    case 'choice': return choice((i.options || []).map((o) => [o.value, o.label]));
    case 'person': return choice(S.people.map((p) => [p.id, nameOf(p) + ' · ' + roleOf(p)]));
    case 'check': {
      const el = h('input', { ...common, type: 'checkbox' });
      el.checked = i.value === 'true';
      return el;
    }
  }
  const type = { date: 'date', time: 'datetime-local', number: 'number', phone: 'tel', email: 'email' }[i.kind] || 'text';
  return h('input', { ...common, type, step: type === 'number' ? 'any' : undefined, autocomplete: 'off', value: i.value || '' });
}

let fieldSerial = 0;

/** openForm shows a card's form. ctx says on which message or in which place it was opened. */
function openForm(c, ctx) {
  document.querySelector('dialog[data-testid="form"]')?.close();
  const fields = h('div', { class: 'fields' });
  const submit = h('button', { class: 'button primary', testid: 'form-submit', type: 'submit' });
  const title = h('h3', {});
  const intro = h('p', { class: 'intro' });
  let current = c;

  const values = () => Object.fromEntries(current.form.inputs.map((i) => {
    const el = fields.querySelector(`[name="${CSS.escape(i.name)}"]`);
    return [i.name, i.kind === 'check' ? (el.checked ? 'true' : '') : el.value.trim()];
  }));
  const showErrors = (errors) => {
    let first = null;
    for (const i of current.form.inputs) {
      const el = fields.querySelector(`[name="${CSS.escape(i.name)}"]`);
      const says = errors[i.name] || '';
      const slot = fields.querySelector(`[data-testid="error-${CSS.escape(i.name)}"]`);
      slot.textContent = says;
      slot.hidden = !says;
      if (says) el.setAttribute('aria-invalid', 'true');
      else el.removeAttribute('aria-invalid');
      if (says && !first) first = el;
    }
    first?.focus();
    const other = Object.entries(errors).filter(([k]) => !current.form.inputs.some((i) => i.name === k)).map(([, v]) => v);
    if (other.length) toast(other.join(' '), 'bad');
  };
  const draw = (card, typed) => {
    current = card;
    const focus = document.activeElement?.getAttribute('name');
    title.textContent = card.title || '';
    intro.textContent = card.body || '';
    intro.hidden = !card.body;
    submit.textContent = card.form.submit || t('submit');
    fields.replaceChildren(...card.form.inputs.map((i) => {
      const id = 'field-' + ++fieldSerial;
      const el = control({ ...i, value: i.value || (typed && typed[i.name]) || '' }, id, id + '-hint ' + id + '-error');
      if (i.reload) el.addEventListener('change', reload);
      el.addEventListener('input', () => { d.dataset.dirty = '1'; });
      const label = h('label', { for: id }, i.label, i.required ? h('span', { class: 'star', 'aria-hidden': 'true' }, ' *') : i.kind !== 'check' && h('small', {}, ' ' + t('optional')));
      return h('div', { class: 'field kind-' + i.kind }, i.kind === 'check' ? [el, label] : [label, el],
        h('small', { class: 'hint', id: id + '-hint' }, i.hint || ''),
        h('p', { class: 'error', id: id + '-error', testid: 'error-' + i.name, role: 'alert', hidden: true }));
    }));
    showErrors(Object.fromEntries(card.form.inputs.filter((i) => i.error).map((i) => [i.name, i.error])));
    if (focus) fields.querySelector(`[name="${CSS.escape(focus)}"]`)?.focus();
  };
  const reload = async () => {
    const typed = values();
    const out = await perform(() => post('reload', { ...ctx, token: current.form.token, values: typed }));
    if (out && out.reply && out.reply.form && out.reply.form.form && d.isConnected) draw(out.reply.form, typed);
  };
  const send = async (ev) => {
    ev.preventDefault();
    const v = values();
    const missing = current.form.inputs.filter((i) => i.required && !v[i.name]);
    if (missing.length) {
      showErrors(Object.fromEntries(missing.map((i) => [i.name, t('required')])));
      return;
    }
    const out = await perform(() => post('submit', { ...ctx, token: current.form.token, values: v }), submit);
    if (!out) return;
    const r = out.reply || {};
    if (r.form && r.form.form) {
      draw(r.form, v);
      if (r.errors) showErrors(r.errors);
      if (r.toast) toast(r.toast);
      return;
    }
    if (r.errors && Object.keys(r.errors).length) {
      showErrors(r.errors);
      return;
    }
    d.close();
    heard(out, ctx);
    if (current.form.verb === 'open' && S.place === 'g-east' && kindOf(S.me) === 'customer') walked(1, 2);
    if (current.form.verb === 'solve') walked(2, 3);
  };
  const d = dialog('form', 'sheet', h('form', { novalidate: true, onsubmit: send },
    h('header', {}, title, h('button', { type: 'button', class: 'icon-button', 'aria-label': t('close'), onclick: () => d.close() }, icon('close'))),
    h('div', { class: 'sheet-body' }, intro, fields),
    h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'button', testid: 'form-cancel', onclick: () => d.close() }, t('cancel')), submit)));
  draw(c);
  fields.querySelector('input:not([type="checkbox"]), textarea, select')?.focus();
}

const toasts = $('toasts');

function toast(text, cls) {
  const el = h('div', { class: 'toast ' + (cls || ''), testid: 'toast' }, text);
  // A modal dialog covers everything outside of it.
  const top = [...document.querySelectorAll('dialog[open]')].pop() || document.body;
  if (toasts.parentElement !== top) top.append(toasts);
  toasts.append(el);
  while (toasts.children.length > 3) toasts.firstElementChild.remove();
  setTimeout(() => {
    el.classList.add('out');
    setTimeout(() => el.remove(), 400);
  }, 3000 + text.length * 50);
}

// ---------------------------------------------------------------- threads

function drawThread(toEnd) {
  const panel = $('thread');
  if (!panel) return;
  $('app').classList.toggle('with-thread', Boolean(S.thread));
  panel.hidden = !S.thread;
  if (!S.thread) {
    panel.replaceChildren();
    panel.dataset.root = '';
    return;
  }
  const fresh = panel.dataset.root !== String(S.thread) + S.lang;
  if (fresh) {
    panel.dataset.root = String(S.thread) + S.lang;
    const c = conv(S.place);
    panel.replaceChildren(
      h('header', { class: 'head' },
        h('div', { class: 'label' }, h('h2', {}, t('thread')), h('small', {}, convName(c))),
        h('button', { class: 'icon-button', testid: 'thread-close', 'aria-label': t('threadClose'), onclick: closeThread }, icon('close'))),
      pinned(h('div', { class: 'scroll' }, h('ol', { class: 'stream', role: 'log', 'aria-label': t('thread') }))),
      composer(S.place + '/' + S.thread, S.thread));
  }
  const all = [...S.messages.values()].filter((m) => m.id === S.thread || m.thread === S.thread).sort((a, b) => a.id - b.id);
  const scroll = panel.querySelector('.scroll');
  if (toEnd || fresh) scroll.pinned = true;
  place(panel.querySelector('.stream'), rows(all, 'thread'));
  if (scroll.pinned) scroll.scrollTop = scroll.scrollHeight;
}

// ---------------------------------------------------------------- the composer

function chips(thread) {
  const c = conv(S.place);
  const all = words[S.lang].chips;
  const list = all[kindOf(S.me) + (thread ? 'Thread' : c.private ? 'Private' : '')] || all[kindOf(S.me)];
  return list.map((w) => (w[0] === '~' ? w.slice(1) : c.private ? w : t('prefix') + w)); // ~ is said to people, not to the bot
}

function composer(key, thread) {
  const c = conv(S.place);
  const name = thread ? 'thread' : 'composer';
  const hint = 'placeholder' + (thread ? 'Thread' : c.private ? 'Private' : { customer: 'Customer', manager: 'Manager' }[kindOf(S.me)] || 'Agent') + (narrow() && !thread ? 'Short' : '');
  const draft = S.me + ':' + key;
  const listID = name + '-suggestions';
  const input = h('textarea', { testid: name + '-input', rows: 1, placeholder: t(hint), 'aria-label': t(hint), maxlength: 5000, value: S.drafts[draft] || '', 'aria-autocomplete': 'list', 'aria-controls': listID, enterkeyhint: 'send' });
  const suggestions = h('div', { class: 'suggestions', id: listID, role: 'listbox', hidden: true });
  const files = h('div', { class: 'attached' });
  const editing = h('div', { class: 'editing', hidden: true }, t('editing'), h('button', { class: 'link', testid: 'edit-cancel', onclick: () => stopEditing() }, t('cancel')));
  const sendButton = h('button', { class: 'button primary send', testid: name + '-send', 'aria-label': t('send'), title: t('sendHint'), onclick: () => send() }, icon('send'));
  const picker = h('input', { type: 'file', multiple: true, hidden: true, testid: thread ? 'thread-file-input' : 'file-input', onchange: () => { attach([...picker.files]); picker.value = ''; } });

  const grow = () => {
    input.style.height = ''; // one line
    if (input.scrollHeight > input.clientHeight && input.value) input.style.height = Math.min(input.scrollHeight, 160) + 'px';
    sendButton.disabled = !input.value.trim() && !(S.files[draft] || []).length;
  };
  const drawFiles = () => {
    files.replaceChildren(...(S.files[draft] || []).map((f) => h('span', { class: 'chip-file' }, icon('file'), f.name,
      h('button', { 'aria-label': t('remove', { name: f.name }), onclick: () => { S.files[draft] = S.files[draft].filter((x) => x !== f); drawFiles(); } }, icon('close')))));
    grow();
  };
  const attach = async (list) => {
    for (const f of list) {
      if (f.size > S.maxFile) {
        toast(words[S.lang].errors.too_large, 'bad');
        continue;
      }
      if (f.size > 1 << 20) toast(t('uploading', { name: f.name }));
      const out = await perform(() => call('upload?' + new URLSearchParams({ as: S.me, conv: S.place, name: f.name }), { method: 'POST', body: f }));
      if (out) S.files[draft] = [...(S.files[draft] || []), out];
    }
    drawFiles();
  };
  const stopEditing = () => {
    S.editing = null;
    editing.hidden = true;
    input.value = S.drafts[draft] || '';
    grow();
  };
  const send = async () => {
    const text = input.value.trim();
    const attached = S.files[draft] || [];
    if (!text && !attached.length) return;
    const target = S.editing;
    const ctx = { conv: c.id, thread };
    input.value = '';
    S.drafts[draft] = '';
    S.files[draft] = [];
    editing.hidden = true;
    S.editing = null;
    drawFiles();
    const out = await perform(() => (target
      ? post('edit', { message: target.id, text })
      : post('say', { ...ctx, text, files: attached.map((f) => f.id) })));
    if (!out) { // refused: give it back
      S.files[draft] = attached;
      if (!input.value) input.value = text;
      drawFiles();
      return;
    }
    heard(out, { ...ctx, ...(out.message && { message: out.message }) });
    if (S.place === 'g-east' && kindOf(S.me) === 'customer') walked(1, 2);
  };

  let options = [];
  let chosen = 0;
  const suggest = () => {
    const before = input.value.slice(0, input.selectionStart);
    const m = /(?:^|[^A-Za-z0-9_])@([^\s@]*)$/.exec(before);
    options = [];
    if (m) {
      const part = m[1].toLowerCase();
      const list = [{ name: t('bots'), sub: 'Paidan', id: '' }, ...c.members.map((id) => ({ name: nameOf(person(id)), sub: roleOf(person(id)), id, also: [person(id).name, person(id).name_en, id] }))];
      options = list.filter((o) => [o.name, o.sub, ...(o.also || [])].some((n) => n.toLowerCase().startsWith(part)) && o.name.toLowerCase() !== part);
      options.forEach((o) => { o.from = before.length - m[1].length; });
    }
    chosen = Math.min(chosen, Math.max(0, options.length - 1));
    suggestions.hidden = !options.length;
    suggestions.replaceChildren(...options.map((o, i) => h('button', {
      role: 'option', testid: 'suggestion', id: listID + i, class: i === chosen ? 'chosen' : '', 'aria-selected': String(i === chosen), tabindex: '-1',
      onpointerdown: (ev) => { ev.preventDefault(); take(o); },
    }, avatar(o.id, 'small'), h('b', {}, o.name), h('small', {}, o.sub))));
    if (options.length) input.setAttribute('aria-activedescendant', listID + chosen);
    else input.removeAttribute('aria-activedescendant');
  };
  const take = (o) => {
    const rest = input.value.slice(input.selectionStart);
    input.value = input.value.slice(0, o.from) + o.name + ' ' + rest.trimStart();
    const at = o.from + o.name.length + 1;
    input.setSelectionRange(at, at);
    input.dispatchEvent(new Event('input'));
    input.focus();
  };
  input.addEventListener('input', () => {
    if (!S.editing) S.drafts[draft] = input.value;
    grow();
    suggest();
  });
  input.addEventListener('blur', () => { suggestions.hidden = true; });
  input.addEventListener('paste', (ev) => {
    const list = [...(ev.clipboardData?.files || [])];
    if (list.length) {
      ev.preventDefault();
      attach(list);
    }
  });
  input.addEventListener('keydown', (ev) => {
    if (ev.isComposing) return; // the input method is still choosing characters
    if (!suggestions.hidden) {
      if (ev.key === 'ArrowDown' || ev.key === 'ArrowUp') {
        ev.preventDefault();
        chosen = (chosen + (ev.key === 'ArrowDown' ? 1 : -1) + options.length) % options.length;
        suggest();
        return;
      }
      if (ev.key === 'Enter' || ev.key === 'Tab') {
        ev.preventDefault();
        take(options[chosen]);
        return;
      }
      if (ev.key === 'Escape') {
        ev.stopPropagation();
        suggestions.hidden = true;
        return;
      }
    }
    if (ev.key === 'Enter' && !ev.shiftKey) {
      ev.preventDefault();
      send();
    } else if (ev.key === 'Escape' && S.editing) {
      ev.stopPropagation();
      stopEditing();
    }
  });
  const box = h('div', { class: 'composer', ondragover: (ev) => ev.preventDefault(), ondrop: (ev) => { ev.preventDefault(); attach([...ev.dataTransfer.files]); } },
    suggestions,
    h('div', { class: 'chips' }, chips(thread).map((w) => h('button', { class: 'chip', testid: 'chip', data: { label: w }, onclick: () => {
      input.value = w;
      input.dispatchEvent(new Event('input'));
      suggestions.hidden = true;
      input.focus();
    } }, w))),
    editing, files,
    h('div', { class: 'bar' },
      h('button', { class: 'icon-button', 'aria-label': t('attach'), title: t('attach'), onclick: () => picker.click() }, icon('clip')),
      !thread && h('button', { class: 'icon-button', testid: 'new-ticket', 'aria-label': t('newTicket'), title: t('newTicket'), onclick: (ev) => shortcut({ conv: c.id }, ev.currentTarget) }, icon('ticket')),
      picker, input, sendButton));
  box.beginEdit = (m) => {
    S.editing = m;
    editing.hidden = false;
    input.value = m.text;
    grow();
    input.focus();
  };
  drawFiles();
  queueMicrotask(grow);
  return box;
}

function edit(m) {
  const box = m.thread && S.thread ? $('thread').querySelector('.composer') : $('room').querySelector('.composer');
  box.beginEdit(m);
}

// ---------------------------------------------------------------- begin

document.addEventListener('keydown', (ev) => {
  if (ev.key === 'Escape' && !document.querySelector('dialog[open]') && S.thread && !ev.defaultPrevented) closeThread();
});
document.addEventListener('visibilitychange', () => markRead());
addEventListener('online', () => { if (S.me && (!live || live.readyState === EventSource.CLOSED)) connect(); });
addEventListener('hashchange', () => {
  const q = new URLSearchParams(location.hash.slice(1));
  if (q.get('as') && q.get('as') !== S.me) become(q.get('as'), q.get('conv') || undefined, Number(q.get('thread')) || 0);
});
setInterval(drawClock, 1000);

{
  const q = new URLSearchParams(location.hash.slice(1));
  let stored = null;
  try {
    stored = localStorage.getItem('paidan-lang');
  } catch { /* private mode */ }
  S.lang = stored === 'en' || stored === 'zh' ? stored : /^zh\b/i.test(navigator.language || 'zh') ? 'zh' : 'en';
  try {
    S.guide = Number(localStorage.getItem('paidan-guide') ?? 1);
  } catch { /* private mode */ }
  if (!guideSteps[S.guide]) S.guide = 0;
  // Whoever comes for the first time begins where there is something to do.
  const first = S.guide === 1 && !q.get('as');
  if ((q.get('conv') || first) && narrow()) $('app').dataset.view = 'room';
  await become(q.get('as') || 'wangfang', q.get('conv') || (first ? 'g-east' : undefined), Number(q.get('thread')) || 0);
}
