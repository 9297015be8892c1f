// The cashier page. All it shows is drawn from `now` by draw(); the agent's answers and events change `now`.
'use strict';

const AGAIN_MS = 1000; // between two tries while the agent starts again
const QUOTE_AFTER_MS = 120; // a pause in typing that is worth a quote
const DEAF_MS = 400; // the second half of a double press must not dismiss an answer
const ANSWER_MS = 60000; // then the page is idle again
const SOON_MS = 2000; // with the line up, how long the centre is awaited before we say "provisional"
const LOCALES = { en: 'en-IE', fr: 'fr-FR', it: 'it-IT' };
const FINAL = ['applied', 'duplicate', 'merged'];
const PLUGS = ['reader.gone', 'reader.not_present', 'reader.mute', 'reader.busy', 'camera.absent', 'camera.frozen'];
const SHAPES = { final: 'i-yes', changed: 'i-look', held: 'i-look', no: 'i-no' };
const FIRST = { idle: '[data-act=find]', pad: '#amount', code: '#code', assisted: '#operator', unknown: '[data-act=activate]',
  reverse: '[data-act=undo]', rewards: '#rewards button' };
const SOUNDS = { tick: [[1200, 0, 30]], yes: [[660, 0, 70], [880, 80, 70]], look: [[520, 0, 70], [520, 150, 70]], no: [[330, 0, 80], [220, 80, 80]] };

const KEYS = { Escape: ':is([data-act=back],[data-act=next])', F2: '[data-act=bonus]', F3: '[data-act=rewards]', F8: '[data-act=reverse]' };

const ENTRY = { whole: '', frac: null, mode: 'earn', quote: null, eager: false };
const now = { view: '', lang: 'en', status: null, heardAt: 0, agent: true, hint: '', key: '', busy: false, slow: false,
  card: null, second: null, offers: [], purpose: '', answer: null, last: null, deafUntil: 0, ...ENTRY };
const timers = {};
let words, audio, volume;

const at = id => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
const shown = query => all(`section:not([hidden]) ${query}`);
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const make = (tag, textContent, className = '') => Object.assign(document.createElement(tag), { textContent, className });
const later = (name, act, ms) => { clearTimeout(timers[name]); timers[name] = setTimeout(act, ms); };
const path = card => `cards/${encodeURIComponent(card)}`;
const number = (n, options) => new Intl.NumberFormat(LOCALES[now.lang], { useGrouping: 'always', ...options }).format(n);
const signed = n => (n < 0 ? '\u2212' : '+') + number(Math.abs(n));
const word = (key, values = {}) => (words[now.lang][key] || '').replace(/\{(\w+)\}/g, (_, name) => values[name]);
const decimals = () => now.status?.exponent ?? 2;
const faulty = reader => ['faulty', 'stopped'].includes(reader.state);
const nameOf = card => card?.name || word('member');

function counted(key, n) {
  const one = new Intl.PluralRules(LOCALES[now.lang]).select(Math.abs(n)) === 'one';
  return word(`${key}.${one ? 'one' : 'other'}`, { n: number(n) });
}

function provisional(n) {
  return n < 0 ? word('provisional.less', { n: signed(n) }) : counted('provisional', n);
}

function money(minor) {
  return number(minor / 10 ** decimals(), { minimumFractionDigits: decimals(), maximumFractionDigits: decimals() });
}

function currency() {
  if (!now.status?.currency) return '';
  const style = { style: 'currency', currency: now.status.currency, currencyDisplay: 'narrowSymbol' };
  return new Intl.NumberFormat(LOCALES[now.lang], style).formatToParts(0).find(part => part.type === 'currency').value;
}

function age(seconds) {
  const [m, h] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (m < 1) return word('age.s', { n: Math.floor(seconds) });
  if (h < 1) return word('age.min', { n: m });
  if (h < 24) return word('age.h', { n: h, m: String(m % 60).padStart(2, '0') });
  return word('age.d', { n: Math.floor(h / 24), m: h % 24 });
}

