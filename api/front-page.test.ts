import assert from 'node:assert/strict';
import test from 'node:test';
import Fastify from 'fastify';
import { registerFrontPage } from './front-page.ts';

async function front(accept?: string) {
  const app = Fastify();
  registerFrontPage(app, { title: 'Tallystick', version: '9.8.7', portsUrl: 'http://127.0.0.1:1' });
  return app.inject({ url: '/', headers: accept === undefined ? {} : { accept } });
}

test('who has only the address is told where the rest is', async () => {
  const answer = await front('*/*');
  assert.equal(answer.statusCode, 200);
  const { name, version, links } = answer.json();
  assert.deepEqual([name, version], ['Tallystick', '9.8.7']);
  assert.deepEqual(Object.keys(links), ['docs', 'openapi', 'health', 'ready', 'live', 'ports']);
  assert.deepEqual((await front()).json(), answer.json());
});

test('a browser gets a page with the same links', async () => {
  const answer = await front('text/html,application/xhtml+xml,*/*;q=0.8');
  assert.match(String(answer.headers['content-type']), /^text\/html/);
  for (const path of ['/docs', '/openapi.json', '/healthz', '/readyz'])
    assert.ok(answer.body.includes(`href="${path}"`));
  assert.ok(!answer.body.includes('<script'));
});
