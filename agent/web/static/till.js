// The cashier page. Everything shown is drawn from `now` by draw(); the agent's answers and events change `now`.
'use strict';

const AGAIN_MS = 1000; // between two tries while the agent starts again
const QUOTE_AFTER_MS = 120; // a pause in typing that is worth a quote
const DEAF_MS = 400; // the second half of a double press must not dismiss an answer
const ANSWER_MS = 60000; // then the page is idle again
const SOON_MS = 2000; // with the line up, how long the centre's word is awaited before we say "provisional"
const LOCALES = { en: 'en-IE', fr: 'fr-FR', it: 'it-IT' };
const FINAL = ['applied', 'duplicate', 'merged'];
const WRITING = ['pad', 'rewards', 'code', 'unknown', 'assisted', 'reverse'];
const SOUNDS = { tick: [[1200, 0, 30]], yes: [[660, 0, 70], [880, 80, 70]], look: [[520, 0, 70], [520, 150, 70]], no: [[330, 0, 80], [220, 80, 80]] };

const now = {
  view: 'boot', lang: 'en', status: null, heardAt: 0, agent: true, hint: '', key: '', busy: false, slow: false,
  card: null, second: null, offers: [], mode: 'earn', whole: '', frac: null, quote: null, eager: false, resume: false,
  purpose: 'find', answer: null, last: null, deafUntil: 0,
};
let words = {};
let timers = { quote: 0, idle: 0, soon: 0, status: 0 };

const at = id => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
const locale = () => LOCALES[now.lang];
const amountOf = n => new Intl.NumberFormat(locale(), { useGrouping: 'always' }).format(n);
const signed = n => (n < 0 ? '\u2212' : '+') + amountOf(Math.abs(n));
const exponent = () => (now.status ? now.status.exponent : 2);
const sentenceOf = said => !said ? '' : typeof said === 'string' ? said : Array.isArray(said) ? said.join(' ') : said.sentence || '';

function word(key, values = {}) {
  const text = words[now.lang][key] ?? words.en[key] ?? '';
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

function counted(key, n) {
  const one = new Intl.PluralRules(locale()).select(Math.abs(n)) === 'one';
  return word(`${key}.${one ? 'one' : 'other'}`, { n: amountOf(n) });
}

function money(minor) {
  const digits = exponent();
  return new Intl.NumberFormat(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(minor / 10 ** digits);
}

function currency() {
  const parts = new Intl.NumberFormat(locale(), { style: 'currency', currency: now.status.currency, currencyDisplay: 'narrowSymbol' }).formatToParts(0);
  return parts.find(part => part.type === 'currency').value;
}

function age(seconds) {
  const [m, h] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (seconds < 60) return word('age.s', { n: Math.floor(seconds) });
  if (m < 60) return word('age.min', { n: m });
  if (h < 24) return word('age.h', { n: h, m: String(m % 60).padStart(2, '0') });
  return word('age.d', { n: Math.floor(h / 24), m: h % 24 });
}

// what outlives a reload: the entry under way and the last answer; never more than this tab needs
function keep(name, value) {
  try {
    if (value) sessionStorage.setItem(name, JSON.stringify(value)); else sessionStorage.removeItem(name);
  } catch { /* a browser without storage loses the entry on reload, nothing else */ }
}
function kept(name) {
  try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; }
}
function keepEntry() {
  const typing = now.view === 'pad' && now.card;
  keep('entry', typing && { card: now.card.card, mode: now.mode, whole: now.whole, frac: now.frac, key: now.key });
}

// the agent -------------------------------------------------------------------------------------------------------
async function ask(method, path, body, key, again = true) {
  const headers = { 'Accept-Language': now.lang, ...(body && { 'Content-Type': 'application/json' }), ...(key && { 'Idempotency-Key': key }) };
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, { method, headers, cache: 'no-store', body: body && JSON.stringify(body) });
    if (again && (answer.status === 401 || answer.status === 403)) {
      await fetch('/', { cache: 'no-store' }); // the agent started again: a new session, the same entry
      return ask(method, path, body, key, false);
    }
    return { ok: answer.ok, status: answer.status, data: await answer.json() };
  } catch {
    return { ok: false, status: answer && answer.ok ? 0 : answer?.status || 0, data: {} };
  }
}

