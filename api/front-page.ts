/**
 * `GET /`: where somebody who has only the address finds the rest.
 * Promise: static; every link is a route that answers without a credential.
 */
import type { FastifyInstance } from 'fastify';

interface FrontPage {
  title: string;
  version: string;
  /** Where the ports of sandboxes are reached. */
  portsUrl: string;
}

const LINKS: readonly (readonly [name: string, path: string, what: string])[] = [
  ['docs', '/docs', 'the API, for people'],
  ['openapi', '/openapi.json', 'the API, for programs'],
  ['health', '/healthz', 'is it alive?'],
  ['ready', '/readyz', 'is everything there that it needs?'],
];

export function registerFrontPage(app: FastifyInstance, page: FrontPage): void {
  const [json, html] = [jsonOf(page), htmlOf(page)];
  app.get('/', async (request, reply) => {
    reply.header('vary', 'accept').header('x-content-type-options', 'nosniff');
    if (!String(request.headers.accept ?? '').includes('text/html')) return reply.send(json);
    return reply.type('text/html; charset=utf-8').send(html);
  });
}

const jsonOf = ({ title, version, portsUrl }: FrontPage) => ({
  name: title,
  version,
  links: { ...Object.fromEntries(LINKS.map(([name, path]) => [name, path])), live: '/v1/live', ports: portsUrl },
});

/** No script, nothing from elsewhere; holds settings of the operator only, no word of a caller. */
function htmlOf({ title, version }: FrontPage): string {
  const rows = LINKS.map(([, path, what]) => `<li><a href="${path}">${path}</a>: ${what}</li>`).join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}</style>
<h1>${title}</h1><p>Version ${version}. Machines bought by the minute, and a signed receipt for every step.</p>
<ul>${rows}</ul><p>From a terminal: <code>npx tally login --new</code>.</p></html>`;
}