// What outlives a reload: in this tab the entry under way and the last answer, in this browser language and operator.
const keep = (name, value, store = sessionStorage) => store.setItem(name, JSON.stringify(value ?? null));
const kept = (name, store = sessionStorage) => JSON.parse(store.getItem(name));

function keepEntry() {
  const { card, mode, whole, frac, key } = now;
  keep('entry', now.view === 'pad' ? { card: card.card, mode, whole, frac, key } : null);
}

// the agent

const session = () => fetch('/', { cache: 'no-store' }).catch(() => null);

// Status 0: no answer. A 401 says that the agent started again: a new session, then the same request.
async function ask(method, what, body, key, again = true) {
  const headers = { 'Accept-Language': now.lang, ...(body && { 'Content-Type': 'application/json' }), ...(key && { 'Idempotency-Key': key }) };
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
  Object.assign(now, { busy: false, slow: false, deafUntil: performance.now() + DEAF_MS });
  keep('sending');
  if (answer.ok) saved(answer.data, { what, ...about }); else refused(answer.data, { what, ...about });
}

async function readStatus() {
  const answer = await ask('GET', 'status');
  now.agent = answer.status !== 0;
  if (answer.ok) Object.assign(now, { status: answer.data, heardAt: Date.now() });
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
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => session().then(listen), AGAIN_MS); // else it tries again by itself
  };
}

// cards and codes held to a reader

function tapped({ card, code, refused: why }) {
  if (now.busy) return hint(word('trouble.saving'));
  if (why) return hint(why.code === 'reader.read_failed' ? word('trouble.read') : why.text);
  if (code) return scanned(code);
  const same = now.card?.card === card.card;
  if (same && ['pad', 'code', 'assisted'].includes(now.view)) return sound('tick');
  if (now.view === 'pad' && now.whole) return askWhose(card);
  if (shown('form input').some(input => input.value) && now.card) return hint(word('second.title'));
  open(card);
}

function scanned(code) {
  if (now.view === 'unknown' || (now.view === 'code' && now.purpose === 'activate')) return codes.activate(code);
  if (now.card?.known && !now.whole && now.view !== 'answer') return codes.bonus(code);
  hint(word('trouble.code_idle'));
}

function open(card) {
  Object.assign(now, ENTRY, { card, second: null, offers: [] });
  if (!card.known) return go('unknown', 'look');
  if (['blocked', 'replaced'].includes(card.status)) return go('blocked', 'no');
  go('pad', 'tick');
  readOffers();
}

function askWhose(card) {
  now.second = card;
  draw();
  tell('look', all('[data-heard]', at('second')));
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
  Object.assign(now, { quote: null, eager: false });
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
  now.quote = { good: data.decision?.decision === 'approved', points: data.decision?.points, words: data.words || { sentence: data.detail } };
  draw();
  if (now.eager) acts.give();
}

// acts