// A write is asked until it is answered, always under its one key: sent twice it is still one row.
async function write(path, body, about, key = now.key) {
  if (now.busy) return;
  now.busy = true;
  keep('sending', { path, body, about, key });
  draw();
  let answer = await ask('POST', path, body, key);
  while (answer.status === 0) {
    now.slow = true;
    draw();
    await new Promise(done => setTimeout(done, AGAIN_MS));
    answer = await ask('POST', path, body, key);
  }
  Object.assign(now, { busy: false, slow: false });
  keep('sending', null);
  now.deafUntil = performance.now() + DEAF_MS;
  if (answer.ok) saved(answer.data, about); else refused(answer.data, about);
}

async function readStatus() {
  const answer = await ask('GET', 'status');
  now.agent = answer.status !== 0;
  if (answer.ok) Object.assign(now, { status: answer.data, heardAt: Date.now() });
  draw();
}
function statusSoon() {
  clearTimeout(timers.status);
  timers.status = setTimeout(readStatus, 100);
}

function listen() {
  const stream = new EventSource('/api/v1/stream');
  const on = (name, act) => stream.addEventListener(name, event => act(JSON.parse(event.data)));
  on('hello', () => { now.agent = true; statusSoon(); quoteSoon(); });
  on('tap', tapped);
  on('decision', decided);
  on('outcome', said => { said.rows.forEach(settled); statusSoon(); });
  for (const name of ['line', 'reader', 'finding']) on(name, statusSoon);
  stream.onerror = () => {
    now.agent = false;
    draw();
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    setTimeout(() => fetch('/', { cache: 'no-store' }).catch(() => {}).finally(listen), AGAIN_MS);
  };
}

// cards and codes held to a reader --------------------------------------------------------------------------------
function tapped(tap) {
  if (now.busy) return hint(word('trouble.saving'), 'look');
  if (tap.refused) return hint(tap.refused.code === 'reader.read_failed' ? word('trouble.read') : tap.refused.text, 'look');
  const text = tap.text || tap.code;
  if (text) return scanned(text);
  if (tap.card) cardTapped(tap.card);
}

function cardTapped(card) {
  const same = now.card && now.card.card === card.card;
  const typing = (now.view === 'code' && at('code').value) || (now.view === 'assisted' && at('operator').value);
  if (typing && !same) return hint(word('second.title'), 'look');
  if (same && ['pad', 'code', 'assisted'].includes(now.view)) return sound('tick');
  if (now.view === 'pad' && now.whole) return askWhose(card);
  open(card);
}

function scanned(text) {
  if (now.view === 'unknown' || (now.view === 'code' && now.purpose === 'activate')) return activate(text);
  if (now.card && ['pad', 'rewards', 'code'].includes(now.view)) return useCode(text);
  hint(word('trouble.code_idle'), 'look');
}

function open(card) {
  Object.assign(now, { card, offers: [], whole: '', frac: null, mode: 'earn', resume: false });
  if (!card.known) return go('unknown', 'look');
  if (card.status === 'blocked' || card.status === 'replaced') return go('blocked', 'no');
  go('pad', 'tick');
  readOffers();
}

function askWhose(card) {
  now.second = card;
  draw();
  sound('look');
  heard(`${word('second.title')}. ${word('second.body')}`);
  all('[data-act=keep]')[0].focus();
}

async function readOffers() {
  const { card } = now.card;
  const answer = await ask('GET', `rewards?card=${encodeURIComponent(card)}`);
  if (answer.ok && now.card && now.card.card === card) now.offers = answer.data;
  draw();
}

// the amount ------------------------------------------------------------------------------------------------------
// Digits alone fill from the right (2550 is 25.50); after a point or a comma they are decimals (25,5 is 25.50).
function minor() {
  if (now.frac === null) return Number(now.whole || 0);
  return Number(now.whole || 0) * 10 ** exponent() + Number(now.frac.padEnd(exponent(), '0'));
}

