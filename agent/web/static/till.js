// The cashier page. All it shows is drawn from `now` by draw(); the agent's answers and events change `now`.
'use strict';

const AGAIN_MS = 1000; // between tries
const QUOTE_AFTER_MS = 120; // a pause in typing worth a quote
const DEAF_MS = 400; // a double press must not dismiss an answer
const ANSWER_MS = 60000; // then the page is idle again
const LOCALES = { en: 'en-IE', fr: 'fr-FR', it: 'it-IT' };
const FINAL = ['applied', 'duplicate', 'merged', 'adjusted'];
const FOR_TECHNICIAN = /library|service|permit|options|refused/; // no pulled plug mends these readers
const SETTLED = ['final', 'changed'];
const SHAPES = { final: 'i-yes', changed: 'i-look', held: 'i-look', no: 'i-no' };

const ENTRY = { whole: '', frac: null, mode: 'earn', quote: null, eager: false };
const now = { view: '', lang: 'en', status: null, heardAt: 0, agent: true, hint: '', key: '', busy: false, slow: false,
  card: null, second: null, offers: [], purpose: '', answer: null, last: null, deafUntil: 0, ...ENTRY };
const timers = {};
let words;

const at = id => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
const shown = query => all(`section:not([hidden]) ${query}`);
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const make = (tag, textContent, className = '') => Object.assign(document.createElement(tag), { textContent, className });
const text = (id, said) => put(at(id), said);
const later = (name, act, ms) => { clearTimeout(timers[name]); timers[name] = setTimeout(act, ms); };
const path = card => `cards/${encodeURIComponent(card)}`;
const number = (n, options) => new Intl.NumberFormat(LOCALES[now.lang], { useGrouping: 'always', ...options }).format(n);
const signed = n => (n < 0 ? '\u2212' : '+') + number(Math.abs(n));
const word = (key, values = {}) => (words[now.lang][key] || '').replace(/\{(\w+)\}/g, (_, name) => values[name]);
const decimals = () => now.status?.exponent ?? 2;
const faulty = reader => ['faulty', 'stopped'].includes(reader.state);
const nameOf = card => card.name || word('member');
const set = (...changes) => Object.assign(now, ...changes);

function counted(key, n) {
  const one = new Intl.PluralRules(LOCALES[now.lang]).select(Math.abs(n)) === 'one';
  return word(`${key}.${one ? 'one' : 'other'}`, { n: number(n) });
}

const provisional = n => n < 0 ? word('provisional.less', { n: signed(n) }) : counted('provisional', n);

const money = minor => number(minor / 10 ** decimals(), { minimumFractionDigits: decimals(), maximumFractionDigits: decimals() });

function currency() {
  const style = { style: 'currency', currency: now.status?.currency, currencyDisplay: 'narrowSymbol' };
  return style.currency ? number(0, style).replace(/[\d.,\s]/g, '') : '';
}

function age(seconds) {
  const minutes = Math.max(1, Math.floor(seconds / 60));
  return minutes < 60 ? word('age.min', { n: minutes }) : word('age.h', { n: Math.floor(minutes / 60), m: String(minutes % 60).padStart(2, '0') });
}

// What outlives a reload: in this tab the entry and the last answer, in this browser the language.
const keep = (name, value, store = sessionStorage) => store.setItem(name, JSON.stringify(value ?? null));
const kept = (name, store = sessionStorage) => JSON.parse(store.getItem(name));

function keepEntry() {
  const { card, mode, whole, frac, key } = now;
  keep('entry', now.view === 'pad' ? { card: card.card, mode, whole, frac, key } : null);
}

const session = () => fetch('/', { cache: 'no-store' }).catch(() => null);

// Status 0: no answer. A 401 says that the agent started again: a new session, then the same request.
async function ask(method, what, body, key, again = true) {
  const headers = { 'Accept-Language': now.lang, 'Content-Type': 'application/json', ...(key && { 'Idempotency-Key': key }) };
  try {
    const answer = await fetch(`/api/v1/${what}`, { method, headers, cache: 'no-store', body: body && JSON.stringify(body) });
    if (answer.status === 401 && again) return session().then(() => ask(method, what, body, key, false));
    return { ok: answer.ok, status: answer.status, data: await answer.json() };
  } catch {
    return { ok: false, status: 0, data: {} };
  }
}

