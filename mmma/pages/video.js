'use strict';
// The page of a video. Everything that comes from data goes into the page as text
// (textContent, value), never as markup; nothing is loaded but the video.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const video = $('video');
  const duration = data.times.duration_sec;
  const frameSec = 1 / data.times.fps;
  const groupOf = new Map(data.actions);
  const predicted = data.items.map(([start, end, label, body, score], id) => ({
    id, start, end, label, group: body || groupOf.get(label) || '', score,
    subject: '', text: '', state: 'predicted',
  }));
  const served = data.served || null; // by annotate.py, which saves what it is sent
  const fromRow = ([start, end, label, group, score, subject, text], id) => ({
    id, start, end, label, group: groupOf.get(label) || group, score, subject, text,
    state: score === null ? 'own' : 'predicted',
  });
  const given = served && served.state !== 'none' && served.items.map(fromRow);
  let items = given || predicted.map((one) => ({ ...one }));
  let threshold = Math.min(data.threshold, ...(given || []).map((one) => one.score ?? 1));
  let view = { start: 0, end: duration };
  let chosen = null; // id of the selected instance
  let editing = Boolean(served);
  let sorting = { key: 'start', up: true };
  let allRows = false;
  let done = []; // changes that undo takes back, each a list of [before, after]
  let undone = [];
  let unsaved = false;
  let saving = false; // is an answer of annotate.py to come
  let state = served && served.state; // of the file that the edits are of
  let others = false; // are there instances of no group that is known
  let now = 0; // where we are while there is no video

  // ---- small helpers -----------------------------------------------------

  function make(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  const bdi = (text) => make('bdi', { textContent: text });
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const round = (value) => Math.round(value * 1000) / 1000;
  const find = (id) => items.find((one) => one.id === id) || null;
  const say = (text) => { $('said').textContent = text; };

  function clock(sec) {
    const milli = Math.round(sec * 1000);
    const pad = (value, width) => String(value).padStart(width, '0');
    const hours = Math.floor(milli / 3600000);
    const minutes = Math.floor(milli / 60000) % 60;
    return `${pad(hours, 2)}:${pad(minutes, 2)}:${pad(Math.floor(milli / 1000) % 60, 2)}.${pad(milli % 1000, 3)}`;
  }

  const shortClock = (sec) => clock(sec).replace(/^00:/, '');
  const reviewed = (one) => one.state === 'accepted' || one.state === 'own';
  const shown = (one) => reviewed(one) || one.score === null || one.score >= threshold;
  const counts = (one) => shown(one) && one.state !== 'rejected';
  const STATES = { predicted: 'to review', accepted: 'accepted', own: 'own', rejected: 'rejected' };

  // The lanes; drawLanes sees whether there are instances of other groups.
  const groups = () => (others ? [...data.bodies, 'other'] : data.bodies);

  const laneOf = (one) => (data.bodies.includes(one.group) ? one.group : data.bodies.length === 1 ? data.bodies[0] : 'other');
  const colour = (group) => `g${Math.max(0, groups().indexOf(group)) % 8}`;

  // ---- the video ---------------------------------------------------------

  const playable = () => video.readyState > 0 && !video.error;

  /** Where we are: exactly where seek was asked to go, or where the video went. */
  function time() {
    const there = !playable() || (video.paused && Math.abs(video.currentTime - now) < 0.002);
    return there ? now : video.currentTime;
  }

  function seek(sec) {
    now = clamp(sec, 0, Math.max(0, duration - frameSec / 2));
    // A little later than asked for: else rounding shows the frame before.
    if (playable()) video.currentTime = now + Math.min(0.0005, frameSec / 4);
    if (now < view.start || now > view.end) moveView(now - (view.end - view.start) / 4);
    drawHead();
  }

  /** Go by frames: of even rate, or as their times are told. */
  function stepFrame(by) {
    const at = data.frame_times;
    if (!at) return seek((Math.floor(time() / frameSec + 0.02) + by) * frameSec);
    const later = at.findIndex((sec) => sec > time() + 0.0002);
    const shownNow = (later < 0 ? at.length : later) - 1;
    seek(at[clamp(shownNow + by, 0, at.length - 1)]);
  }

  function toggle() {
    if (!playable()) return say('There is no video to play.');
    if (video.paused) video.play().catch(() => say('The browser does not play it.'));
    else video.pause();
  }

  function drawHead() {
    const at = time();
    const place = (at - view.start) / (view.end - view.start);
    $('head').style.left = `${place * 100}%`;
    $('head').hidden = place < 0 || place > 1;
    $('clock').textContent = `${shortClock(at)} / ${shortClock(duration)}`;
  }

  function follow() { // while it plays
    now = video.currentTime;
    if (now > view.end || now < view.start) moveView(now);
    drawHead();
    if (!video.paused) requestAnimationFrame(follow);
  }

  let asked = false;

  async function noVideo() {
    const answer = served && await fetch(data.link, { headers: { Range: 'bytes=0-0' } }).catch(() => null);
    if (answer && answer.ok && !asked) { // it took too long
      asked = true;
      video.src = data.link;
      return;
    }
    $('waiting').hidden = true;
    $('absent').hidden = false;
    const told = answer && !answer.ok ? await answer.text() : data.file;
    $('expected').textContent = served ? told : data.link.replace(/%20/g, ' ');
  }

  function setUpVideo() {
    video.addEventListener('play', () => { $('play').textContent = 'Pause'; follow(); });
    video.addEventListener('pause', () => { $('play').textContent = 'Play'; });
    video.addEventListener('seeked', drawHead);
    video.addEventListener('error', noVideo);
    video.addEventListener('loadedmetadata', () => { $('absent').hidden = $('waiting').hidden = true; seek(now); });
    $('waiting').hidden = !served || !data.copied;
    $('choose').addEventListener('change', () => {
      if ($('choose').files[0]) video.src = URL.createObjectURL($('choose').files[0]);
    });
    $('play').addEventListener('click', toggle);
    $('back').addEventListener('click', () => stepFrame(-1));
    $('ahead').addEventListener('click', () => stepFrame(1));
    $('speed').addEventListener('change', () => { video.playbackRate = Number($('speed').value); });
    video.src = data.link;
  }

  // ---- the timeline ------------------------------------------------------

  function moveView(start, span = view.end - view.start) {
    span = clamp(span, Math.min(duration, Math.max(0.5, 10 * frameSec)), duration);
    start = clamp(start, 0, duration - span);
    view = { start, end: start + span };
    drawLanes();
  }

  function zoom(factor) {
    const span = view.end - view.start;
    const at = clamp(time(), view.start, view.end);
    moveView(at - (at - view.start) * factor, span * factor);
  }

  /** Rows of a lane: each instance goes into the first one that has room for it. */
  function stacked(list) {
    const ends = [];
    return [...list].sort((a, b) => a.start - b.start || b.end - a.end).map((one) => {
      let row = ends.findIndex((end) => end <= one.start);
      if (row < 0) row = ends.length;
      ends[row] = Math.max(one.end, one.start + 0.001);
      return [one, row];
    });
  }

  function drawAxis() {
    const span = view.end - view.start;
    const most = Math.max(2, Math.floor(pixels * span / 90));
    const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
    const step = steps.find((one) => span / one <= most) || 14400;
    const ticks = [];
    for (let k = Math.ceil(view.start / step); k * step < view.end; k += 1) {
      const place = (k * step - view.start) / span;
      if (place > 0.97) break;
      let text = shortClock(k * step);
      if (step >= 1) text = text.slice(0, -4);
      const tick = make('span', { textContent: text });
      tick.style.left = `${place * 100}%`;
      ticks.push(tick);
    }
    $('axis').replaceChildren(...ticks);
  }

  /** The best score at each of 400 places of the view, as an area: of frames, if a
      model scored them, else of instances. */
  function curve(group, list) {
    const places = 400;
    const span = view.end - view.start;
    const best = new Float64Array(places);
    const scored = data.curves && data.curves[group];
    for (let at = 0; scored && at < places; at += 1) {
      const [from, to] = [at, at + 1].map((place) => (view.start + place / places * span) / duration * scored.length);
      const first = clamp(Math.floor(from), 0, scored.length - 1);
      best[at] = Math.max(...scored.slice(first, Math.max(first + 1, Math.ceil(to)))) / 100;
    }
    for (const one of scored ? [] : list) {
      if (one.end < view.start || one.start > view.end || one.state === 'rejected') continue;
      const score = one.score === null ? 1 : one.score;
      const first = clamp(Math.floor((one.start - view.start) / span * places), 0, places - 1);
      const last = clamp(Math.ceil((one.end - view.start) / span * places), first + 1, places);
      for (let at = first; at < last; at += 1) best[at] = Math.max(best[at], score);
    }
    let path = `M0 100`;
    best.forEach((score, at) => { path += `V${(100 - 96 * score).toFixed(1)}H${at + 1}`; });
    const draw = (tag, attributes) => {
      const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return node;
    };
    const picture = draw('svg', { viewBox: `0 0 ${places} 100`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const height = 100 - 96 * threshold;
    picture.append(
      draw('path', { d: `${path}V100Z`, class: 'area' }),
      scored ? '' : draw('line', { x1: 0, x2: places, y1: height, y2: height, class: 'limit' }),
    ); // which is of calibrated scores
    return picture;
  }

  let pixels = 1; // of a second

  /** What can be told apart: in a row, bars that end in the same two pixels are one. */
  function apart(rows) {
    const last = [];
    return rows.filter(([one, row]) => {
      if (one.end < view.start || one.start > view.end) return false;
      const place = one.end * pixels;
      if (place - last[row] < 2 && one.id !== chosen) return false;
      last[row] = place;
      return true;
    });
  }

  function bar(one, row) {
    const span = view.end - view.start;
    const score = one.score === null ? '' : ` ${one.score.toFixed(2)}`;
    const node = make('div', { className: `bar ${one.state} ${colour(laneOf(one))}` });
    node.dataset.id = one.id;
    if ((one.end - one.start) * pixels > 9) node.append(bdi(one.label), score);
    node.title = `${one.label}${score}, ${clock(one.start)} to ${clock(one.end)}${one.text ? `\n${one.text}` : ''}`;
    // What goes out of the view is cut, so that its label is seen.
    const [start, end] = [Math.max(one.start, view.start), Math.min(one.end, view.end)];
    node.style.left = `${(start - view.start) / span * 100}%`;
    node.style.width = `${(end - start) / span * 100}%`;
    node.style.top = `${row * 22}px`;
    node.classList.toggle('chosen', one.id === chosen);
    return node;
  }

  let layout = []; // of each group its instances, and the rows of those that are shown

  function drawLanes(anew = false) {
    pixels = $('timeline').clientWidth / (view.end - view.start);
    if (anew) {
      others = items.some((one) => !data.bodies.includes(laneOf(one)));
      layout = groups().map((group) => {
        const list = items.filter((one) => laneOf(one) === group);
        return [group, list, stacked(list.filter(shown)), list.filter(counts).length];
      });
    }
    const lanes = layout.map(([group, list, rows, number]) => {
      const bars = make('div', { className: 'bars' });
      bars.style.height = `${22 * (1 + Math.max(0, ...rows.map(([, row]) => row)))}px`;
      bars.append(...apart(rows).map(([one, row]) => bar(one, row)));
      const name = make('h3', {}, bdi(group), make('span', { textContent: ` ${number}` }));
      return make('div', { className: 'lane' }, name, curve(group, list), bars);
    });
    $('groups').replaceChildren(...lanes);
    const span = view.end - view.start;
    $('pan').disabled = span > duration - 0.001;
    $('pan').value = $('pan').disabled ? 0 : view.start / (duration - span);
    $('fit').disabled = $('farther').disabled = $('pan').disabled;
    drawAxis();
    drawHead();
  }

  const secAt = (event) => {
    const box = $('timeline').getBoundingClientRect();
    return view.start + (event.clientX - box.left) / box.width * (view.end - view.start);
  };

  let dragged = false; // what ends a drag is no click

  function click(event) {
    if (dragged) return;
    const node = event.target.closest('.bar');
    if (node) choose(Number(node.dataset.id), true);
    else seek(secAt(event));
  }

  /** With editing, a bar is moved where its middle is dragged, else one of its ends. */
  function press(event) {
    const node = event.target.closest('.bar');
    if (!editing || !node || event.button) return;
    const before = find(Number(node.dataset.id));
    choose(before.id);
    const box = node.getBoundingClientRect();
    const edge = Math.min(8, box.width / 4);
    const part = event.clientX < box.left + edge ? 'start' : event.clientX > box.right - edge ? 'end' : 'both';
    const from = event.clientX;
    const perPixel = (view.end - view.start) / $('timeline').clientWidth;
    let after = null;
    const move = (moved) => {
      if (!after && Math.abs(moved.clientX - from) < 4) return;
      after = { ...before };
      const by = (moved.clientX - from) * perPixel;
      if (part === 'start') after.start = clamp(before.start + by, 0, before.end - frameSec);
      else if (part === 'end') after.end = clamp(before.end + by, before.start + frameSec, duration);
      else {
        const shift = clamp(by, -before.start, Math.max(0, duration - before.end));
        after.start = before.start + shift;
        after.end = before.end + shift;
      }
      items = items.map((one) => (one.id === after.id ? after : one));
      drawLanes(true);
    };
    const up = (event2) => {
      document.removeEventListener('pointermove', move);
      document.removeEventListener('pointerup', up);
      document.removeEventListener('pointercancel', up);
      if (!after) return;
      dragged = true;
      setTimeout(() => { dragged = false; });
      items = items.map((one) => (one.id === before.id ? before : one));
      if (event2.type === 'pointerup') edit({ start: after.start, end: after.end });
      else drawAll();
    };
    document.addEventListener('pointermove', move);
    document.addEventListener('pointerup', up);
    document.addEventListener('pointercancel', up);
    event.preventDefault();
  }

  function setUpTimeline() {
    $('timeline').addEventListener('pointerdown', press);
    $('timeline').addEventListener('click', click);
    $('timeline').addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
    $('closer').addEventListener('click', () => zoom(0.5));
    $('farther').addEventListener('click', () => zoom(2));
    $('fit').addEventListener('click', () => moveView(0, duration));
    $('pan').addEventListener('input', () => moveView($('pan').value * (duration - view.end + view.start)));
    const lowest = Math.min(threshold, ...items.map((one) => (one.score === null ? 1 : one.score)));
    $('threshold').min = Math.floor(lowest * 100) / 100;
    $('threshold').addEventListener('input', () => setThreshold(Number($('threshold').value)));
    new ResizeObserver(() => drawLanes()).observe($('timeline'));
  }

  function setThreshold(value) {
    threshold = clamp(Math.round(value * 100) / 100, Number($('threshold').min), 1);
    if (served) changed(); // what is saved has other rows
    drawAll();
  }

  // ---- the selected instance ---------------------------------------------

  function choose(id, andSeek = false) {
    chosen = id;
    const one = find(id);
    if (one && andSeek) seek(one.start);
    drawChosen();
    for (const node of document.querySelectorAll('[data-id]')) {
      node.classList.toggle('chosen', Number(node.dataset.id) === id);
    }
    if (one) say(`${one.label}, ${shortClock(one.start)} to ${shortClock(one.end)}, ${STATES[one.state]}`);
  }

  function drawChosen() {
    const one = find(chosen);
    $('form').hidden = !one;
    $('none').hidden = Boolean(one);
    document.body.classList.toggle('edits', editing);
    $('edit').setAttribute('aria-pressed', editing);
    $('fields').disabled = !editing;
    for (const id of ['accept', 'reject', 'from', 'to', 'split', 'remove']) $(id).disabled = !editing;
    $('add').disabled = !editing;
    $('undo').disabled = !done.length;
    $('redo').disabled = !undone.length;
    const told = saving ? 'saving' : unsaved ? 'not saved' : state === 'none' ? 'no file yet' : 'saved';
    $('state').textContent = served ? told : '';
    $('state').className = unsaved ? 'mark' : 'quiet';
    const tally = (state) => items.filter((item) => item.state === state && shown(item)).length;
    $('review').textContent = `${tally('accepted')} accepted, ${tally('own')} own, `
      + `${tally('rejected')} rejected, ${tally('predicted')} to review${unsaved ? '; not saved to a file yet' : ''}`;
    if (!one) return;
    $('chosen-label').textContent = one.label;
    const score = one.score === null ? '' : `, score ${one.score.toFixed(3)}`;
    $('chosen-facts').textContent = `${one.group ? `(${one.group}) ` : ''}${clock(one.start)} to ${clock(one.end)}${score}, ${STATES[one.state]}`;
    for (const key of ['label', 'subject', 'text']) $(key).value = one[key];
    for (const key of ['start', 'end']) $(key).value = round(one[key]);
  }

  function step(by) {
    const list = items.filter(shown).sort((a, b) => a.start - b.start || a.end - b.end || a.id - b.id);
    if (!list.length) return say('No instance is shown.');
    const at = list.findIndex((one) => one.id === chosen);
    let next = at + by;
    if (at < 0) {
      const later = list.findIndex((one) => one.start >= time() - 0.001);
      next = by > 0 ? (later < 0 ? 0 : later) : (later < 0 ? list.length : later) - 1;
    }
    choose(list[(next + list.length) % list.length].id, true);
  }

  // ---- the table and the summary -----------------------------------------

  function filtered() {
    const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    const [group, state] = [$('only-group').value, $('only-state').value];
    const matches = (one) => {
      const text = `${one.label} ${one.group} ${one.text} ${one.subject}`.toLowerCase();
      return shown(one) && (!group || laneOf(one) === group) && (!state || one.state === state)
        && words.every((word) => text.includes(word));
    };
    const value = (one) => (sorting.key === 'score' && one.score === null ? 2 : one[sorting.key]);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === 'string' ? x.localeCompare(y) : x - y;
      return (sorting.up ? order : -order) || a.start - b.start || a.id - b.id;
    };
    return items.filter(matches).sort(compare);
  }

  function drawTable() {
    const list = filtered();
    const most = allRows ? list.length : 200;
    const rows = list.slice(0, most).map((one) => {
      const go = make('button', { type: 'button', textContent: shortClock(one.start) });
      go.setAttribute('aria-label', `${shortClock(one.start)}, go to ${one.label}`);
      const dot = make('i', { className: colour(laneOf(one)) });
      const row = make('tr', {},
        make('td', {}, go), make('td', { className: 'wide number', textContent: shortClock(one.end) }),
        make('td', {}, dot, ' ', bdi(one.label)), make('td', { className: 'wide' }, bdi(one.group)),
        make('td', { className: 'number', textContent: one.score === null ? '' : one.score.toFixed(2) }),
        make('td', { className: 'number', textContent: STATES[one.state] }), make('td', { className: 'wide' }, bdi(one.text)));
      row.dataset.id = one.id;
      row.classList.toggle('chosen', one.id === chosen);
      return row;
    });
    const focused = document.activeElement.closest('#body tr');
    $('body').replaceChildren(...rows);
    if (focused) { // a row that was made anew keeps the focus
      const again = rows.find((row) => row.dataset.id === focused.dataset.id);
      if (again) again.querySelector('button').focus({ preventScroll: true });
    }
    $('more').hidden = list.length <= most;
    $('more').textContent = `Show all ${list.length} rows`;
    $('count').textContent = `${list.length} of ${items.length}`;
    for (const button of document.querySelectorAll('[data-sort]')) {
      const own = button.dataset.sort === sorting.key;
      button.closest('th').setAttribute('aria-sort', own ? (sorting.up ? 'ascending' : 'descending') : 'none');
      button.classList.toggle('sorted', own);
    }
  }

  /** Seconds that some of the instances take, each second once. */
  function union(list) {
    let [total, last] = [0, 0];
    for (const one of [...list].sort((a, b) => a.start - b.start)) {
      total += Math.max(0, one.end - Math.max(one.start, last));
      last = Math.max(last, one.end);
    }
    return total;
  }

  function drawBudget() {
    const level = $('level').value;
    const lists = new Map(level === 'group' ? groups().map((group) => [group, []]) : []);
    const kept = items.filter(counts);
    for (const one of kept) {
      const key = level === 'group' ? laneOf(one) : one.label;
      lists.set(key, [...(lists.get(key) || []), one]);
    }
    const rows = [...lists].map(([name, list]) => [name, list, union(list)]);
    if (level === 'label') rows.sort((a, b) => b[1].length - a[1].length || a[0].localeCompare(b[0]));
    rows.push(['all together', kept, union(kept)]);
    $('level-name').textContent = level === 'group' ? 'Group' : 'Label';
    $('budget').replaceChildren(...rows.map(([name, list, seconds]) => {
      const meter = make('meter', { max: 1, value: Math.min(1, seconds / duration) });
      meter.setAttribute('aria-hidden', 'true');
      return make('tr', {}, make('td', {}, bdi(name)), make('td', { textContent: list.length }),
        make('td', { textContent: (60 * list.length / duration).toFixed(1) }),
        make('td', { className: 'wide', textContent: seconds.toFixed(1) }),
        make('td', { className: 'share' }, `${(100 * seconds / duration).toFixed(1)} %`, meter));
    }));
  }

  function setUpTable() {
    for (const id of ['filter', 'only-group', 'only-state']) {
      $(id).addEventListener('input', () => { allRows = false; drawTable(); });
    }
    $('level').addEventListener('input', drawBudget);
    $('more').addEventListener('click', () => { allRows = true; drawTable(); });
    const lanes = data.bodies.length > 1 ? [...data.bodies, 'other'] : data.bodies;
    $('only-group').append(...lanes.map((group) => make('option', { textContent: group })));
    $('labels').append(...data.actions.map(([name]) => make('option', { value: name })));
    $('rows').addEventListener('click', (event) => {
      const button = event.target.closest('[data-sort]');
      const row = event.target.closest('tr[data-id]');
      if (button) {
        const key = button.dataset.sort;
        sorting = { key, up: key === sorting.key ? !sorting.up : key !== 'score' };
        drawTable();
      } else if (row) choose(Number(row.dataset.id), true);
    });
  }

  function drawAll() {
    $('threshold').value = threshold;
    $('threshold-shown').textContent = threshold.toFixed(2);
    drawLanes(true);
    drawTable();
    drawBudget();
    drawChosen();
  }

  // ---- edits ---------------------------------------------------------------

  const STORED = `mmma ${served ? '' : location.pathname} ${data.identity}`;
  const nextId = () => items.reduce((most, one) => Math.max(most, one.id), predicted.length) + 1;
  // Letters that steer a terminal or turn a line have no place in a table.
  const clean = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu, '');

  /** Change instances; a change is [before, after], null of what is new or goes. */
  function perform(changes) {
    done.push(changes);
    undone = [];
    apply(changes);
  }

  function apply(changes) {
    const gone = new Set(changes.filter(([before]) => before).map(([before]) => before.id));
    items = items.filter((one) => !gone.has(one.id));
    items.push(...changes.map(([, after]) => after).filter(Boolean));
    if (!find(chosen)) chosen = null;
    changed();
    drawAll();
  }

  function undo(from, to, back) {
    const changes = from.pop();
    if (!changes) return say('Nothing is left to undo or redo.');
    to.push(changes);
    apply(back ? changes.map(([before, after]) => [after, before]) : changes);
    say(back ? 'Undone.' : 'Done again.');
  }

  /** Give the selected instance other values; what a person sets, a person says. */
  function edit(values) {
    const before = find(chosen);
    if (!before || !editing) return;
    const after = { ...before, ...values };
    if (['start', 'end', 'label'].some((key) => key in values && after[key] !== before[key])) {
      after.group = groupOf.get(after.label) || (after.label === before.label ? before.group : '');
      if (!reviewed(after)) after.state = 'accepted';
    }
    const good = after.label && after.start >= 0 && after.end > after.start && after.end <= duration + 0.2;
    if (!good) {
      say(`Not changed: it needs a label, and 0 <= start < end <= ${duration.toFixed(3)} s.`);
      return drawChosen();
    }
    if (JSON.stringify(after) !== JSON.stringify(before)) perform([[before, after]]);
  }

  function split() {
    const [one, at] = [find(chosen), time()];
    const room = frameSec / 2;
    if (!one || at < one.start + room || at > one.end - room) return say('Not split: go to a time within it.');
    const state = reviewed(one) ? one.state : 'accepted';
    perform([[one, { ...one, end: at, state }], [null, { ...one, start: at, state, id: nextId() }]]);
    say('Split in two.');
  }

  function add() {
    const start = clamp(time(), 0, duration - Math.min(duration, frameSec));
    const like = find(chosen);
    const label = like ? like.label : data.actions[0][0];
    const group = like ? like.group : data.actions[0][1];
    const one = { id: nextId(), start, end: Math.min(duration, start + 1), label, group, score: null, subject: '', text: '', state: 'own' };
    perform([[null, one]]);
    choose(one.id);
    $('label').focus();
    $('label').select();
  }

  function remove() {
    if (!find(chosen)) return;
    perform([[find(chosen), null]]);
    say('Deleted; U brings it back.');
  }

  function changed() {
    unsaved = true;
    keep();
  }

  /** Keep the edits in this browser, so that they are there after a reload. */
  function keep() {
    try {
      localStorage.setItem(STORED, JSON.stringify({ key: data.key, items, by: $('by').value, threshold, state, unsaved }));
    } catch {
      say('This browser keeps no edits: save them to a file.');
    }
  }

  function recall() {
    try {
      const stored = JSON.parse(localStorage.getItem(STORED) || 'null');
      if (!stored || (served && stored.state !== state && !stored.unsaved)) return; // the file is newer
      items = stored.items;
      $('by').value = stored.by || '';
      $('stale').hidden = stored.key === data.key;
      unsaved = served ? stored.unsaved : items.some((one) => one.state !== 'predicted');
      if (!served) return;
      if (stored.state !== state) trouble('The file has changed since these edits began.');
      [threshold, state] = [stored.threshold, stored.state];
    } catch { /* it keeps none, or not ours */ }
  }

  function forget() {
    if (!confirm('Forget all edits of this video that are not in a file?')) return;
    try { localStorage.removeItem(STORED); } catch { /* it keeps none */ }
    if (served) return location.reload();
    items = predicted.map((one) => ({ ...one }));
    [done, undone, chosen, unsaved] = [[], [], null, false];
    $('stale').hidden = true;
    drawAll();
  }

  /** Put what infer.py found in the place of all that is here; it can be undone. */
  function renew() {
    $('stale').hidden = true;
    perform([...items.map((one) => [one, null]), ...predicted.map((one) => [null, { ...one }])]);
  }

  // ---- files ---------------------------------------------------------------

  const COLUMNS = ['video', 'subject', 'start', 'end', 'start_sec', 'end_sec', 'label', 'body',
    'tier', 'score', 'text', 'point', 'annotator', 'video_path', 'video_fps', 'video_duration_sec'];
  const GUARDED = /^'+\s*[-=+@\t\r]/;
  const FORMULA = /^\s*[-=+@\t\r](?![\d.]+(e-?\d+)?$)/;
  const number = (value) => String(Math.round(value * 1e6) / 1e6);

  /** A cell that no spreadsheet runs, as export.py writes it and convert.py reads it. */
  function cell(text) {
    const lines = clean(String(text)).split('\n').map((line) => {
      const own = GUARDED.test(line) ? `'${line}` : line;
      return FORMULA.test(own) ? `'${own}` : own;
    });
    const whole = lines.join('\n');
    return /[",\r\n]/.test(whole) ? `"${whole.replaceAll('"', '""')}"` : whole;
  }

  const kept = () => items.filter(counts).sort((a, b) => a.start - b.start || a.end - b.end);
  // A person's word has no score; what nobody has looked at keeps its own.
  const scoreOf = (one) => (one.state === 'predicted' && one.score !== null ? one.score : null);

  const models = data.models.filter((one) => one.task === 'detection' || data.models.length === 1);
  const modelName = models.map((one) => `${data.simulated ? 'simulated ' : ''}${one.name}`).join(' ');

  /** Who says so: the model too, where something is its word alone. */
  function annotator(list) {
    const told = modelName && list.some((one) => scoreOf(one) !== null) ? [modelName] : [];
    if ($('by').value.trim()) told.push($('by').value.trim());
    return told.join(' and ');
  }

  function csv() {
    const list = kept();
    const facts = [annotator(list), data.file, number(data.times.fps), number(duration)];
    const rows = list.map((one) => {
      const score = scoreOf(one);
      return [one.subject, clock(one.start), clock(one.end), number(one.start), number(one.end),
        one.label, one.group, one.group, score === null ? '' : String(score), one.text, ''];
    });
    if (!rows.length) rows.push(Array(11).fill(''));
    const lines = [COLUMNS, ...rows.map((row) => [data.video, ...row, ...facts])];
    return `\ufeff${lines.map((line) => line.map(cell).join(',')).join('\r\n')}\r\n`;
  }

  function detections() {
    const annotations = kept().map((one) => {
      const told = { score: scoreOf(one), subject: clean(one.subject), text: clean(one.text), tier: clean(one.group) };
      const given = Object.entries(told).filter(([, value]) => value !== null && value !== '');
      return { segment: [one.start, one.end], label: clean(one.label), ...Object.fromEntries(given) };
    });
    const entry = { path: data.file, subset: 'test', subject: '', fps: data.times.fps, frames: data.times.frames, duration };
    if (data.simulated) entry.simulated = true;
    return `${JSON.stringify({ database: { [data.video]: { ...entry, annotations } } }, null, 1)}\n`;
  }

  function download(name, text, type) {
    const link = make('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`${name} is among your downloads.`);
  }

  const savedName = `${data.stem}.annotations.csv`;
  let handle = null; // of the file, once it was chosen

  function trouble(text) {
    $('why').textContent = /[.?]$/.test(text) ? text : `${text}.`;
    $('trouble').hidden = false;
  }

  /** Have annotate.py write the file, unless it has changed since it was read. */
  async function post() {
    if (saving) return;
    const headers = { 'Content-Type': 'text/csv', 'If-Match': state };
    [saving, unsaved] = [true, false];
    drawChosen();
    try {
      const answer = await fetch('annotations', { method: 'POST', headers, body: csv() });
      const told = await answer.text();
      if (!answer.ok) throw new Error(told);
      state = told;
      $('trouble').hidden = true;
      say(`Saved as ${served.path}.`);
    } catch (error) {
      unsaved = true;
      trouble(`Not saved: ${error instanceof TypeError ? 'annotate.py does not answer. Does it still run?' : error.message}`);
    }
    saving = false;
    keep();
    drawChosen();
  }

  async function save() {
    if (served) return post();
    const text = csv();
    try {
      if (!window.showSaveFilePicker) throw new TypeError('no File System Access here');
      handle = handle || await window.showSaveFilePicker({ suggestedName: savedName, types: [{ accept: { 'text/csv': ['.csv'] } }] });
      const file = await handle.createWritable();
      await file.write(text);
      await file.close();
      say(`Saved as ${handle.name}.`);
    } catch (error) {
      if (error.name === 'AbortError') return;
      handle = null;
      download(savedName, text, 'text/csv');
    }
    unsaved = false;
    drawChosen();
  }

  /** Rows of a table, of which a cell in quotes may have commas, quotes and lines. */
  function parse(text) {
    const rows = [[]];
    for (const found of text.matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/g)) {
      if (!found[0]) break;
      const own = found[1].startsWith('"') ? found[1].slice(1, -1).replaceAll('""', '"') : found[1];
      rows.at(-1).push(own.split('\n').map((line) => (GUARDED.test(line) ? line.slice(1) : line)).join('\n'));
      if (found[2] !== ',') rows.push([]);
    }
    return rows.filter((row) => row.length > 1);
  }

  async function open() {
    const file = $('open').files[0];
    $('open').value = ''; // the same file can be opened again
    if (!file) return;
    const [head, ...rows] = parse((await file.text()).replace(/^\ufeff/, ''));
    const own = rows.map((row) => Object.fromEntries((head || []).map((key, at) => [key, row[at] || ''])));
    const found = own.filter((row) => row.start_sec !== '').map((row, at) => fromRow([Number(row.start_sec), Number(row.end_sec),
      row.label, row.body, row.score === '' ? null : Number(row.score), row.subject, row.text], nextId() + at));
    const good = (one) => one.label && one.start >= 0 && one.end >= one.start && !Number.isNaN(one.score);
    if (!head || COLUMNS.some((key) => !head.includes(key)) || !found.every(good)) {
      return alert(`${file.name} is no table that this page saved: need the columns ${COLUMNS.join(', ')}, and times in seconds.`);
    }
    const other = own.find((row) => row.video !== clean(data.video));
    if (other) return alert(`${file.name} is of another video (${other.video}).`);
    perform([...items.map((one) => [one, null]), ...found.map((one) => [null, one])]);
    unsaved = Boolean(served);
    drawChosen();
    say(`${found.length} instances of ${file.name}; U brings back what was here.`);
  }

  function setUpEdits() {
    const deeds = {
      accept: () => edit({ state: 'accepted' }), reject: () => edit({ state: 'rejected' }),
      from: () => edit({ start: time() }), to: () => edit({ end: time() }), split, remove, add,
      undo: () => undo(done, undone, true), redo: () => undo(undone, done, false),
      edit: () => { editing = !editing; drawChosen(); say(editing ? 'Editing.' : 'Not editing.'); },
      save, discard: forget, reread: forget, renew: served ? renew : forget,
      aside: () => download(savedName, csv(), 'text/csv'),
      'as-csv': () => download(`${data.stem}.events.csv`, csv(), 'text/csv'),
      'as-json': () => download(`${data.stem}.det.json`, detections(), 'application/json'),
      help: () => $('keys').showModal(),
    };
    for (const [id, deed] of Object.entries(deeds)) $(id).addEventListener('click', deed);
    for (const key of ['label', 'subject', 'text']) {
      $(key).addEventListener('change', () => edit({ [key]: clean($(key).value).trim() }));
    }
    for (const key of ['start', 'end']) {
      $(key).addEventListener('change', () => edit({ [key]: $(key).value === '' ? NaN : Number($(key).value) }));
    }
    $('form').addEventListener('submit', (event) => event.preventDefault());
    $('by').addEventListener('change', () => { changed(); drawChosen(); });
    $('open').addEventListener('change', open);
  }

  // ---- keys ----------------------------------------------------------------

  const KEYS = {
    ' ': toggle,
    ArrowLeft: (event) => seek(time() - (event.shiftKey ? 5 : 1)),
    ArrowRight: (event) => seek(time() + (event.shiftKey ? 5 : 1)),
    ',': () => stepFrame(-1), '.': () => stepFrame(1),
    Home: () => seek(0), End: () => seek(duration),
    n: () => step(1), p: () => step(-1),
    '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), 0: () => moveView(0, duration),
    '[': () => setThreshold(threshold - 0.05), ']': () => setThreshold(threshold + 0.05),
    '/': () => $('filter').focus(), '?': () => $('keys').showModal(), e: () => $('edit').click(),
  };
  const EDIT_KEYS = {
    a: 'accept', x: 'reject', i: 'from', o: 'to', s: 'split', m: 'add', Delete: 'remove', Backspace: 'remove',
    u: 'undo',
  };

  function pressed(event) {
    const typing = event.target.closest('input:not([type=range], [type=file]), textarea, select');
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      const deed = { s: 'save', z: event.shiftKey ? 'redo' : 'undo', y: 'redo' }[key];
      if (!deed || (typing && deed !== 'save')) return;
      if (typing) typing.blur(); // so that what was typed counts
      $(deed).click();
      return event.preventDefault();
    }
    if (event.altKey || $('keys').open) return;
    if (typing) return key === 'Escape' ? typing.blur() : undefined;
    if (event.target.matches('input') && /^(Arrow|Home|End|Page)/.test(key)) return;
    if (event.target.closest('button, a, summary, input') && (key === ' ' || key === 'Enter')) return;
    if (key in KEYS) KEYS[key](event);
    else if (key in EDIT_KEYS || key === 'l' || key === 'c') {
      if (!editing) say('E lets you edit.');
      else if (key in EDIT_KEYS) $(EDIT_KEYS[key]).click();
      else if (find(chosen)) $(key === 'l' ? 'label' : 'text').focus();
    } else return;
    event.preventDefault();
  }

  function setUpTexts() {
    const parts = [`${shortClock(duration)}, ${data.times.fps.toFixed(2)} frames per second`];
    if (data.copied) parts.push(`shown is a copy without sound (${data.copied}), at the same times`);
    $('facts').textContent = `${parts.join('; ')}.`;
    $('simulated').hidden = !data.simulated;
    $('all').hidden = !served;
    if (served) $('all').href = '..';
    $('models').hidden = !data.models.length;
    document.body.classList.toggle('plain', !data.models.length && items.every((one) => one.score === null));
    if (served) $('by').value = served.by === modelName ? '' : served.by.replace(`${modelName} and `, '');
    for (const node of document.querySelectorAll('[data-simulated]')) node.hidden = !data.simulated;
    for (const model of data.models) {
      const on = `threshold ${model.threshold.toFixed(2)} (${model.on})`;
      const mark = model.simulated ? ' [simulated]' : '';
      $('notes').append(make('li', {}, bdi(`${model.task}: ${model.name}${mark}, trained on ${model.trained_on || 'unknown data'}; ${on}`)));
      $('notes').append(...model.notes.map((note) => make('li', {}, bdi(note))));
    }
    if (data.left_out > 0) {
      $('left-out').textContent = `${data.left_out} segments of low scores are not on this page; a lower --threshold of infer.py shows more.`;
    }
    if (data.whole) {
      $('whole').hidden = false;
      const told = data.abstained ? 'The whole video: the recognizer abstains' : 'The whole video shows';
      $('whole').append(make('li', { textContent: `${told}${data.simulated ? ' [simulated]' : ''}` }));
      $('whole').append(...data.whole.map(([name, score]) => make('li', {}, bdi(name), ` ${score.toFixed(2)}`, make('meter', { max: 1, value: score }))));
    }
    const quoted = `'${(served ? served.path : savedName).replaceAll("'", "'\\''")}'`;
    const commands = [
      ['ELAN (also boris, labelstudio, textgrid, fiftyone)', `python tools/export.py elan ${quoted} OUT`],
      ['a data root, to train on', `python tools/data/convert.py csv ${quoted} ROOT`],
      ['agreement with another coder', `python tools/agree.py ${quoted} OTHER`],
    ];
    $('commands').append(...commands.map(([what, line]) => make('li', {}, `${what}: `, make('code', { textContent: line }))));
  }

  setUpTexts();
  recall();
  setUpVideo();
  setUpTimeline();
  setUpTable();
  setUpEdits();
  document.addEventListener('keydown', pressed);
  // A mouse leaves no focus on what it pressed, so that keys go to the page.
  document.addEventListener('click', (event) => {
    const node = event.target.closest('button, input[type=range]');
    if (node && event.detail) node.blur();
  });
  drawAll();
})();