function press(key) {
  if (now.busy || now.second) return;
  now.eager = false;
  if (key === 'Backspace') erase();
  else if (key === '.' || key === ',') { if (now.mode === 'earn' && exponent() && now.frac === null) now.frac = ''; }
  else if (now.frac !== null) { if (now.frac.length + key.length <= exponent()) now.frac += key; }
  else if (now.whole.length + key.length <= 8) now.whole = (now.whole + key).replace(/^0+/, '');
  now.quote = null;
  keepEntry();
  draw();
  quoteSoon();
}

function erase() {
  if (now.frac === null) now.whole = now.whole.slice(0, -1);
  else now.frac = now.frac ? now.frac.slice(0, -1) : null;
}

function quoteSoon() {
  clearTimeout(timers.quote);
  if (now.view === 'pad' && now.mode === 'earn' && minor() > 0) timers.quote = setTimeout(quote, QUOTE_AFTER_MS);
}

async function quote() {
  const asked = [now.card.card, minor(), now.lang].join();
  const answer = await ask('POST', 'quote', { card: now.card.card, amount_minor: minor() });
  if (now.view !== 'pad' || asked !== [now.card.card, minor(), now.lang].join() || answer.status === 0) return;
  now.quote = answer.data.decision ? answer.data : { decision: { decision: 'declined' }, words: answer.data.words || answer.data.detail };
  draw();
  if (now.eager) give();
}

function give() {
  if (now.busy || now.second || minor() <= 0) return;
  if (now.mode === 'points') return write('burns', { card: now.card.card, points: minor() }, { kind: 'burn' });
  if (!now.quote) { now.eager = true; return; } // Enter came before the quote did: it is kept for it
  if (approved(now.quote)) write('earnings', { card: now.card.card, amount_minor: minor() }, { kind: 'earn', amount: minor() });
}
const approved = said => (said.decision.decision ?? said.decision) === 'approved';

// acts ------------------------------------------------------------------------------------------------------------
const operator = () => { const id = localStorage.getItem('operator'); return id ? { operator: id } : {}; };
const activate = code => write('activations', { card: now.card.card, code, ...operator() }, { kind: 'activate', from: 'code', purpose: 'activate' });
function useCode(code) {
  now.resume = Boolean(now.whole);
  write('code-uses', { card: now.card.card, codes: [code] }, { kind: 'code', from: 'code', purpose: 'bonus' });
}

async function find(text) {
  const digits = text.replace(/[\s.-]/g, '');
  const answer = await ask('GET', `cards/${encodeURIComponent(/^\d+$/.test(digits) ? `num:${digits}` : text)}`);
  if (answer.ok) open(answer.data); else hint(answer.data.detail || word('trouble.agent'), 'look');
}

function enterCode(event) {
  event.preventDefault();
  const text = at('code').value.trim();
  if (!text || now.busy) return;
  ({ activate, bonus: useCode, find })[now.purpose](text);
}

function enterAssisted(event) {
  event.preventDefault();
  const [id, name] = [at('operator').value.trim(), at('first-name').value.trim()];
  if (!id) return at('operator').focus();
  localStorage.setItem('operator', id);
  write('activations', { card: now.card.card, assisted: true, operator: id, ...(name && { first_name: name }) }, { kind: 'activate', from: 'assisted' });
}

function typeCode(purpose) {
  now.purpose = purpose;
  at('code').value = '';
  go('code');
}

const acts = {
  give, next, back,
  find: () => typeCode('find'),
  activate: () => typeCode('activate'),
  bonus: () => typeCode('bonus'),
  assist: () => { at('operator').value = localStorage.getItem('operator') || ''; at('first-name').value = ''; go('assisted'); },
  rewards: () => { go('rewards'); readOffers(); },
  points: () => { Object.assign(now, { mode: 'points', whole: '', frac: null, quote: null }); go('pad'); },
  reverse: () => { if (now.last && !now.last.reversed) go('reverse'); },
  undo: button => write('reversals', { event_id: now.last.row.event_id, whole: true, reason: button.dataset.reason }, { kind: 'reverse', of: now.last.row.event_id, from: 'reverse' }),
  reward: button => write('burns', { card: now.card.card, reward: button.dataset.reward }, { kind: 'burn', from: 'rewards' }),
  keep: () => { now.second = null; draw(); at('amount').focus(); },
  change: changeCard,
  correct: () => { now.purpose = now.answer.about.purpose || now.purpose; go(now.answer.about.from || 'pad'); quoteSoon(); },
};