// A write is asked until it is answered, always under its one key: asked twice it is still one row.
async function write(what, body, about = {}, key = now.key) {
  if (now.busy) return;
  now.busy = true;
  keep('sending', { what, body, about, key });
  draw();
  let answer;
  while (!(answer = await ask('POST', what, body, key)).status) {
    now.slow = true;
    draw();
    await new Promise(done => setTimeout(done, AGAIN_MS));
  }
  set({ busy: false, slow: false, deafUntil: performance.now() + DEAF_MS });
  keep('sending');
  if (answer.ok) saved(answer.data, { what, ...about }); else refused(answer.data, { what, ...about });
}

async function readStatus() {
  const answer = await ask('GET', 'status');
  now.agent = answer.status !== 0;
  if (answer.ok) set({ status: answer.data, heardAt: Date.now() });
  draw();
}
const statusSoon = () => later('status', readStatus, 100);

function listen() {
  const stream = new EventSource('/api/v1/stream');
  const on = (names, act) => names.forEach(name => stream.addEventListener(name, event => act(JSON.parse(event.data))));
  on(['hello', 'line', 'reader', 'fault', 'outcome', 'decision'], statusSoon);
  on(['hello', 'outcome'], settle);
  on(['hello'], quoteSoon);
  on(['tap'], tapped);
  on(['decision'], decided);
  stream.onerror = () => {
    now.agent = false;
    draw();
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => session().then(listen), AGAIN_MS);
  };
}

function tapped({ card, code, refused: why }) {
  if (now.busy) return hint(word('trouble.saving'));
  if (why) return hint(why.code === 'reader.read_failed' ? word('trouble.read') : why.text);
  if (code) return scanned(code);
  if (now.card?.card === card.card && ['pad', 'code', 'assisted'].includes(now.view)) return;
  if (now.view === 'pad' && now.whole) return askWhose(card);
  if (shown('form input').some(input => input.value) && now.card) return hint(word('second.title'));
  open(card);
}

function scanned(code) {
  if (now.view === 'unknown' || (now.view === 'code' && now.purpose === 'activate')) return codes.activate(code);
  hint(word('trouble.code_idle'));
}

function open(card) {
  set(ENTRY, { card, second: null, offers: [], deafUntil: 0 });
  if (!card.known) return go('unknown');
  if (['blocked', 'replaced'].includes(card.status)) return go('blocked');
  go('pad');
  readOffers();
}

function askWhose(card) {
  now.second = card;
  draw();
  tell(all('[data-heard]', at('second')));
  all('[data-act=keep]')[0].focus();
}

async function readOffers() {
  const { card } = now.card;
  const answer = await ask('GET', `rewards?card=${encodeURIComponent(card)}`);
  if (answer.ok && now.card?.card === card) now.offers = answer.data;
  draw();
}

// The amount. Digits alone fill from the right (2550 is 25.50); after a point or a comma they are decimals (25,5 too).

function minor() {
  if (now.frac === null) return Number(now.whole);
  return Number(now.whole) * 10 ** decimals() + Number(now.frac.padEnd(decimals(), '0'));
}

function press(key) {
  if (now.busy || now.second) return;
  if (key === 'Backspace') erase();
  else if (key === '.' || key === ',') { if (now.mode === 'earn' && decimals()) now.frac ??= ''; }
  else if (now.frac !== null) { if (now.frac.length + key.length <= decimals()) now.frac += key; }
  else if (now.whole.length + key.length <= 8) now.whole = (now.whole + key).replace(/^0+/, '');
  set({ quote: null, eager: false });
  entered();
}

function entered() {
  keepEntry();
  draw();
  quoteSoon();
}

function erase() {
  if (now.frac === null) now.whole = now.whole.slice(0, -1);
  else now.frac = now.frac ? now.frac.slice(0, -1) : null;
}

function quoteSoon() {
  if (now.view === 'pad' && now.mode === 'earn' && minor() > 0) later('quote', quote, QUOTE_AFTER_MS);
}

async function quote() {
  const typed = () => now.view === 'pad' && [now.card.card, minor(), now.lang].join();
  const asked = typed();
  if (!asked) return;
  const { status, data } = await ask('POST', 'quote', { card: now.card.card, amount_minor: minor() });
  if (typed() !== asked || !status) return;
  const { decision } = data;
  now.quote = { good: decision?.decision === 'approved', points: decision?.points, words: data.words || { sentence: data.detail } };
  draw();
  if (now.eager) acts.give();
}