const codes = {
  activate: code => write('activations', { card: now.card.card, code }, { from: 'code', purpose: 'activate' }),
  bonus: code => write('code-uses', { card: now.card.card, codes: [code] }, { from: 'code', purpose: 'bonus' }),
  async find(text) {
    const answer = await ask('GET', path(text));
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
  bonus: () => enter('bonus'),
  assist() { at('operator').value = kept('operator', localStorage) || ''; at('first-name').value = ''; go('assisted'); },
  rewards() { Object.assign(now, ENTRY); go('rewards'); readOffers(); },
  points() { now.mode = 'points'; go('pad'); },
  reward: button => write('burns', { card: now.card.card, reward: button.dataset.reward }, { from: 'rewards' }),
  reverse: () => go('reverse'),
  undo: button => write('reversals', { event_id: now.last.row.event_id, whole: true, reason: button.dataset.reason }, { from: 'reverse' }),
  keep() { now.second = null; draw(); at('amount').focus(); },
  change() {
    const { whole, frac } = now;
    open(now.second);
    if (now.view !== 'pad') return;
    Object.assign(now, { whole, frac });
    keepEntry();
    draw();
    quoteSoon();
  },
  correct() { now.purpose = now.answer.about.purpose; go(now.answer.about.from || 'pad'); quoteSoon(); },
  back() {
    const activating = now.view === 'assisted' || (now.view === 'code' && now.purpose === 'activate');
    if (now.second) acts.keep();
    else if (now.view === 'reverse' && now.answer) go('answer');
    else if (activating) go('unknown');
    else if (now.view === 'rewards' || (now.view === 'code' && now.purpose === 'bonus')) go('pad');
    else if (now.mode === 'points' && now.view === 'pad') acts.rewards();
    else idle();
  },
  next() {
    const { about, card, good } = now.answer;
    if (good && about.what === 'activations') open(card); else idle(); // a card just activated has a purchase waiting
  },
};

function enter(purpose) {
  now.purpose = purpose;
  at('code').value = '';
  go('code');
}

function assisted() {
  const [operator, name] = [at('operator').value.trim(), at('first-name').value.trim()];
  if (!operator) return at('operator').focus();
  keep('operator', operator, localStorage);
  write('activations', { card: now.card.card, assisted: true, operator, ...(name && { first_name: name }) }, { from: 'assisted' });
}

function idle() {
  Object.assign(now, ENTRY, { card: null, second: null });
  go('idle');
}

// answers

function saved(done, about) {
  const undone = about.what === 'reversals';
  const card = done.card?.card ? done.card : undone ? { ...done.card, card: now.last.card?.card } : now.card;
  const soon = done.provisional && now.status?.line === 'up';
  const mine = { ...done, card, about, good: true, points: done.decision.points, at: Date.now(), fate: soon ? 'saved' : done.provisional ? 'provisional' : 'final' };
  if (undone) now.last.reversed = true; else now.last = mine;
  keep('last', now.last);
  Object.assign(now, ENTRY, { answer: mine, card });
  go('answer', 'yes');
  if (soon) setTimeout(() => { if (mine.fate === 'saved') { mine.fate = 'provisional'; draw(); } }, SOON_MS);
  settle();
  statusSoon();
}

function refused(problem, about) {
  now.answer = { about, good: false, fate: 'no', card: now.card, words: { sentence: problem.detail || word('trouble.agent'), ...problem.words } };
  go('answer', 'no');
}

// A decision that this page did not ask for: the shop's own software did.
function decided(done) {
  const known = [now.answer, now.last].some(one => one?.row?.event_id === done.row.event_id);
  const free = now.view === 'idle' || (now.view === 'pad' && !now.whole && now.card.card === done.card.card);
  if (!now.busy && !known && free && done.card.card) saved(done, {});
}

// The centre's word on what was answered here, from the journal: it is right after a reload or a lost event, too.
async function settle() {
  const open = [...new Set([now.answer, now.last])].filter(one => ['saved', 'provisional'].includes(one?.fate));
  const rows = open.length ? (await ask('GET', 'journal?limit=50')).data : [];
  for (const one of open) {
    const row = Array.isArray(rows) && rows.find(row => row.event_id === one.row.event_id);
    if (!row || row.outcome === 'pending') continue;
    one.was = one.points;
    one.points = row.points_counted ?? one.points;
    one.fate = one.was !== one.points || row.outcome === 'adjusted' ? 'changed' : FINAL.includes(row.outcome) ? 'final' : 'held';
    const card = one.card?.card && await ask('GET', path(one.card.card));
    if (card?.ok) one.card = card.data;
    draw();
    if (one === now.answer && one.fate === 'changed') tell('look', shown('[data-heard]'));
  }
  keep('last', now.last);
}

// showing

function go(view, tone) {
  Object.assign(now, { view, hint: '', eager: false, key: crypto.randomUUID() }); // one key a page, made with the page
  if (!['answer', 'reverse'].includes(view)) now.answer = null;
  keepEntry();
  draw();
  clearTimeout(timers.idle);
  if (view === 'answer') later('idle', idle, ANSWER_MS);
  if (tone) tell(tone, shown('[data-heard]'));
  const first = view === 'answer' ? (now.answer.good ? '#next' : '#correct') : FIRST[view] || '#work';
  document.querySelector(first)?.focus();
}

function hint(text) {
  now.hint = text;
  draw();
  tell('look', [{ textContent: text }]);
}

function tell(name, nodes) {
  put(at('heard'), nodes.map(node => node.textContent.trim()).filter(Boolean).join('. '));
  sound(name);
}

const shape = (node, name) => node.querySelector('use').setAttribute('href', `#${name}`);
const tone = (node, name) => ['yes', 'look', 'no'].forEach(one => node.classList.toggle(`tone-${one}`, one === name));

function draw() {
  if (!now.view) return;
  document.documentElement.lang = now.lang;
  all('[data-w]').forEach(node => put(node, word(node.dataset.w)));
  all('[data-label]').forEach(node => node.setAttribute('aria-label', word(node.dataset.label)));
  all('[data-lang]').forEach(node => node.setAttribute('aria-pressed', node.dataset.lang === now.lang));
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
  put(at('outlet'), outlet);
  put(head, word(`line.${state}`));
  put(rest, now.agent ? `, ${pending ? word('unsent.n', { n: number(pending) }) + since : word('unsent.none')}` : '');
  shape(at('line'), ['up', 'down'].includes(state) ? `rope-${state}` : 'rope-unknown');
  tone(at('line'), state === 'up' ? 'yes' : 'look');
  put(at('reader').lastElementChild, readerWords(readers));
  shape(at('reader'), readers.some(faulty) ? 'i-readerx' : 'i-reader');
  tone(at('reader'), readers.some(faulty) ? 'look' : 'yes');
  at('strip').classList.toggle('look', state !== 'up' || readers.some(faulty));
}

function readerWords(readers) {
  const good = readers.filter(one => one.state === 'ready').length;
  if (good && good === readers.length) return counted('reader.ready', good);
  if (good) return word('reader.some', { n: good, m: readers.length });
  return word(`reader.${!readers.length ? 'none' : readers.some(faulty) ? 'lost' : readers[0].state === 'paused' ? 'paused' : 'soon'}`);
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
  const said = lost ? [word('idle.around'), PLUGS.includes(lost.code) ? word('idle.plug') : word('idle.technician', { code: lost.code || '' })] : [];
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
  button.dataset.reward = reward.id;
  button.dataset.act = 'reward';
  button.setAttribute('aria-disabled', !reward.available || now.busy);
  return button;
}

const draws = {
  idle() {
    const text = news();
    put(at('news'), text);
    at('news').hidden = !text;
    at('lead').hidden = Boolean(text);
    at('idle-rule').classList.toggle('dash', !now.agent || now.status?.line === 'down');
    if (!now.last) return;
    const { card, points, fate, reversed, at: when } = now.last;
    const time = new Intl.DateTimeFormat(LOCALES[now.lang], { hour: '2-digit', minute: '2-digit' }).format(when);
    put(at('last').lastElementChild.lastElementChild, `${nameOf(card)} ${signed(points)}, ${time}. ${word(reversed ? 'last.reversed' : `yes.${fate}`)}`);
    shape(at('last'), reversed ? 'i-undo' : SHAPES[fate] || 'i-half');
    tone(at('last').firstElementChild, fate === 'final' ? 'yes' : 'look');
  },
  pad() {
    const points = now.mode === 'points';
    const said = tallWords();
    put(at('amount-label'), word(points ? 'amount.points' : 'amount'));
    at('amount').value = points ? number(minor()) : money(minor());
    put(at('currency'), points ? '' : currency());
    [...at('tall').children].forEach((node, i) => put(node, said[i]));
    at('tall').setAttribute('aria-disabled', !said[1]);
    at('second').hidden = !now.second;
    at('pad').inert = Boolean(now.second);
    if (!now.second) return;
    put(at('keep-name'), word('second.keep', { name: nameOf(now.card) }));
    put(at('change-name'), word('second.change', { name: now.second.known ? nameOf(now.second) : word('second.unknown') }));
  },
  rewards() {
    const held = document.activeElement.dataset.reward;
    at('rewards').replaceChildren(...now.offers.map(rewardButton));
    if (!now.offers.length) at('rewards').append(make('p', word('rewards.none'), 'lead'));
    all('#rewards button').find(one => one.dataset.reward === held)?.focus();
  },
  code() {
    const finding = now.purpose === 'find';
    put(at('code-title'), word(`code.${now.purpose}`));
    put(at('code-help'), word(now.busy ? 'pad.saving' : finding ? 'code.find_help' : 'code.help'));
    put(at('code-label'), word(finding ? 'code.number' : 'code.label'));
    put(at('code-go'), word(`code.go_${now.purpose}`));
    at('code-alike').hidden = finding;
  },
  unknown() { at('unknown-line').hidden = now.status?.line === 'up'; },
  blocked() {
    put(at('blocked-name'), now.card.name || '');
    put(at('blocked-body'), word(`${now.card.status}.body`));
  },
  answer() {
    const { good, fate, points, card, about, words: said, was, replayed } = now.answer;
    const head = at('verdict');
    const swapped = fate === 'changed' && was !== points;
    const values = good ? { n: signed(points), m: signed(was ?? points) } : {};
    shape(head, SHAPES[fate] || 'i-half');
    put(head.lastElementChild, good ? word(`yes.${fate}`) : said.verdict || word('no'));
    tone(head, good ? (['final', 'saved'].includes(fate) ? 'yes' : 'look') : 'no');
    head.closest('section').classList.toggle('declined', !good);
    put(at('sentence'), swapped ? word('sentence.changed', values) : said.sentence);
    put(at('whose'), [card?.name, about.amount && `${money(about.amount)} ${currency()}`].filter(Boolean).join(', '));
    at('lines').replaceChildren(...((good ? said.lines : said.almost) || []).map(text => make('li', text)));
    put(at('answer-note'), word(`note.${replayed && fate !== 'changed' ? 'replayed' : fate}`, values));
    if (!good) return;
    at('number').parentElement.hidden = !points;
    put(at('number'), signed(points));
    put(at('was'), swapped ? signed(was) : '');
    put(at('unit'), counted('points', points));
    at('rule').className = `rule ${fate === 'final' ? '' : fate === 'saved' ? 'dash soon' : 'dash'}`;
    put(at('after'), card?.balance == null ? '' : `${word('balance')} ${number(card.balance)}${card.provisional ? `, ${provisional(card.provisional)}` : ''}`);
  },
  reverse() {
    put(at('undo-number'), signed(now.last.points));
    put(at('undo-unit'), counted('points', now.last.points));
    put(at('undo-whose'), nameOf(now.last.card));
  },
};

function drawBar() {
  const { answer, last } = now;
  const may = {
    last, 'reverse-last': last && !last.reversed, bonus: !now.whole && now.mode === 'earn',
    'reverse-this': answer && answer === last && !last.reversed, 'answer-rewards': answer?.good && now.card?.known && answer.about.what !== 'reversals',
    correct: answer && !answer.good, 'or-tap': answer?.good && !now.hint,
  };
  all('[data-hint]').forEach(node => { put(node, now.hint); node.hidden = !now.hint; });
  all('[data-on]').forEach(node => {
    node.hidden = !node.dataset.on.split(' ').includes(now.view) || (node.id in may && !may[node.id]) || (node.id === 'bar-hint' && !now.hint);
  });
  at('next').className = answer?.good === false ? 'edge next' : 'main next';
}

// sound, keys, language

function sound(name) {
  audio ??= new AudioContext();
  volume ??= new GainNode(audio, { gain: 0.2 });
  volume.connect(audio.destination);
  for (const [frequency, delay, length] of SOUNDS[name]) {
    const source = new OscillatorNode(audio, { frequency });
    const start = audio.currentTime + delay / 1000;
    source.connect(volume);
    source.start(start);
    source.stop(start + length / 1000);
  }
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
  if (KEYS[key]) document.querySelector(`.bar ${KEYS[key]}:not([hidden])`)?.click();
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
    Object.assign(now, entry, { card: answer.data });
    keepEntry();
    draw();
    quoteSoon();
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
  submit('code-form', () => { const text = at('code').value.trim(); if (text) codes[now.purpose](text); });
  submit('assisted-form', assisted);
  await takeUp(kept('sending'), kept('entry'));
  setInterval(readStatus, 30000);
  listen();
}

start();