function changeCard() {
  const [card, whole, frac] = [now.second, now.whole, now.frac];
  now.second = null;
  open(card);
  if (now.view !== 'pad') return;
  Object.assign(now, { whole, frac, quote: null });
  keepEntry();
  draw();
  quoteSoon();
}

function back() {
  if (now.second) return acts.keep();
  if (now.view === 'reverse' && now.answer) return go('answer');
  if (now.view === 'assisted' || (now.view === 'code' && now.purpose === 'activate')) return go('unknown');
  if (now.view === 'rewards' || (now.view === 'code' && now.purpose === 'bonus')) { now.mode = 'earn'; go('pad'); return quoteSoon(); }
  if (now.view === 'pad' && now.mode === 'points') { Object.assign(now, { whole: '', frac: null }); return go('rewards'); }
  idle();
}

async function next() {
  const { about, card } = now.answer;
  if (now.resume && card) { now.resume = false; now.card = card; now.quote = null; go('pad'); return quoteSoon(); }
  if (about.kind === 'activate' && card) return open(card);
  idle();
}

function idle() {
  Object.assign(now, { card: null, second: null, answer: null, quote: null, whole: '', frac: null, mode: 'earn', resume: false });
  go('idle');
}

// answers ---------------------------------------------------------------------------------------------------------
function saved(done, about) {
  now.answer = { ...done, about, good: true, fate: done.provisional ? 'provisional' : 'final' };
  if (about.kind === 'reverse' && now.last && now.last.row.event_id === about.of) now.last.reversed = true;
  if (about.kind === 'reverse') keep('last', now.last); else remember(now.answer);
  if (done.card) now.card = done.card;
  if (!now.resume) Object.assign(now, { whole: '', frac: null, quote: null });
  clearTimeout(timers.soon);
  if (done.provisional && now.status && now.status.line === 'up') {
    now.answer.fate = 'saved';
    const mine = now.answer;
    timers.soon = setTimeout(() => { if (mine.fate === 'saved') { mine.fate = 'provisional'; draw(); } }, SOON_MS);
  }
  go('answer', 'yes');
  statusSoon();
}

function refused(problem, about) {
  now.answer = { about, good: false, words: { sentence: problem.detail, ...problem.words }, card: now.card };
  go('answer', 'no');
}

function remember(answer) {
  const { row, decision, card, fate, about } = answer;
  now.last = { row, points: decision.points, name: card && card.name, kind: about.kind, at: Date.now(), fate, reversed: false };
  keep('last', now.last);
}

// A decision that this page did not ask for: the shop's own software did.
function decided(done) {
  statusSoon();
  const known = [now.answer, now.last].some(one => one && one.row && one.row.event_id === done.row.event_id);
  if (now.busy || known || !done.card) return;
  const free = now.view === 'idle' || (now.view === 'pad' && !now.whole && now.card.card === done.card.card);
  if (free) saved(done, { kind: done.kind }); else remember({ ...done, about: { kind: done.kind }, fate: 'provisional' });
}

async function settled(row) {
  const fate = FINAL.includes(row.outcome) ? 'final' : row.outcome === 'adjusted' ? 'changed' : 'held';
  if (now.last && now.last.row.event_id === row.event_id) {
    now.last.fate = fate;
    if (row.points != null) now.last.points = row.points;
    keep('last', now.last);
  }
  const mine = now.answer;
  if (!mine || !mine.row || mine.row.event_id !== row.event_id) return draw();
  const changed = row.points != null && row.points !== mine.decision.points;
  Object.assign(mine, { fate: changed ? 'changed' : fate, was: mine.decision.points });
  if (changed) { mine.decision = { ...mine.decision, points: row.points }; sound('look'); heard(`${word('yes.changed')}. ${row.points}`); }
  const answer = mine.card && await ask('GET', `cards/${encodeURIComponent(mine.card.card)}`);
  if (answer && answer.ok) mine.card = answer.data;
  draw();
}

// showing ---------------------------------------------------------------------------------------------------------
const FIRST = { idle: '[data-act=find]', pad: '#amount', code: '#code', assisted: '#operator', unknown: '[data-act=activate]', reverse: '[data-act=undo]', rewards: '#rewards button' };