const codes = {
  activate: code => write('activations', { card: now.card.card, code }, { from: 'code', purpose: 'activate' }),
  async find(typed) {
    const answer = await ask('GET', path(typed));
    if (answer.ok) open(answer.data); else hint(answer.data.detail || word('trouble.agent'));
  },
};

const acts = {
  give() {
    const card = now.card.card;
    if (now.second || minor() <= 0) return;
    if (now.mode === 'points') write('burns', { card, points: minor() });
    else if (!now.quote) now.eager = true; // Enter came before the quote did: it is kept for it
    else if (now.quote.good) write('earnings', { card, amount_minor: minor() }, { amount: minor() });
  },
  find: () => enter('find'),
  activate: () => enter('activate'),
  assist() { at('assisted-form').reset(); go('assisted'); },
  rewards() { if (now.mode === 'points') set(ENTRY); go('rewards'); readOffers(); },
  points() { set(ENTRY, { mode: 'points' }); go('pad'); },
  reward: button => write('burns', { card: now.card.card, reward: button.dataset.reward }, { from: 'rewards' }),
  reverse: () => go('reverse'),
  undo: button => write('reversals', { event_id: now.last.row.event_id, whole: true, reason: button.dataset.reason }, { from: 'reverse' }),
  keep() { now.second = null; draw(); at('amount').focus(); },
  change() {
    const { whole, frac } = now;
    open(now.second);
    if (now.view !== 'pad') return;
    set({ whole, frac });
    entered();
  },
  correct() { now.purpose = now.answer.about.purpose; go(now.answer.about.from || 'pad'); quoteSoon(); },
  back() {
    const activating = now.view === 'assisted' || (now.view === 'code' && now.purpose === 'activate');
    if (now.second) acts.keep();
    else if (now.mode === 'points') acts.rewards();
    else if (now.answer) go('answer');
    else if (activating) go('unknown');
    else if (now.view === 'rewards') go('pad');
    else idle();
  },
  next() {
    const { about, card, good } = now.answer;
    if (good && about.what === 'activations') open(card); else idle();
  },
};

function enter(purpose) {
  now.purpose = purpose;
  at('code-form').reset();
  go('code');
}

function assisted() {
  const [operator, name] = [at('operator').value.trim(), at('first-name').value.trim()];
  if (!operator) return at('operator').focus();
  write('activations', { card: now.card.card, assisted: true, operator, first_name: name || null }, { from: 'assisted' });
}

function idle() {
  set(ENTRY, { card: null, second: null });
  go('idle');
}

function saved(done, about) {
  const undone = about.what === 'reversals';
  const card = { ...done.card, card: done.card.card || now.last.card.card };
  const mine = { ...done, card, about, good: true, points: done.decision.points, at: Date.now(), fate: done.provisional ? 'provisional' : 'final' };
  if (undone) now.last.reversed = true; else now.last = mine;
  keep('last', now.last);
  set(ENTRY, { answer: mine, card });
  go('answer');
  settle();
  statusSoon();
}

function refused(problem, about) {
  now.answer = { about, good: false, fate: 'no', card: now.card || now.last.card, words: { sentence: problem.detail || word('trouble.agent'), ...problem.words } };
  go('answer');
}

// A decision that this page did not ask for: the shop's own software did.
function decided(done) {
  const known = [now.answer, now.last].some(one => one?.row?.event_id === done.row.event_id);
  const free = now.view === 'idle' || (now.view === 'pad' && !now.whole && now.card.card === done.card.card);
  if (!now.busy && !known && free && done.card.card) saved(done, {});
}

// The centre's word on what was answered here, from the journal: it is right after a reload or a lost event, too.
async function settle() {
  const open = [...new Set([now.answer, now.last])].filter(one => one?.fate === 'provisional');
  const rows = open.length ? (await ask('GET', 'journal?limit=50')).data : [];
  for (const one of open) {
    const row = Array.isArray(rows) && rows.find(row => row.event_id === one.row.event_id);
    if (!row || row.outcome === 'pending' || one.fate !== 'provisional') continue;
    one.was = one.points;
    one.points = row.points_counted ?? one.points;
    one.fate = one.was !== one.points ? 'changed' : FINAL.includes(row.outcome) ? 'final' : 'held';
    const card = await ask('GET', path(one.card.card));
    if (card.ok) one.card = card.data;
    draw();
    if (one === now.answer && one.fate === 'changed') tell(shown('[data-heard]'));
  }
  keep('last', now.last);
}

