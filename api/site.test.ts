import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { siteRule } from './site.ts';

describe('the site that a login message must name', () => {
  const rows: [host: string, domain: string][] = [
    ['127.0.0.1:8080', '127.0.0.1:8080'],
    ['localhost:8080', 'localhost:8080'],
    ['[::1]:8080', '[::1]:8080'],
    ['evil.example', '127.0.0.1'],
    ['evil.example:8080', '127.0.0.1'],
    ['127.0.0.1.evil.example', '127.0.0.1'],
    ['localhost@evil.example', '127.0.0.1'],
    ['', '127.0.0.1'],
  ];
  for (const [host, domain] of rows) {
    test(`on loopback, a request for "${host}" signs for ${domain}`, () => {
      assert.deepEqual(siteRule('127.0.0.1', undefined)(host), { domain, uri: `http://${domain}` });
    });
  }

  test('a public URL is the only site, whatever the request says', () => {
    const site = siteRule('0.0.0.0', 'https://tally.example/')('evil.example');
    assert.deepEqual(site, { domain: 'tally.example', uri: 'https://tally.example' });
  });

  test('an api that others can reach does not start without a public URL', () => {
    assert.throws(() => siteRule('0.0.0.0', undefined), /TALLY_PUBLIC_URL/);
  });
});