function go(view, tone) {
  Object.assign(now, { view, hint: '', eager: false });
  if (WRITING.includes(view)) now.key = crypto.randomUUID(); // one key for each page that can write, made with the page
  keepEntry();
  draw();
  clearTimeout(timers.idle);
  if (view === 'answer') timers.idle = setTimeout(idle, ANSWER_MS);
  if (tone) { sound(tone); heard(spoken()); }
  const first = view === 'answer' ? (now.answer.good ? '#next' : '#correct') : FIRST[view] || '#work';
  document.querySelector(first)?.focus();
}

function hint(text, tone) {
  now.hint = text;
  draw();
  sound(tone);
  heard(text);
}

const heard = text => { at('heard').textContent = text; };
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const shape = (svg, name) => svg.firstElementChild.setAttribute('href', `#${name}`);
const tone = (node, name) => ['yes', 'look', 'no'].forEach(one => node.classList.toggle(`tone-${one}`, one === name));

function spoken() {
  const { card, answer } = now;
  if (now.view === 'answer') return `${verdict().text}. ${sentenceOf(answer.words)}`;
  if (now.view !== 'pad') return at('work').querySelector('section:not([hidden]) .verdict')?.textContent.trim() || '';
  const part = card.provisional ? `, ${counted('provisional', card.provisional)}` : '';
  const held = card.balance === null ? word('balance.unknown') : `${amountOf(card.balance)} ${counted('points', card.balance)}${part}`;
  return `${card.name || word('member')}, ${held}`;
}

function draw() {
  if (!words.en || now.view === 'boot') return;
  document.documentElement.lang = now.lang;
  all('[data-w]').forEach(node => put(node, word(node.dataset.w)));
  all('[data-label]').forEach(node => node.setAttribute('aria-label', word(node.dataset.label)));
  all('[data-lang]').forEach(node => node.setAttribute('aria-pressed', node.dataset.lang === now.lang));
  all('[data-view]').forEach(node => { node.hidden = node.dataset.view !== now.view; });
  all('[data-who]').forEach(who);
  if (now.status) strip();
  ({ idle: drawIdle, pad: drawPad, rewards: drawRewards, code: drawCode, unknown: drawUnknown, blocked: drawBlocked, answer: drawAnswer, reverse: drawReverse })[now.view]?.();
  bar();
  document.title = `Holdfast \u00b7 ${at('work').querySelector('section:not([hidden]) :is(h1,.name)')?.textContent.trim() || ''}`;
}

function strip() {
  const { terminal, line, pending, oldest_pending_s: oldest, readers } = now.status;
  const good = readers.filter(one => one.state === 'ready').length;
  put(at('terminal'), terminal);
  const state = now.agent ? line : 'agent';
  const [head, rest] = at('line').lastElementChild.children;
  put(head, word(`line.${state}`));
  const since = pending && line !== 'up' && oldest != null ? `, ${word('unsent.since', { t: age(oldest + (Date.now() - now.heardAt) / 1000) })}` : '';
  put(rest, !now.agent ? '' : `, ${pending ? word('unsent.n', { n: amountOf(pending) }) + since : word('unsent.none')}`);
  shape(at('line').querySelector('svg'), state === 'up' || state === 'down' ? `rope-${state}` : 'rope-unknown');
  tone(at('line'), state === 'up' ? 'yes' : 'look');
  const mute = readers.some(one => ['faulty', 'stopped'].includes(one.state));
  put(at('reader').lastElementChild, readerWords(readers, good, mute));
  shape(at('reader').querySelector('svg'), mute ? 'i-readerx' : 'i-reader');
  tone(at('reader'), mute || !readers.length ? 'look' : 'yes');
  at('strip').classList.toggle('look', state !== 'up' || mute);
}

function readerWords(readers, good, mute) {
  if (!readers.length) return word('reader.none');
  if (good === readers.length) return counted('reader.ready', good);
  if (good) return word('reader.some', { n: good, m: readers.length });
  return word(mute ? 'reader.lost' : readers.every(one => one.state === 'paused') ? 'reader.paused' : 'reader.soon');
}