function go(view) {
  set({ view, hint: '', eager: false, key: crypto.randomUUID() }); // one key a page, made with the page
  if (!['answer', 'reverse'].includes(view)) now.answer = null;
  keepEntry();
  draw();
  clearTimeout(timers.idle);
  if (view === 'answer') later('idle', idle, ANSWER_MS);
  tell(shown('[data-heard]'));
  all('section:not([hidden]) [data-first], .bar [data-first]:not([hidden])')[0]?.focus();
}

function hint(said) {
  now.hint = said;
  draw();
  tell([at('hint')]);
}

const tell = nodes => text('heard', nodes.filter(node => node.checkVisibility()).map(node => node.textContent.trim()).filter(Boolean).join('. '));
const shape = (node, name) => node.querySelector('use').setAttribute('href', `#${name}`);
const tone = (node, name) => ['yes', 'look', 'no'].forEach(one => node.classList.toggle(`tone-${one}`, one === name));

function draw() {
  if (!now.view) return;
  document.documentElement.lang = now.lang;
  all('[data-w]').forEach(node => put(node, word(node.dataset.w)));
  all('[data-label]').forEach(node => { node.ariaLabel = word(node.dataset.label); });
  all('[data-lang]').forEach(node => { node.ariaPressed = node.dataset.lang === now.lang; });
  all('[data-view]').forEach(node => { node.hidden = node.dataset.view !== now.view; });
  if (now.card) shown('[data-who]').forEach(drawWho);
  if (now.status) drawStrip(now.status);
  draws[now.view]?.();
  drawBar();
  document.title = `Holdfast \u00b7 ${shown(':is(h1,.name)')[0].textContent.trim()}`;
}

function drawStrip({ outlet, line, pending, oldest_pending_s: oldest, readers }) {
  const state = now.agent ? line : 'agent';
  const [head, rest] = at('line').lastElementChild.children;
  const since = line !== 'up' && oldest != null ? `, ${word('unsent.since', { t: age(oldest + (Date.now() - now.heardAt) / 1000) })}` : '';
  text('outlet', outlet);
  put(head, word(`line.${state}`));
  put(rest, now.agent ? `, ${pending ? word('unsent.n', { n: number(pending) }) + since : word('unsent.none')}` : '');
  shape(at('line'), ['up', 'down'].includes(state) ? `rope-${state}` : 'rope-unknown');
  tone(at('line'), state === 'up' ? 'yes' : 'look');
  const [n, m, lost] = [readers.filter(one => one.state === 'ready').length, readers.length, readers.some(faulty)];
  const none = !m ? 'reader.none' : lost ? 'reader.lost' : 'reader.soon';
  put(at('reader').lastElementChild, !n ? word(none) : n === m ? counted('reader.ready', n) : word('reader.some', { n, m }));
  shape(at('reader'), lost ? 'i-readerx' : 'i-reader');
  tone(at('reader'), lost ? 'look' : 'yes');
  at('strip').classList.toggle('look', state !== 'up' || lost);
}

function drawWho(place) {
  const { card } = now;
  if (!place.firstElementChild) place.append(at('who').content.cloneNode(true));
  const [tier, name, held, unit, parts, can, near] = all('[data-put]', place);
  const offer = now.offers.find(reward => reward.available);
  const close = (now.quote?.words.almost || card.almost || [])[0];
  const unsure = card.balance === null;
  all('[data-w]', place).forEach(node => put(node, word(node.dataset.w)));
  put(tier, words[now.lang][`tier.${card.tier}`] || card.tier || '');
  put(name, nameOf(card));
  put(held, unsure ? '?' : number(card.balance));
  put(unit, counted('points', card.balance ?? 0));
  put(parts, unsure ? word('balance.unknown') : card.provisional ? provisional(card.provisional) : word('final.all'));
  put(can, offer ? `${offer.name}, ${number(offer.points)}` : '');
  put(near, close || '');
  all('.fact,.tier', place).forEach(node => node.classList.toggle('gone', !all('[data-put]', node)[0].textContent));
  held.parentElement.classList.toggle('long', held.textContent.length > 5);
  all('.rule', place)[0].classList.toggle('dash', unsure);
  all('.swatch', place)[0].classList.toggle('dash', unsure || card.provisional !== 0);
}

