// The counter to try: it holds cards and codes to the till's readers, moves the line, and shows the centre's books.
'use strict';

const EVERY_MS = 1000;
const at = id => document.getElementById(id);
const make = (tag, text, className = '') => Object.assign(document.createElement(tag), { textContent: text, className });
let drawn = {};

async function ask(path, body) {
  const how = body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(`/demo/${path}`, how);
  if (!answer.ok) throw new Error(`The demonstration answered ${answer.status} to ${path}.`);
  return answer.json();
}

async function act(path, body) {
  try {
    await ask(path, body);
    at('trouble').textContent = '';
  } catch (error) {
    at('trouble').textContent = `${error.message} Is it still running in its window?`;
  }
  look();
}

function card({ id, label, kind, hint }) {
  const button = make('button', '', `card ${kind}`);
  button.append(make('b', label), make('small', hint || 'tap'));
  button.addEventListener('click', () => act('tap', { id }));
  return button;
}

function code({ typed, qr_svg_url: picture, used }) {
  const button = make('button', '', used ? 'code used' : 'code');
  const words = make('span', '');
  words.append(make('b', typed), make('small', used ? 'used' : 'show it to the camera'));
  button.append(Object.assign(document.createElement('img'), { src: picture, alt: '' }), words);
  button.addEventListener('click', () => act('show', { typed }));
  return button;
}

function account({ name, balance }) {
  const row = document.createElement('tr');
  row.append(make('td', name || 'no name'), make('td', String(balance)));
  return row;
}

const notice = one => make('li', one.text);

// A list is drawn anew only when it changed: what one is about to press stays where it is.
function list(id, values, shape) {
  const now = JSON.stringify(values);
  if (drawn[id] === now) return;
  drawn[id] = now;
  at(id).replaceChildren(...values.map(shape));
}

function show({ till_url: till, line, centre, cards, codes }) {
  if (at('till').src !== till) at('till').src = till;
  const up = line === 'up';
  at('line').textContent = up ? 'Cut the line' : 'Restore the line';
  at('line').dataset.up = up;
  at('line-state').textContent = up ? 'The till and the centre speak.' : 'Cut. The till goes on by itself and keeps what it has to send.';
  at('line').parentElement.className = `line ${line}`;
  at('rows').textContent = centre.rows;
  at('outcomes').textContent = Object.entries(centre.outcomes).map(([name, count]) => `, ${count} ${name.replaceAll('_', ' ')}`).join('');
  list('accounts', centre.accounts, account);
  list('notices', centre.notices.length ? centre.notices : [{ text: 'None: nobody has to look at anything.' }], notice);
  list('cards', cards, card);
  list('codes', codes, code);
  const first = cards.find(one => one.kind === 'member');
  if (first) document.querySelector('[data-name]').textContent = first.label;
}

async function look() {
  try {
    show(await ask('state'));
  } catch {
    at('trouble').textContent = 'The demonstration does not answer. Is it still running in its window?';
  }
}

at('line').addEventListener('click', () => act('line', { up: at('line').dataset.up !== 'true' }));
setInterval(look, EVERY_MS);
look();
