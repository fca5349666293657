// An SSE endpoint on Node's own http server as its guides show it: a Set of responses per topic, `res.write` to each.
// Commanded over standard input like every server of this benchmark, and single-threaded as Node is.
'use strict';
const http = require('http');
const readline = require('readline');

const BODY_BYTES = 162;
const topics = new Map();
let events = 0;
let progress = 0;
let stopped = false;

const server = http.createServer((req, res) => {
  const topic = new URL(req.url, 'http://localhost').search;
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  res.write('retry: 2000\nid: 0\nevent: connected\ndata: {}\n\n');
  if (!topics.has(topic)) topics.set(topic, new Set());
  const streams = topics.get(topic);
  streams.add(res);
  req.on('close', () => streams.delete(res));
});
server.keepAliveTimeout = 0;
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  process.stdout.write(`listening 127.0.0.1:${server.address().port}\n`);
});

function digits(value, length) {
  return String(value).padStart(length, '0');
}

function publish(shape, count, at) {
  const number = events % count;
  const seq = Math.floor(events / count);
  const kind = shape === 'channels' || (shape === 'mixed' && number === 0) ? 'channel' : 'user';
  const head = `{"to":"${digits(number, 6)}","seq":"${digits(seq, 12)}","at":"${digits(at, 19)}","pad":"`;
  const body = head.padEnd(BODY_BYTES - 2, '.') + '"}';
  const block = `id: ${digits(events, 12)}\nevent: bench\ndata: ${body}\n\n`;
  events += 1;
  for (const res of topics.get(`?${kind}=${number}`) || []) res.write(block);
}

function done() {
  process.stdout.write(`done ${events} 0\n`);
}

// Timers have a resolution of 1 ms: what has become due by then is published together.
function atRate(shape, count, rate, time) {
  const started = process.hrtime.bigint();
  const total = Math.round((time / 1e6) * rate);
  let published = 0;
  const turn = () => {
    const elapsed = Number(process.hrtime.bigint() - started) / 1e9;
    const due = Math.min(total, Math.floor(elapsed * rate) + 1);
    for (; published < due; published += 1) {
      publish(shape, count, started + BigInt(Math.round((published / rate) * 1e9)));
    }
    if (published < total && !stopped) setTimeout(turn, 1);
    else done();
  };
  turn();
}

function inWindow(shape, count, most, time) {
  const end = process.hrtime.bigint() + BigInt(time) * 1000n;
  const turn = () => {
    while (events - Math.min(progress, events) < most * count && process.hrtime.bigint() < end) {
      publish(shape, count, process.hrtime.bigint());
    }
    if (process.hrtime.bigint() < end && !stopped) setImmediate(turn);
    else done();
  };
  turn();
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [word, shape, ...rest] = line.split(' ');
    if (word === 'progress') {
      progress = Number(shape);
      return;
    }
    const [count, amount, time] = rest.map(Number);
    if (word === 'rate') atRate(shape, count, amount, time);
    else inWindow(shape, count, amount, time);
  })
  .on('close', () => {
    stopped = true;
    process.exit(0);
  });