function who(place) {
  const { card } = now;
  if (place.closest('[hidden]') || !card) return;
  if (!place.firstElementChild) place.append(at('who').content.cloneNode(true));
  all('[data-w]', place).forEach(node => put(node, word(node.dataset.w)));
  const one = query => place.querySelector(query);
  one('.tier').classList.toggle('gone', !card.tier);
  put(one('.tier span'), words[now.lang][`tier.${card.tier}`] || card.tier || '');
  put(one('.name'), card.name || word('member'));
  put(one('.num span'), card.balance === null ? '?' : amountOf(card.balance));
  put(one('.num small'), counted('points', card.balance ?? 0));
  one('.rule').classList.toggle('dash', card.balance === null);
  one('.swatch').classList.toggle('dash', card.provisional !== 0 || card.balance === null);
  put(one('.parts span'), card.balance === null ? word('balance.unknown') : card.provisional ? counted('provisional', card.provisional) : word('final.all'));
  const offer = now.offers.find(reward => reward.available);
  one('.can').hidden = !offer;
  if (offer) put(one('.can span span'), `${offer.name}, ${amountOf(offer.points)}`);
  const near = ((now.view === 'pad' && now.quote && now.quote.words && now.quote.words.almost) || card.almost || [])[0];
  one('.near').hidden = !near;
  put(one('.near span span'), near || '');
}

function drawIdle() {
  const { status } = now;
  const lost = status && status.readers.find(one => ['faulty', 'stopped'].includes(one.state));
  const news = [];
  if (!now.agent) news.push(word('idle.agent'));
  else if (status) {
    if (lost) news.push(word('idle.around'), lost.text || '');
    if (status.line === 'down') news.push(word('idle.carry_on'), word('idle.line_down'));
    if (!news.length && status.findings.length) news.push(sentenceOf(status.findings[0].text));
  }
  at('news').hidden = !news.length;
  at('news').previousElementSibling.hidden = news.length > 0;
  put(at('news'), news.join(' '));
  at('idle-rule').classList.toggle('dash', !now.agent || status?.line === 'down');
  if (!now.last) return;
  const { name, points, fate, reversed } = now.last;
  const ending = reversed ? word('last.reversed') : word(`yes.${fate}`);
  const time = new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit' }).format(now.last.at);
  put(at('last').lastElementChild.lastElementChild, `${name || word('member')} ${signed(points)}, ${time}. ${ending}`);
  shape(at('last').querySelector('svg'), reversed ? 'i-undo' : fate === 'final' ? 'i-yes' : 'i-half');
  tone(at('last').querySelector('svg'), fate === 'final' ? 'yes' : 'look');
}

function drawPad() {
  const points = now.mode === 'points';
  put(at('amount-label'), word(points ? 'amount.points' : 'amount'));
  at('amount').value = points ? amountOf(minor()) : money(minor());
  at('amount').classList.toggle('dim', minor() === 0);
  put(at('currency'), points ? '' : now.status ? currency() : '');
  const [top, number, bottom] = at('tall').children;
  const [a, b, c] = tallWords();
  put(top, a); put(number, b); put(bottom, c);
  at('tall').setAttribute('aria-disabled', !b);
  at('second').hidden = !now.second;
  at('pad').inert = Boolean(now.second);
  if (!now.second) return;
  put(at('keep-name'), word('second.keep', { name: now.card.name || word('member') }));
  put(at('change-name'), word('second.change', { name: now.second.known ? now.second.name || word('member') : word('second.unknown') }));
}

function tallWords() {
  if (now.busy) return [word(now.slow ? 'pad.again' : 'pad.saving'), '', ''];
  if (minor() === 0) return [word(now.mode === 'points' ? 'pad.points' : 'pad.amount'), '', ''];
  if (now.mode === 'points') return [word('pad.use'), amountOf(minor()), counted('points', minor())];
  if (!now.quote) return [word('pad.wait'), '', ''];
  if (!approved(now.quote)) return [sentenceOf(now.quote.words) || word('no'), '', ''];
  const { points } = now.quote.decision;
  return [word('pad.give'), amountOf(points), counted('points', points)];
}

function drawRewards() {
  const list = at('rewards');
  const held = document.activeElement?.dataset?.reward;
  list.replaceChildren(...now.offers.map(rewardButton));
  if (!now.offers.length) list.append(Object.assign(document.createElement('p'), { className: 'lead', textContent: word('rewards.none') }));
  if (held) all('button', list).find(one => one.dataset.reward === held)?.focus();
}