function news() {
  if (!now.agent) return word('idle.agent');
  const lost = now.status?.readers.find(faulty);
  const said = lost ? [word('idle.around'), word(FOR_TECHNICIAN.test(lost.code) ? 'idle.technician' : 'idle.plug', lost)] : [];
  if (now.status?.line === 'down') said.push(word('idle.line_down'));
  return said.join(' ');
}

function tallWords() {
  if (now.busy) return [word(now.slow ? 'pad.again' : 'pad.saving'), '', ''];
  if (minor() === 0) return [word(now.mode === 'points' ? 'pad.points' : 'pad.amount'), '', ''];
  if (now.mode === 'points') return [word('pad.use'), number(minor()), counted('points', minor())];
  if (!now.quote) return [word('pad.wait'), '', ''];
  if (!now.quote.good) return [now.quote.words.sentence, '', ''];
  return [word('pad.give'), number(now.quote.points), counted('points', now.quote.points)];
}

function rewardButton(reward) {
  const short = reward.points - (now.card.balance ?? 0);
  const why = reward.needs_line ? 'rewards.needs_line' : reward.available ? '' : short > 0 ? 'rewards.short' : 'rewards.not_now';
  const button = make('button', '', 'edge');
  const label = make('span', reward.name);
  if (why) label.append(make('small', word(why, { n: number(short) })));
  button.append(label, make('span', number(reward.points), 'r'));
  Object.assign(button.dataset, { reward: reward.id, act: 'reward', first: '' });
  button.ariaDisabled = !reward.available || now.busy;
  return button;
}

const draws = {
  idle() {
    const said = news();
    text('news', said);
    at('news').hidden = !said;
    at('idle-rule').classList.toggle('dash', !now.agent || now.status?.line === 'down');
    if (!now.last) return;
    const { card, points, fate, reversed, at: when } = now.last;
    const time = new Date(when).toLocaleTimeString(LOCALES[now.lang], { hour: '2-digit', minute: '2-digit' });
    put(at('last').lastElementChild.lastElementChild, `${nameOf(card)} ${signed(points)}, ${time}. ${word(reversed ? 'last.reversed' : `yes.${fate}`)}`);
    shape(at('last'), reversed ? 'i-undo' : SHAPES[fate] || 'i-half');
    tone(at('last').firstElementChild, fate === 'final' ? 'yes' : 'look');
  },
  pad() {
    const points = now.mode === 'points';
    const said = tallWords();
    text('amount-label', word(points ? 'amount.points' : 'amount'));
    at('amount').value = points ? number(minor()) : money(minor());
    text('currency', points ? '' : currency());
    [...at('tall').children].forEach((node, i) => put(node, said[i]));
    at('tall').classList.toggle('long', said[1].length > 4);
    at('tall').ariaDisabled = !said[1];
    at('second').hidden = !now.second;
    at('pad').inert = Boolean(now.second);
    if (!now.second) return;
    text('keep-name', word('second.keep', { name: nameOf(now.card) }));
    text('change-name', word('second.change', { name: now.second.known ? nameOf(now.second) : word('second.unknown') }));
  },
  rewards() {
    const held = document.activeElement.dataset.reward;
    at('rewards').replaceChildren(...now.offers.map(rewardButton));
    if (!now.offers.length) at('rewards').append(make('p', word('rewards.none'), 'lead'));
    all('#rewards button').find(one => one.dataset.reward === held)?.focus();
  },
  code() {
    const finding = now.purpose === 'find';
    text('code-title', word(`code.${now.purpose}`));
    text('code-help', word(now.busy ? 'pad.saving' : finding ? 'code.find_help' : 'code.help'));
    text('code-label', word(finding ? 'code.number' : 'code.label'));
    text('code-go', word(`code.go_${now.purpose}`));
    at('code-alike').hidden = finding;
  },
  unknown() { at('unknown-line').hidden = now.status?.line === 'up'; },
  blocked() {
    text('blocked-name', now.card.name || '');
    text('blocked-body', word(`${now.card.status}.body`));
  },
  answer() {
    const { good, fate, points, card, about, words: said, was, replayed } = now.answer;
    const head = at('verdict');
    shape(head, SHAPES[fate] || 'i-half');
    put(head.lastElementChild, good ? word(`yes.${fate}`) : said.verdict || word('no'));
    tone(head, { final: 'yes', no: 'no' }[fate] || 'look');
    head.closest('section').classList.toggle('declined', !good);
    text('sentence', said.sentence);
    text('whose', [card.name, about.amount && `${money(about.amount)} ${currency()}`].filter(Boolean).join(', '));
    at('lines').replaceChildren(...((good ? said.lines : said.almost) || []).map(line => make('li', line)));
    text('answer-note', word(`note.${replayed && fate === 'provisional' ? 'replayed' : fate}`));
    if (!good) return;
    at('number').parentElement.hidden = !points;
    if (points && SETTLED.includes(fate)) {
      text('sentence', word(`sentence.${fate}`, { n: signed(points), m: signed(was), given: `${number(points)} ${counted('points', points)}`, name: nameOf(card) }));
    }
    text('number', signed(points));
    text('was', fate === 'changed' ? signed(was) : '');
    text('unit', counted('points', points));
    at('rule').className = fate === 'final' ? 'rule' : 'rule dash';
    text('after', card.balance == null ? '' : `${word('balance')} ${number(card.balance)}${card.provisional ? `, ${provisional(card.provisional)}` : ''}`);
  },
  reverse() {
    at('undo-rule').className = now.last.fate === 'final' ? 'rule' : 'rule dash';
    text('undo-number', signed(now.last.points));
    text('undo-unit', counted('points', now.last.points));
    text('undo-whose', nameOf(now.last.card));
  },
};

