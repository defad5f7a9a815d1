// Ways out: addresses have one reading, refused ranges stay refused however they are wrapped, rules match what they say.
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type EgressRule,
  egressRuleFor,
  formatAddress,
  parseAddress,
  readEgressRule,
  readEgressRules,
  refusedReason,
} from './egress.ts';

const reasonOf = (text: string): string | undefined => {
  const address = parseAddress(text);
  assert.ok(address, text);
  return refusedReason(address);
};

const REFUSED: [reason: string, ...addresses: string[]][] = [
  ['metadata', '169.254.169.254', 'fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '168.63.129.16', '192.0.0.192'],
  ['unspecified', '0.0.0.0', '0.255.255.255', '::'],
  ['loopback', '127.0.0.1', '127.255.255.254', '::1'],
  ['private', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdff::1', 'fec0::1'],
  ['carrier_nat', '100.64.0.1', '100.127.255.255'],
  ['link_local', '169.254.0.1', 'fe80::1', 'febf::1'],
  ['multicast', '224.0.0.1', '239.255.255.255', 'ff02::1'],
  ['reserved', '240.0.0.1', '255.255.255.255', '192.0.0.1', '4000::1', '5f00::1', '2001:1ff::1', '100::1'],
  ['benchmark', '198.18.0.1', '198.19.255.255', '2001:2::1'],
  ['documentation', '192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
  ['transition', '192.88.99.1', '2001::1', '2002:808:808::1', '64:ff9b:1::1'],
  // wrapped
  ['loopback', '::ffff:127.0.0.1', '::ffff:0:127.0.0.1', '::127.0.0.1', '64:ff9b::127.0.0.1', '2002:7f00:1::'],
  ['metadata', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', '::ffff:a9fe:a9fe'],
  ['private', '::ffff:10.1.2.3', '64:ff9b::192.168.0.1', '2002:c0a8:1::', '::ffff:0:10.0.0.1'],
  ['reserved', '::8.8.8.8', '::ffff:0:8.8.8.8'],
];
for (const [reason, ...addresses] of REFUSED) {
  test(`refused as ${reason}: ${addresses.join(' ')}`, () => {
    for (const address of addresses) assert.equal(reasonOf(address), reason, address);
  });
}

test('what lies on the internet is not refused, at both sides of every border', () => {
  const open = [
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
  ];
  const more = ['172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '223.255.255.255'];
  const v6 = [
    '2606:4700::1111',
    '2001:4860:4860::8888',
    '2a00::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '2001:200::1',
  ];
  for (const address of [...open, ...more, ...v6]) assert.equal(reasonOf(address), undefined, address);
});

test('an address has one spelling, and its text reads as the runtime reads it', () => {
  const address = fc.oneof(
    fc.ipV4().map((text) => text),
    fc.ipV6(),
  );
  fc.assert(
    fc.property(address, (text) => {
      const parsed = parseAddress(text);
      assert.ok(parsed, text);
      assert.equal(parsed.family, isIP(text));
      assert.deepEqual(parseAddress(formatAddress(parsed)), parsed);
      const url = new URL(parsed.family === 6 ? `http://[${text}]` : `http://${text}`);
      const canonical = formatAddress(parsed);
      assert.equal(url.hostname, parsed.family === 6 ? `[${canonical}]` : canonical);
    }),
    { numRuns: 500 },
  );
});

test('what can be read in two ways is no address', () => {
  const doubtful = ['127.1', '0177.0.0.1', '0x7f.0.0.1', '2130706433', '1.2.3.4.', ' 1.2.3.4', '1.2.3.256', '01.2.3.4'];
  const broken = [
    '',
    ':',
    ':::',
    '1::2::3',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1.2.3.4::',
    '::1.2.3',
  ];
  for (const text of [...doubtful, ...broken]) assert.equal(parseAddress(text), undefined, text);
});

const RULES: [given: string, canonical: string][] = [
  ['Packages.EXAMPLE.org', 'packages.example.org:443'],
  ['example.com.:80,443', 'example.com:80,443'],
  ['*.example.com:8000-8010,443', '*.example.com:443,8000-8010'],
  ['8.8.8.8:53', '8.8.8.8:53'],
  ['8.8.8.0/24:*', '8.8.8.0/24:*'],
  ['[2001:4860::/32]', '[2001:4860::/32]:443'],
  ['[2606:4700:0::1111]:853', '[2606:4700::1111]:853'],
  ['localhost:1-65535', 'localhost:*'],
];
for (const [text, canonical] of RULES) {
  test(`the rule ${text} is ${canonical}`, () => {
    assert.equal((readEgressRule(text) as EgressRule).text, canonical);
    assert.deepEqual(readEgressRule(canonical), readEgressRule(text));
  });
}

test('what is no rule is refused with a reason', () => {
  const hosts = ['', ':443', '*', '*:443', '*.', 'a..b', '-a.com', 'a b', 'http://a.com', 'a.com/path', 'ex*mple.com'];
  const addresses = [
    '1.2.3',
    '8.8.8.8/24',
    '8.8.8.0/33',
    '8.8.8.0/024',
    '2001:db8::1',
    '[8.8.8.8]',
    '[::1]x',
    '0x7f.1',
  ];
  const ports = [
    'a.com:',
    'a.com:0',
    'a.com:65536',
    'a.com:443,',
    'a.com:9-1',
    'a.com:https',
    'a.com:080',
    'a.com:*,1',
  ];
  for (const text of [...hosts, ...addresses, ...ports]) assert.ok('error' in readEgressRule(text), text);
  assert.ok('error' in readEgressRule(`${'a'.repeat(64)}.com`));
  assert.ok('error' in readEgressRule(`a.com:${Array(17).fill('1').join(',')}`));
  const many = readEgressRules(Array.from({ length: 65 }, (_, index) => `a${index}.com`));
  assert.ok('error' in many);
  assert.deepEqual(readEgressRules(['a.com', 'b c']), { ...readEgressRule('b c'), rule: 'b c' });
});

test('a rule names its host and ports and nothing beside', () => {
  const rules = readEgressRules(['example.com:443', '*.example.org:80', '8.8.8.0/24:53', '[2606:4700::/32]:*']);
  assert.ok(Array.isArray(rules));
  const allowed: [string, number][] = [
    ['example.com', 443],
    ['a.b.example.org', 80],
    ['8.8.8.200', 53],
    ['2606:4700::1', 65_535],
  ];
  for (const [host, port] of allowed) assert.ok(egressRuleFor(rules, { host, port }), host);
  const denied: [string, number][] = [
    ['example.com', 80],
    ['www.example.com', 443],
    ['example.com.evil.net', 443],
    ['notexample.com', 443],
    ['example.org', 80],
    ['evilexample.org', 80],
    ['8.8.9.1', 53],
    ['8.8.8.8', 443],
    ['2607::1', 1],
    // the same address wrapped, or a name that looks up to it, is another target
    ['::ffff:8.8.8.8', 53],
    ['dns.google', 53],
  ];
  for (const [host, port] of denied) assert.equal(egressRuleFor(rules, { host, port }), undefined, host);
});