function rewardButton(reward) {
  const make = (tag, text, name = '') => Object.assign(document.createElement(tag), { textContent: text, className: name });
  const button = make('button', '', 'edge');
  const label = make('span', reward.name);
  if (!reward.available && sentenceOf(reward.words)) label.append(make('small', sentenceOf(reward.words)));
  button.append(label, make('span', amountOf(reward.points), 'r'));
  button.dataset.reward = reward.id;
  if (reward.available && !now.busy) button.dataset.act = 'reward'; else button.setAttribute('aria-disabled', 'true');
  return button;
}

function drawCode() {
  put(at('code-title'), word(`code.${now.purpose}`));
  put(at('code-help'), now.busy ? word('pad.saving') : word(now.purpose === 'find' ? 'code.find_help' : 'code.activate_help'));
  put(at('code-label'), word(now.purpose === 'find' ? 'code.number' : 'code.label'));
  put(at('code-go'), word(`code.go_${now.purpose}`));
  at('code-alike').hidden = now.purpose === 'find';
}

function drawUnknown() {
  at('unknown-line').hidden = now.status?.line === 'up';
}

function drawBlocked() {
  put(at('blocked-name'), now.card.name || '');
  put(at('blocked-body'), word(`${now.card.status}.body`));
}

function verdict() {
  const { good, fate, words: said } = now.answer;
  if (!good) return { text: said.verdict || word('no'), shape: 'i-no', tone: 'no' };
  const tones = { final: 'yes', saved: 'yes' };
  return { text: word(`yes.${fate}`), shape: fate === 'final' ? 'i-yes' : fate === 'changed' || fate === 'held' ? 'i-look' : 'i-half', tone: tones[fate] || 'look' };
}

function drawAnswer() {
  const { good, fate, decision, card, about, words: said, was, replayed } = now.answer;
  const head = verdict();
  shape(at('verdict').querySelector('svg'), head.shape);
  put(at('verdict').lastElementChild, head.text);
  tone(at('verdict'), head.tone);
  at('sum').hidden = !good;
  const lines = good ? said.lines || [] : said.almost || [];
  if (good) drawSum(decision.points, fate, card, was);
  put(at('sentence'), sentenceOf(said) || (about.kind === 'reverse' ? word('sentence.reversed') : ''));
  put(at('whose'), [card?.name, about.amount != null && now.status ? `${money(about.amount)} ${currency()}` : ''].filter(Boolean).join(', '));
  at('lines').replaceChildren(...lines.map(text => Object.assign(document.createElement('li'), { textContent: text })));
  const note = !good ? 'no' : replayed ? 'replayed' : fate;
  put(at('answer-note'), word(`note.${note}`, { n: good ? signed(decision.points) : '', m: was != null ? signed(was) : '' }));
}

function drawSum(points, fate, card, was) {
  at('number').parentElement.hidden = points === 0;
  put(at('number'), signed(points));
  put(at('was'), fate === 'changed' && was !== points ? signed(was) : '');
  put(at('unit'), counted('points', points));
  at('rule').className = `rule${fate === 'final' ? '' : fate === 'saved' ? ' dash soon' : ' dash'}`;
  const known = card && card.balance != null;
  put(at('after'), known ? `${word('balance')} ${amountOf(card.balance)}${card.provisional ? `, ${counted('provisional', card.provisional)}` : ''}` : '');
}

function drawReverse() {
  put(at('undo-number'), signed(now.last.points));
  put(at('undo-unit'), counted('points', now.last.points));
  put(at('undo-whose'), now.last.name || word('member'));
}

function bar() {
  const { answer, last } = now;
  const may = {
    last, 'reverse-last': last && !last.reversed,
    'reverse-this': answer?.good && answer.about.kind !== 'reverse' && last && !last.reversed && answer.row?.event_id === last.row.event_id,
    'answer-rewards': answer && answer.about.kind !== 'reverse' && now.card?.known, correct: answer && !answer.good,
  };
  all('[data-on]').forEach(node => {
    node.hidden = !node.dataset.on.split(' ').includes(now.view) || (node.id in may && !may[node.id]) || ('hint' in node.dataset && !now.hint);
  });
  all('[data-hint]').forEach(node => { put(node, now.hint); if (!node.dataset.on) node.hidden = !now.hint; });
  all('.note.push').forEach(node => { if (now.hint || (answer && !answer.good)) node.hidden = true; });
}