function drawBar() {
  const { answer, last } = now;
  const may = {
    last, 'reverse-last': last && !last.reversed,
    'reverse-this': answer && answer === last && !last.reversed,
    correct: answer && !answer.good, 'or-tap': answer?.good && !now.hint,
  };
  text('hint', now.hint);
  all('[data-on]').forEach(node => {
    node.hidden = !node.dataset.on.split(' ').includes(now.view) || (node.id in may && !may[node.id]);
  });
  at('next').className = answer?.good === false ? 'edge next' : 'main next';
}

function speak(lang) {
  keep('language', lang, localStorage);
  now.lang = lang;
  readStatus();
}

function clicked(event) {
  const button = event.target.closest('button');
  if (!button) return;
  if (now.busy || performance.now() < now.deafUntil) event.preventDefault();
  else if (button.dataset.lang) speak(button.dataset.lang);
  else if (button.dataset.key) press(button.dataset.key);
  else if (button.dataset.act && button.ariaDisabled !== 'true') acts[button.dataset.act](button);
}

function keyed(event) {
  const { key } = event;
  const pad = now.view === 'pad' && !now.second;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (key === 'Escape') document.querySelector('.bar :is([data-act=back],[data-act=next]):not([hidden])')?.click();
  else if (pad && /^([0-9.,]|Backspace)$/.test(key)) press(key);
  else if (pad && key === 'Enter' && document.activeElement.tagName !== 'BUTTON') { if (!event.repeat) acts.give(); }
  else return;
  event.preventDefault();
}

// After a reload an entry stands as it was typed, and a write that was under way is asked again under its key.
async function takeUp(sending, entry) {
  idle();
  const id = sending?.body.card || entry?.card;
  const answer = id && await ask('GET', path(id));
  if (answer?.ok) open(answer.data);
  if (now.view === 'pad' && entry) {
    set(entry, { card: answer.data });
    entered();
  }
  if (sending) write(sending.what, sending.body, sending.about, sending.key);
}

async function start() {
  words = await (await fetch('/static/words.json')).json();
  const chosen = kept('language', localStorage);
  await readStatus();
  now.lang = chosen || now.status?.language || 'en';
  now.last = kept('last');
  document.addEventListener('click', clicked);
  document.addEventListener('keydown', keyed);
  const submit = (id, act) => at(id).addEventListener('submit', event => { event.preventDefault(); act(); });
  submit('code-form', () => { const typed = at('code').value.trim(); if (typed) codes[now.purpose](typed); });
  submit('assisted-form', assisted);
  await takeUp(kept('sending'), kept('entry'));
  setInterval(readStatus, 30000);
  listen();
}

start();