// sound, keys, language -------------------------------------------------------------------------------------------
let audio = null;
function sound(name) {
  audio ??= new AudioContext();
  if (audio.state !== 'running') return void audio.resume();
  for (const [pitch, delay, length] of SOUNDS[name]) {
    const [source, level] = [audio.createOscillator(), audio.createGain()];
    const start = audio.currentTime + delay / 1000;
    level.gain.value = 0.2;
    source.frequency.value = pitch;
    source.connect(level).connect(audio.destination);
    source.start(start);
    source.stop(start + length / 1000);
  }
}

function speak(lang) {
  now.lang = lang;
  try { localStorage.setItem('language', lang); } catch { /* then it is the terminal's language again next time */ }
  draw();
  readStatus();
  if (now.card && now.view !== 'answer') readOffers();
  now.quote = null;
  quoteSoon();
}

function clicked(event) {
  const button = event.target.closest('button');
  if (!button) return;
  if (performance.now() < now.deafUntil) return event.preventDefault();
  if (button.dataset.lang) return speak(button.dataset.lang);
  if (button.dataset.key) return press(button.dataset.key);
  if (button.dataset.act && (button.id === 'tall' || button.getAttribute('aria-disabled') !== 'true')) acts[button.dataset.act](button);
}

const KEYS = {
  Escape: back,
  F2: () => { if (now.view === 'pad') acts.bonus(); else if (now.view === 'unknown') acts.activate(); else if (now.view === 'idle') acts.find(); },
  F3: () => { if (now.view === 'pad') acts.rewards(); },
  F8: () => { if (['idle', 'answer'].includes(now.view)) acts.reverse(); },
};

function keyed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const pad = now.view === 'pad' && !now.second;
  const onButton = document.activeElement?.tagName === 'BUTTON';
  if (KEYS[event.key]) { event.preventDefault(); if (!now.busy && performance.now() >= now.deafUntil) KEYS[event.key](); }
  else if (pad && /^[0-9.,]$|^Backspace$/.test(event.key)) { event.preventDefault(); press(event.key); }
  else if (pad && event.key === 'Enter' && !onButton) { event.preventDefault(); if (!event.repeat) give(); }
  else if (pad && event.key.startsWith('Arrow')) { event.preventDefault(); step(event.key); }
}

// Arrows walk the keys; the pad is three wide.
function step(key) {
  const keys = all('.key', at('pad'));
  const here = keys.indexOf(document.activeElement);
  const there = here < 0 ? 0 : here + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -3, ArrowDown: 3 }[key];
  keys[there]?.focus();
}

async function start() {
  words = await (await fetch('/static/words.json')).json();
  let chosen = null;
  try { chosen = localStorage.getItem('language'); } catch { /* see speak() */ }
  await readStatus();
  now.lang = LOCALES[chosen] ? chosen : now.status && LOCALES[now.status.language] ? now.status.language : 'en';
  document.addEventListener('click', clicked);
  document.addEventListener('keydown', keyed);
  at('code-form').addEventListener('submit', enterCode);
  at('assisted-form').addEventListener('submit', enterAssisted);
  now.last = kept('last');
  await takeUp(kept('sending'), kept('entry'));
  setInterval(readStatus, 30000);
  listen();
}

// After a reload: a write that was under way is asked again under its key; an entry stands as it was typed.
async function takeUp(sending, entry) {
  idle();
  const id = sending ? sending.body.card : entry && entry.card;
  const answer = id && await ask('GET', `cards/${encodeURIComponent(id)}`);
  if (entry && answer && answer.ok && answer.data.known) {
    open(answer.data);
    Object.assign(now, { mode: entry.mode, whole: entry.whole, frac: entry.frac, key: entry.key });
    keepEntry();
    draw();
    quoteSoon();
  }
  if (sending) write(sending.path, sending.body, sending.about, sending.key);
}

start();
